"""Queries on what operators grant to tools."""

from typing import Any

from sqlalchemy import RowMapping, and_, or_, select

from caxton.adapters.store import clock
from caxton.adapters.store.schema_tool_grants import tool_grant_uses, tool_grants
from caxton.adapters.store.session import Session, from_json, in_scope, scoped, to_json
from caxton.domain.grants import ToolGrant
from caxton.domain.ids import Scope

_RIGHTS = {"function", "arguments", "network", "environment", "files", "limits", "commands", "digest"}


class ToolGrantQueries(Session):
    """Grants and their uses."""

    def tool_grants(self, scope: Scope, tool: str | None = None) -> list[ToolGrant]:
        """Grants that nobody has revoked, the oldest first; those that have ended too."""
        query = select(tool_grants).where(in_scope(tool_grants, scope), tool_grants.c.revoked_at.is_(None))
        if tool is not None:
            query = query.where(tool_grants.c.tool == tool)
        query = query.order_by(tool_grants.c.created_at, tool_grants.c.id)
        return [_grant(row) for row in self.connection.execute(query).mappings()]

    def tool_grant(self, scope: Scope, grant_id: str) -> ToolGrant | None:
        """The grant of that id, unless it was revoked."""
        query = select(tool_grants).where(
            in_scope(tool_grants, scope), tool_grants.c.id == grant_id, tool_grants.c.revoked_at.is_(None)
        )
        row = self.connection.execute(query).mappings().first()
        return _grant(row) if row else None

    def add_tool_grant(self, scope: Scope, grant: ToolGrant) -> None:
        """Records a grant."""
        row = scoped(
            scope,
            id=grant.id,
            tool=grant.tool,
            agent=grant.agent,
            rights=to_json(grant.model_dump(mode="json", include=_RIGHTS, exclude_none=True)),
            expires_at=clock.optional_from(grant.expires_at),
            count=grant.count,
            used=grant.used,
            reason=grant.reason,
            created_at=clock.optional_from(grant.created_at) or clock.now(),
            created_by=grant.created_by,
            key_id=grant.key_id,
            revoked_at=None,
            revoked_by=None,
        )
        self.connection.execute(tool_grants.insert(), row)

    def revoke_tool_grant(self, scope: Scope, grant_id: str, by: str) -> bool:
        """Ends a grant; False when it had been revoked before."""
        changed = self.connection.execute(
            tool_grants.update()
            .where(in_scope(tool_grants, scope), tool_grants.c.id == grant_id, tool_grants.c.revoked_at.is_(None))
            .values(revoked_at=clock.now(), revoked_by=by)
        )
        return bool(changed.rowcount)

    def tool_grants_by_key(self, customer: str, key_id: str) -> list[tuple[Scope, ToolGrant]]:
        """Grants that a key made in whatever workspace and that nobody has revoked, the oldest first."""
        query = (
            select(tool_grants)
            .where(
                tool_grants.c.customer == customer, tool_grants.c.key_id == key_id, tool_grants.c.revoked_at.is_(None)
            )
            .order_by(tool_grants.c.created_at, tool_grants.c.id)
        )
        return [
            (Scope(customer=customer, workspace=row["workspace"]), _grant(row))
            for row in self.connection.execute(query).mappings()
        ]

    def give_tool_grants_to(self, customer: str, key_id: str, new_key_id: str) -> None:
        """Counts what a key has granted as granted by the key in its place."""
        self.connection.execute(
            tool_grants.update()
            .where(tool_grants.c.customer == customer, tool_grants.c.key_id == key_id)
            .values(key_id=new_key_id)
        )

    def use_tool_grant(self, scope: Scope, grant_id: str, call: str) -> int | None:
        """Takes one use of a counted grant for `call`.

        Returns:
            How many uses it has had with this one; 0 where the call had taken its use before. None when there is none left,
            or the grant has ended.
        """
        uses, now = tool_grant_uses, clock.now()
        of_call = and_(in_scope(uses, scope), uses.c.grant_id == grant_id, uses.c.call == call)
        if self.connection.execute(select(uses.c.call).where(of_call)).first() is not None:
            return 0
        changed = self.connection.execute(
            tool_grants.update()
            .where(
                in_scope(tool_grants, scope),
                tool_grants.c.id == grant_id,
                tool_grants.c.revoked_at.is_(None),
                or_(tool_grants.c.expires_at.is_(None), tool_grants.c.expires_at > now),
                tool_grants.c.used < tool_grants.c.count,
            )
            .values(used=tool_grants.c.used + 1)
        )
        if not changed.rowcount:
            return None
        self.connection.execute(uses.insert(), scoped(scope, grant_id=grant_id, call=call, used_at=now))
        query = select(tool_grants.c.used).where(in_scope(tool_grants, scope), tool_grants.c.id == grant_id)
        return int(self.connection.execute(query).scalar_one())


def _grant(row: RowMapping) -> ToolGrant:
    values: dict[str, Any] = {
        **from_json(row["rights"], {}),
        **{name: row[name] for name in ("id", "tool", "agent", "count", "used", "reason", "created_by", "key_id")},
        "expires_at": clock.optional_datetime(row["expires_at"]),
        "created_at": clock.to_datetime(row["created_at"]),
    }
    return ToolGrant.model_validate(values)
