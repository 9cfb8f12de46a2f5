"""API keys: made here, kept as hashes, shown once."""

import hashlib
import secrets
import time
from datetime import UTC, datetime

from caxton.activities.journal import note
from caxton.domain.errors import InvalidState, NotAuthenticated, NotFound, NotPermitted
from caxton.domain.events import SYSTEM
from caxton.domain.events.system import KeyCreated, KeyRevoked
from caxton.domain.ids import Scope, new_id
from caxton.domain.records import ApiKey, Records, Transaction
from caxton.service.context import Caller, Role

PREFIX = "cx_"

KNOWN_FOR = 2.0
"""Seconds that a key is taken for valid before it is looked up again: so long it works elsewhere after it was revoked."""

MOST_KNOWN = 10_000


def hash_key(key: str) -> str:
    """The SHA-256 under which a key is kept. Keys are 256 random bits, so a fast hash is enough."""
    return hashlib.sha256(key.encode()).hexdigest()


def new_key() -> str:
    """A new API key."""
    return PREFIX + secrets.token_urlsafe(32)


class Keys:
    """Use cases on API keys."""

    def __init__(self, records: Records, *, home_customer: str) -> None:
        """Keep keys in `records`. Administrators of `home_customer`, whose server it is, make keys for others too."""
        self.records = records
        self._known: dict[str, tuple[float, ApiKey]] = {}
        self.home_customer = home_customer

    async def authenticate(self, key: str, workspace: str, channel: str = "api") -> Caller:
        """The caller that a key stands for.

        Raises:
            NotAuthenticated: the key is unknown or revoked.
        """
        hashed = hash_key(key)
        until, found = self._known.get(hashed, (0.0, None))
        if time.monotonic() > until:
            found = await self.records.read(lambda transaction: transaction.find_key(hashed))
            if found is not None:
                if len(self._known) > MOST_KNOWN:
                    self._known.clear()
                self._known[hashed] = (time.monotonic() + KNOWN_FOR, found)
        if found is None or found.revoked_at is not None:
            raise NotAuthenticated(
                "the API key is not valid" if found is None else "the API key was revoked",
                "use a key of this server: `caxton serve` writes the first one to the data folder",
            )
        scope = Scope(customer=found.customer, workspace=workspace)
        return Caller(scope, Role(found.role), found.id, found.name, channel)

    async def list_keys(self, caller: Caller) -> list[ApiKey]:
        """The customer's keys."""
        caller.require(Role.ADMIN)
        return await self.records.read(lambda transaction: transaction.keys(caller.scope.customer))

    async def create(self, caller: Caller, name: str, role: Role, customer: str | None = None) -> tuple[ApiKey, str]:
        """A new key of the caller's customer (or of `customer`), and its text, which is not kept.

        Raises:
            NotPermitted: the caller may not make keys for another customer.
        """
        caller.require(Role.ADMIN)
        if customer not in (None, caller.scope.customer) and caller.scope.customer != self.home_customer:
            raise NotPermitted(
                "keys for other customers are made by the administrator of the server",
                details={"needed": "the server's own administrator", "role": caller.role},
            )
        return await self.create_for(customer or caller.scope.customer, name, role, actor=caller.actor)

    async def create_for(
        self, customer: str, name: str, role: Role, text: str | None = None, *, actor: str = SYSTEM
    ) -> tuple[ApiKey, str]:
        """A new key of `customer`; for the server itself, which makes the first one."""
        text = text or new_key()
        key = ApiKey(new_id("k"), customer, name, role, datetime.now(UTC))
        hashed = hash_key(text)
        scope = Scope(customer=customer)
        created = note(scope, KeyCreated(key_id=key.id, name=name, role=role), key.id, actor=actor)

        def add(transaction: Transaction) -> None:
            transaction.add_key(hashed, key)
            transaction.add_events(scope, [created])

        await self.records.write(add)
        return key, text

    async def revoke(self, caller: Caller, key_id: str) -> None:
        """Ends a key.

        Raises:
            NotFound: the customer has no such valid key.
            InvalidState: it is the key that the caller is using.
        """
        caller.require(Role.ADMIN)
        if key_id == caller.key_id:
            raise InvalidState("this is the key that you are using", "revoke it with another administrator's key")
        customer = caller.scope.customer
        self._known.clear()
        scope = Scope(customer=customer)

        def revoke(transaction: Transaction) -> bool:
            known = {key.id: key for key in transaction.keys(customer)}
            if not transaction.revoke_key(customer, key_id):
                return False
            revoked = KeyRevoked(key_id=key_id, name=known[key_id].name)
            transaction.add_events(scope, [note(scope, revoked, key_id, actor=caller.actor)])
            return True

        if not await self.records.write(revoke):
            raise NotFound(f'there is no valid key "{key_id}"', details={"key": key_id})
