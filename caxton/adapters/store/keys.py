"""Queries on API keys and on roles."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Row, select, text

from caxton.adapters.store import clock
from caxton.adapters.store.access_changes import CHANNEL
from caxton.adapters.store.schema import access_changes, api_keys, roles
from caxton.adapters.store.session import Session, from_json, to_json
from caxton.domain.permissions import CustomRole, KeyGrant, Permission
from caxton.domain.records import ApiKey

_GRANTS = TypeAdapter(tuple[KeyGrant, ...])


class KeyQueries(Session):
    """API keys and roles. A key is found by its hash, which is how a request's customer becomes known.

    Every change of what a key may do counts up the generation of access, by which processes know that what they have
    remembered of keys is stale.
    """

    def find_key(self, key_hash: str) -> ApiKey | None:
        """The key with that hash, also a revoked one."""
        row = self.connection.execute(select(api_keys).where(api_keys.c.hash == key_hash)).first()
        return _key(row) if row else None

    def keys(self, customer: str) -> list[ApiKey]:
        """The customer's keys, oldest first."""
        query = select(api_keys).where(api_keys.c.customer == customer).order_by(api_keys.c.created_at, api_keys.c.id)
        return [_key(row) for row in self.connection.execute(query)]

    def add_key(self, key_hash: str, key: ApiKey) -> None:
        """Keeps a key by its hash."""
        self.connection.execute(
            api_keys.insert(),
            {
                "hash": key_hash,
                "id": key.id,
                "customer": key.customer,
                "name": key.name,
                "grants": _GRANTS.dump_json(key.grants, exclude_none=True).decode(),
                "created_at": clock.from_datetime(key.created_at),
                "expires_at": clock.optional_from(key.expires_at),
                "rate": key.rate,
            },
        )

    def revoke_key(self, customer: str, key_id: str) -> bool:
        """Ends a key; False when the customer has no such valid key."""
        return self._change_key(customer, key_id, {"revoked_at": clock.now()})

    def expire_key(self, customer: str, key_id: str, at: datetime) -> bool:
        """Lets a key end at a time; False when the customer has no such valid key."""
        return self._change_key(customer, key_id, {"expires_at": clock.from_datetime(at)})

    def _change_key(self, customer: str, key_id: str, values: Mapping[str, Any]) -> bool:
        changed = self.connection.execute(
            api_keys.update()
            .where(api_keys.c.customer == customer, api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
            .values(**values)
        )
        self.count_access_change()
        return bool(changed.rowcount)

    def use_keys(self, ids: Collection[str], at: datetime) -> None:
        """Records that keys were used."""
        moment = clock.from_datetime(at)
        self.connection.execute(api_keys.update().where(api_keys.c.id.in_(ids)).values(last_used_at=moment))

    def roles(self, customer: str) -> list[CustomRole]:
        """The roles that the customer has defined, by name."""
        query = select(roles).where(roles.c.customer == customer).order_by(roles.c.name)
        return [
            CustomRole(
                name=row.name,
                # A permission that this version does not know is not granted by it.
                permissions=frozenset(Permission(each) for each in from_json(row.permissions) if each in _KNOWN),
                description=row.description,
            )
            for row in self.connection.execute(query)
        ]

    def put_role(self, customer: str, role: CustomRole) -> None:
        """Defines a role, or defines it again."""
        self.remove_role(customer, role.name)
        self.connection.execute(
            roles.insert(),
            {
                "customer": customer,
                "name": role.name,
                "permissions": to_json(sorted(map(str, role.permissions))),
                "description": role.description,
            },
        )

    def remove_role(self, customer: str, name: str) -> bool:
        """Removes a role; False when the customer has none of that name."""
        removed = self.connection.execute(roles.delete().where(roles.c.customer == customer, roles.c.name == name))
        self.count_access_change()
        return bool(removed.rowcount)

    def access_generation(self) -> int:
        """Counts changes of keys and roles."""
        return int(self.connection.execute(select(access_changes.c.generation)).scalar_one())

    def count_access_change(self) -> None:
        """Makes all processes forget what they have remembered of keys and roles."""
        self.connection.execute(access_changes.update().values(generation=access_changes.c.generation + 1))
        if self.connection.dialect.name == "postgresql":
            self.connection.execute(text("SELECT pg_notify(:channel, '')"), {"channel": CHANNEL})


_KNOWN = frozenset(map(str, Permission))


def _key(row: Row[tuple[object, ...]]) -> ApiKey:
    return ApiKey(
        id=row.id,
        customer=row.customer,
        name=row.name,
        grants=_GRANTS.validate_json(row.grants),
        created_at=clock.to_datetime(row.created_at),
        revoked_at=clock.optional_datetime(row.revoked_at),
        expires_at=clock.optional_datetime(row.expires_at),
        last_used_at=clock.optional_datetime(row.last_used_at),
        rate=row.rate,
    )
