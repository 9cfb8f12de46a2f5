"""Queries on API keys."""

from sqlalchemy import Row, select

from caxton.adapters.store import clock
from caxton.adapters.store.schema import api_keys
from caxton.adapters.store.session import Session
from caxton.domain.records import ApiKey


class KeyQueries(Session):
    """API keys. A key is found by its hash, which is how a request's customer becomes known."""

    def find_key(self, key_hash: str) -> ApiKey | None:
        """The key with that hash, also a revoked one."""
        row = self.connection.execute(select(api_keys).where(api_keys.c.hash == key_hash)).first()
        return _key(row) if row else None

    def keys(self, customer: str) -> list[ApiKey]:
        """The customer's keys, oldest first."""
        query = select(api_keys).where(api_keys.c.customer == customer).order_by(api_keys.c.created_at)
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
                "role": key.role,
                "created_at": clock.from_datetime(key.created_at),
            },
        )

    def revoke_key(self, customer: str, key_id: str) -> bool:
        """Ends a key; False when the customer has no such valid key."""
        changed = self.connection.execute(
            api_keys.update()
            .where(api_keys.c.customer == customer, api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
            .values(revoked_at=clock.now())
        )
        return bool(changed.rowcount)


def _key(row: Row[tuple[object, ...]]) -> ApiKey:
    return ApiKey(
        id=row.id,
        customer=row.customer,
        name=row.name,
        role=row.role,
        created_at=clock.to_datetime(row.created_at),
        revoked_at=clock.optional_datetime(row.revoked_at),
    )
