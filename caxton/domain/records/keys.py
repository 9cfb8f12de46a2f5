"""The records port: keys, found by hash before a scope is known, and roles."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from caxton.domain.permissions import CustomRole, KeyGrant


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key without the key."""

    id: str
    customer: str
    name: str
    grants: tuple[KeyGrant, ...]
    created_at: datetime
    revoked_at: datetime | None = None
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    rate: float | None = None
    """Requests a second that it may make; None: what the server's settings say."""

    def is_valid(self, now: datetime) -> bool:
        """Whether it may be used."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)


class KeyRecords(Protocol):
    """Keys, found by hash before a scope is known, and roles."""

    def find_key(self, key_hash: str) -> ApiKey | None: ...
    def keys(self, customer: str) -> list[ApiKey]: ...
    def add_key(self, key_hash: str, key: ApiKey) -> None: ...
    def revoke_key(self, customer: str, key_id: str) -> bool: ...
    def expire_key(self, customer: str, key_id: str, at: datetime) -> bool: ...
    def use_keys(self, ids: Collection[str], at: datetime) -> None: ...
    def roles(self, customer: str) -> list[CustomRole]: ...
    def put_role(self, customer: str, role: CustomRole) -> None: ...
    def remove_role(self, customer: str, name: str) -> bool: ...
    def access_generation(self) -> int: ...
