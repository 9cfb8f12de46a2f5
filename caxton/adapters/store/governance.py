"""Queries on approvals and budgets."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, RowMapping, and_, bindparam, or_, select
from sqlalchemy.sql.elements import ColumnElement

from caxton.adapters.store import clock
from caxton.adapters.store.schema import approval_votes, approvals, budgets, remembered_grants
from caxton.adapters.store.session import Session, from_json, given, in_scope, scope_given, scoped, to_json
from caxton.domain.governance import Approval, ApprovalState, Budget, RememberedGrant, Vote, period_of
from caxton.domain.ids import ExecutionId, Scope

_ADD_USE = (
    budgets.update()
    .where(
        *(
            budgets.c[name] == bindparam(f"in_{name}")
            for name in ("customer", "workspace", "agent", "resource", "period")
        )
    )
    .values(used=bindparam("new_used"), starts_at=bindparam("new_starts_at"), warned=bindparam("new_warned"))
)

_APPROVALS_OF = (
    select(approvals)
    .where(scope_given(approvals), approvals.c.execution_id.in_(bindparam("ids", expanding=True)))
    .order_by(approvals.c.requested_at, approvals.c.id)
)


class GovernanceQueries(Session):
    """Approvals, budgets."""

    def approval(self, scope: Scope, approval_id: str) -> Approval | None:
        """The approval of that id."""
        query = select(approvals).where(in_scope(approvals, scope), approvals.c.id == approval_id)
        row = self.connection.execute(query).mappings().first()
        if row is None:
            return None
        found = _approval(row)
        return found.model_copy(update={"votes": self._votes(scope, found.id)}) if found.approvals_needed > 1 else found

    def _votes(self, scope: Scope, approval_id: str) -> list[Vote]:
        query = (
            select(approval_votes)
            .where(in_scope(approval_votes, scope), approval_votes.c.approval_id == approval_id)
            .order_by(approval_votes.c.made_at)
        )
        return [
            Vote(
                approver=row.approver,
                actor=row.actor,
                reason=row.reason,
                made_at=clock.to_datetime(row.made_at),
                arguments=from_json(row.arguments),
            )
            for row in self.connection.execute(query)
        ]

    def vote(self, scope: Scope, approval_id: str, approver: str) -> Vote | None:
        """An approver's vote."""
        return next((vote for vote in self._votes(scope, approval_id) if vote.approver == approver), None)

    def put_vote(self, scope: Scope, approval_id: str, vote: Vote) -> None:
        """Records that an approver agrees, in place of what that one has said before."""
        table = approval_votes
        self.remove_vote(scope, approval_id, vote.approver)
        values = vote.model_dump(exclude={"arguments"}) | {
            "approval_id": approval_id,
            "made_at": clock.from_datetime(vote.made_at),
            "arguments": None if vote.arguments is None else to_json(vote.arguments),
        }
        self.connection.execute(table.insert(), scoped(scope, **values))

    def remove_vote(self, scope: Scope, approval_id: str, approver: str) -> None:
        """Takes back that an approver agrees."""
        table = approval_votes
        same = (table.c.approval_id == approval_id, table.c.approver == approver)
        self.connection.execute(table.delete().where(in_scope(table, scope), *same))

    def approvals(
        self,
        scope: Scope,
        *,
        state: ApprovalState | None = None,
        execution_id: ExecutionId | None = None,
        before: datetime | None = None,
        limit: int,
    ) -> list[Approval]:
        """Approvals, the latest request first."""
        query = select(approvals).where(in_scope(approvals, scope))
        if state is not None:
            query = query.where(approvals.c.state == state)
        if execution_id is not None:
            query = query.where(approvals.c.execution_id == execution_id)
        if before is not None:
            query = query.where(approvals.c.requested_at < clock.from_datetime(before))
        query = query.order_by(approvals.c.requested_at.desc(), approvals.c.id).limit(limit)
        return [_approval(row) for row in self.connection.execute(query).mappings()]

    def approvals_of(self, scope: Scope, ids: Sequence[ExecutionId]) -> list[Approval]:
        """All approvals that executions asked for, in that order."""
        found = self.connection.execute(_APPROVALS_OF, given(scope, ids=list(ids)))
        return [_approval(row) for row in found.mappings()]

    def add_approval(self, scope: Scope, approval: Approval) -> None:
        """Records that an action waits."""
        left_out = {"requested_at", "expires_at", "decided_at", "votes", "arguments", "unsandboxed"}
        row = scoped(scope, **approval.model_dump(exclude=left_out))
        row["arguments"] = None if approval.arguments is None else to_json(approval.arguments)
        row["requested_at"] = clock.from_datetime(approval.requested_at)
        row["expires_at"] = clock.from_datetime(approval.expires_at)
        row["decided_at"] = clock.optional_from(approval.decided_at)
        self.insert(approvals, row)

    def decide_approval(
        self,
        scope: Scope,
        approval_id: str,
        state: ApprovalState,
        by: str,
        reason: str,
        arguments: Mapping[str, Any] | None = None,
    ) -> bool:
        """Records the end of an approval; False when it had ended before (the first decision stands)."""
        self.flush()
        changed = self.connection.execute(
            approvals.update()
            .where(
                in_scope(approvals, scope), approvals.c.id == approval_id, approvals.c.state == ApprovalState.PENDING
            )
            .values(
                state=state,
                decided_by=by,
                decided_at=clock.now(),
                reason=reason,
                arguments=None if arguments is None else to_json(dict(arguments)),
            )
        )
        return bool(changed.rowcount)

    def add_remembered(self, scope: Scope, grant: RememberedGrant) -> None:
        """Keeps a grant that is remembered."""
        self.connection.execute(
            remembered_grants.insert(),
            scoped(
                scope,
                id=grant.id,
                agent=grant.agent,
                name=grant.name,
                document=grant.model_dump_json(exclude={"key_id"}),
                key_id=grant.key_id,
                expires_at=clock.from_datetime(grant.expires_at),
            ),
        )

    def remembered(
        self, scope: Scope, now: datetime, *, agent: str | None = None, name: str | None = None
    ) -> list[RememberedGrant]:
        """Remembered grants that hold at `now`, of the workspace or of an agent's calls of a function."""
        table = remembered_grants
        query = select(table.c.document, table.c.key_id).where(in_scope(table, scope), *_lasting(now))
        if agent is not None:
            query = query.where(table.c.agent == agent)
        if name is not None:
            query = query.where(table.c.name == name)
        found = self.connection.execute(query.order_by(table.c.expires_at)).mappings()
        return [_remembered(row) for row in found]

    def remembered_by_key(self, customer: str, key_id: str, now: datetime) -> list[tuple[Scope, RememberedGrant]]:
        """Remembered grants that a key gave in whatever workspace, and that hold at `now`."""
        table = remembered_grants
        query = (
            select(table.c.workspace, table.c.document, table.c.key_id)
            .where(table.c.customer == customer, table.c.key_id == key_id, *_lasting(now))
            .order_by(table.c.workspace, table.c.id)
        )
        return [
            (Scope(customer=customer, workspace=row["workspace"]), _remembered(row))
            for row in self.connection.execute(query).mappings()
        ]

    def give_remembered_to(self, customer: str, key_id: str, new_key_id: str) -> None:
        """Lets what a key had remembered hold on with the key in its place."""
        table = remembered_grants
        self.connection.execute(
            table.update()
            .where(table.c.customer == customer, table.c.key_id == key_id, table.c.revoked_at.is_(None))
            .values(key_id=new_key_id)
        )

    def revoke_remembered(self, scope: Scope, grant_id: str) -> bool:
        """Ends a remembered grant; False when there is none of that id that holds."""
        table = remembered_grants
        changed = self.connection.execute(
            table.update()
            .where(in_scope(table, scope), table.c.id == grant_id, table.c.revoked_at.is_(None))
            .where(table.c.expires_at > clock.now())
            .values(revoked_at=clock.now())
        )
        return bool(changed.rowcount)

    def budgets(self, customer: str, workspace: str | None = None, agent: str | None = None) -> list[Budget]:
        """The customer's budgets; with `workspace` and `agent`, those that limit the agent's work."""
        query = select(budgets).where(budgets.c.customer == customer)
        if workspace is not None:
            whole = budgets.c.workspace == ""
            own = and_(budgets.c.workspace == workspace, budgets.c.agent.in_(["", agent or ""]))
            query = query.where(or_(whole, own) if agent is not None else or_(whole, budgets.c.workspace == workspace))
        query = query.order_by(budgets.c.workspace, budgets.c.agent, budgets.c.resource, budgets.c.period)
        return [_budget(row) for row in self.connection.execute(query)]

    def put_budget(self, customer: str, budget: Budget) -> None:
        """Sets a budget, and what its running period has used."""
        key = _budget_key(customer, budget)
        row = {
            "limit": budget.limit,
            "starts_at": clock.from_datetime(budget.starts_at),
            "used": budget.used,
            "warned": budget.warned,
            "set_by": budget.set_by,
            "updated_at": clock.now(),
        }
        changed = self.connection.execute(
            budgets.update().where(*(budgets.c[name] == value for name, value in key.items())).values(row)
        )
        if not changed.rowcount:
            self.connection.execute(budgets.insert(), {**key, **row})

    def use_budget(self, customer: str, budget: Budget) -> None:
        """Records what the running period has used."""
        values = {"new_used": budget.used, "new_starts_at": clock.from_datetime(budget.starts_at)}
        key = {f"in_{name}": value for name, value in _budget_key(customer, budget).items()}
        self.connection.execute(_ADD_USE, {**key, **values, "new_warned": budget.warned})

    def remove_budget(self, customer: str, budget: Budget) -> bool:
        """Removes a budget; False when there is none."""
        key = _budget_key(customer, budget)
        changed = self.connection.execute(budgets.delete().where(*(budgets.c[n] == value for n, value in key.items())))
        return bool(changed.rowcount)

    def lock_budgets(self, customer: str) -> None:
        """Keeps other transactions from changing the customer's budgets until this one commits."""
        self.connection.execute(select(budgets.c.agent).where(budgets.c.customer == customer).with_for_update())


def _budget_key(customer: str, budget: Budget) -> dict[str, str]:
    return {
        "customer": customer,
        "workspace": budget.workspace,
        "agent": budget.agent,
        "resource": budget.resource,
        "period": budget.period,
    }


def _approval(row: RowMapping) -> Approval:
    values: dict[str, Any] = {str(name): value for name, value in row.items()}
    for name in ("requested_at", "expires_at", "decided_at"):
        values[name] = clock.optional_datetime(values[name])
    values["reason"] = values["reason"] or ""
    values["arguments"] = from_json(values["arguments"])
    return Approval.model_validate(values)


def _lasting(now: datetime) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    table = remembered_grants
    return table.c.expires_at > clock.from_datetime(now), table.c.revoked_at.is_(None)


def _remembered(row: RowMapping) -> RememberedGrant:
    return RememberedGrant.model_validate_json(row["document"]).model_copy(update={"key_id": row["key_id"]})


def _budget(row: Row[tuple[Any, ...]]) -> Budget:
    starts_at = clock.to_datetime(row.starts_at)
    return Budget(
        workspace=row.workspace,
        agent=row.agent,
        resource=row.resource,
        period=row.period,
        limit=row.limit,
        used=row.used,
        starts_at=starts_at,
        ends_at=period_of(row.period, starts_at)[1],
        warned=row.warned,
        set_by=row.set_by,
    )
