"""From the key of a request to its caller, for every request: so most of it is remembered.

What is remembered is good as long as no key and no role was changed anywhere, which the store tells for some microseconds
(:class:`Changes`). So a key that is revoked, or a role that is defined again, counts from the next request on, in all processes.
"""

import asyncio
import ipaddress
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from caxton.domain.buckets import Buckets
from caxton.domain.errors import CaxtonError, NotAuthenticated, RateLimited, TokenRefused
from caxton.domain.ids import DEFAULT_WORKSPACE, Scope
from caxton.domain.key_text import KeyForm, form_of, hash_key
from caxton.domain.permissions import KeyGrant, Roles, permissions_everywhere, permissions_in, roles_of
from caxton.domain.records import ApiKey, Records, Transaction
from caxton.domain.tokens import TokenVerifier, is_token
from caxton.service.context import Caller
from caxton.service.refusals import Refusals

log = logging.getLogger(__name__)

MOST_KNOWN = 10_000
"""Keys, and unknown keys, that are remembered."""

USED_EVERY = 60.0
"""Seconds for which further uses of a key are not written down."""

FAILURES_AT_ONCE = 200
FAILURES_A_SECOND = 2.0
"""Wrong keys from one address before it is told to wait (429), and how fast that is forgotten."""

MOST_ADDRESSES = 4_096


class Changes(Protocol):
    """Tells cheaply whether a key or a role was changed by whatever process."""

    def generation(self) -> int | None:
        """Counts changes; None when that cannot be told now."""
        ...


@dataclass(frozen=True, slots=True)
class _Known:
    """A key, and the roles of its customer."""

    key: ApiKey
    roles: Roles
    generation: int | None
    expires: float
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class _KnownCaller:
    """What a request was found to be."""

    caller: Caller
    generation: int
    expires: float


class Authentication:
    """Finds callers."""

    def __init__(
        self,
        records: Records,
        changes: Changes,
        refusals: Refusals,
        *,
        home_customer: str,
        tokens: TokenVerifier | None = None,
        issuer: str | None = None,
    ) -> None:
        """Look keys up in `records`; `home_customer` is the one whose server it is; `tokens` verifies what is not a key,
        and `issuer` is whose they are."""
        self.issuer = issuer
        self._tokens = tokens
        self._records = records
        self._changes = changes
        self.refusals = refusals
        self._home = home_customer
        self._callers: dict[tuple[str, str | None, str], _KnownCaller] = {}
        self._unknown: dict[str, int | None] = {}
        self._roles: dict[str, tuple[int, Roles]] = {}
        self._used: dict[str, float] = {}
        self._using: set[str] = set()
        self._failures = Buckets(FAILURES_A_SECOND, FAILURES_AT_ONCE, MOST_ADDRESSES)
        self._tasks: set[asyncio.Task[None]] = set()

    async def authenticate(self, text: str, workspace: str | None, channel: str, address: str) -> Caller:
        """The caller that a key stands for.

        Without a workspace it is the default one, or the only one that the key may use.

        Raises:
            NotAuthenticated: the key is unknown, expired or revoked.
            RateLimited: too many wrong keys came from the address.
        """
        if self._tokens is not None and is_token(text):
            return await self._by_token(self._tokens, text, workspace, channel, address)
        generation, place = self._changes.generation(), (hash_key(text), workspace, channel)
        found = self._callers.get(place)
        if found is None or found.generation != generation or found.expires <= time.time():
            found = await self._find(text, place, address, generation)
        caller = found.caller
        if time.monotonic() - self._used.get(caller.key_id, 0.0) > USED_EVERY:
            self._use(caller.key_id)
        return caller

    async def _by_token(
        self, tokens: TokenVerifier, text: str, workspace: str | None, channel: str, address: str
    ) -> Caller:
        try:
            identity = await tokens.verify(text)
        except TokenRefused as error:
            await self.refusals.not_authenticated("invalid", None, address)
            if not self._failures[address_group(address)].take():
                raise self._too_many(address) from None
            raise error from None
        generation, customer = self._changes.generation(), identity.customer
        known = self._roles.get(customer)
        if known is None or generation is None or known[0] != generation:
            custom = await self._records.read(lambda transaction: transaction.roles(customer))
            if len(self._roles) >= MOST_KNOWN:
                self._roles.clear()
            known = self._roles[customer] = (-1 if generation is None else generation, roles_of(custom))
        return caller_of(
            Scope(customer=customer, workspace=workspace or _own_workspace(identity.grants)),
            identity.grants,
            known[1],
            key_id=identity.id,
            name=identity.name,
            channel=channel,
            at_home=customer == self._home,
        )

    async def _find(
        self, text: str, place: tuple[str, str | None, str], address: str, generation: int | None
    ) -> _KnownCaller:
        hashed, workspace, channel = place
        known = await self._look_up(text, hashed, address, generation)
        caller = self._caller(known, workspace or _own_workspace(known.key.grants), channel)
        found = _KnownCaller(caller, -1 if generation is None else generation, known.expires)
        if generation is not None:
            if len(self._callers) >= MOST_KNOWN:
                self._callers.clear()
            self._callers[place] = found
        return found

    async def _look_up(self, text: str, hashed: str, address: str, generation: int | None) -> _Known:
        form = form_of(text)
        if form is KeyForm.DAMAGED or (generation is not None and self._unknown.get(hashed, -1) == generation):
            raise await self._refusal("unknown", None, address)
        if form is KeyForm.OTHER and self._failures[address_group(address)].left < 1.0:
            raise self._too_many(address)  # a key that somebody has chosen is one that somebody may guess
        known = await self._records.read(lambda transaction: _read(transaction, hashed, generation))
        if known is None:
            if generation is not None:
                if len(self._unknown) >= MOST_KNOWN:
                    self._unknown.clear()
                self._unknown[hashed] = generation
            raise await self._refusal("unknown", None, address)
        if known.key.revoked_at is not None:
            raise await self._refusal("revoked", known.key, address)
        if known.expires <= time.time():
            raise await self._refusal("expired", known.key, address)
        return known

    async def _refusal(self, reason: str, key: ApiKey | None, address: str) -> CaxtonError:
        await self.refusals.not_authenticated(reason, key, address)
        if not self._failures[address_group(address)].take():
            return self._too_many(address)
        said = {
            "unknown": "the API key is not valid",
            "revoked": "the API key was revoked",
            "expired": "the API key has expired",
        }[reason]
        return NotAuthenticated(
            said,
            "use a valid key of this server: an administrator makes one with `caxton key create`"
            if key
            else "use a key of this server: `caxton serve` writes the first one to the data folder",
        )

    def _too_many(self, address: str) -> RateLimited:
        return RateLimited(
            "too many wrong API keys came from this address",
            "wait, and send a valid key",
            retry_after=self._failures[address_group(address)].wait,
        )

    def _caller(self, known: _Known, workspace: str, channel: str) -> Caller:
        key = known.key
        return caller_of(
            Scope(customer=key.customer, workspace=workspace),
            key.grants,
            known.roles,
            key_id=key.id,
            name=key.name,
            channel=channel,
            at_home=key.customer == self._home,
            rate=key.rate,
        )

    def _use(self, key_id: str) -> None:
        """Lets it be written down, beside the request, that a key was used."""
        if len(self._used) >= MOST_KNOWN:
            self._used.clear()
        self._used[key_id] = time.monotonic()
        self._using.add(key_id)
        if len(self._using) == 1:
            task = asyncio.create_task(self._write_uses())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _write_uses(self) -> None:
        await asyncio.sleep(0)  # those of the same moment together
        used, self._using = self._using, set()
        moment = datetime.now(UTC)
        try:
            await self._records.write(lambda transaction: transaction.use_keys(used, moment))
        except CaxtonError as failure:
            log.warning("the use of keys could not be written down: %s", failure.message)


def caller_of(
    scope: Scope,
    grants: Sequence[KeyGrant],
    roles: Roles,
    *,
    key_id: str,
    name: str,
    channel: str,
    at_home: bool,
    rate: float | None = None,
) -> Caller:
    """The caller with these roles in the scope."""
    held = [grant.role for grant in grants if grant.covers(scope.workspace)]
    return Caller(
        scope,
        ", ".join(dict.fromkeys(held)) or "none",
        key_id,
        name,
        channel,
        permissions_in(scope.workspace, grants, roles, at_home=at_home),
        permissions_everywhere(grants, roles, at_home=at_home),
        rate,
    )


def address_group(address: str) -> str:
    """Whom an address counts for: itself, or in IPv6 its network, of which one machine has as many as it likes."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network((address.partition("%")[0], 64), strict=False))
    except ValueError:
        return address


def _read(transaction: Transaction, hashed: str, generation: int | None) -> _Known | None:
    key = transaction.find_key(hashed)
    if key is None:
        return None
    expires = key.expires_at.timestamp() if key.expires_at else float("inf")
    return _Known(key, roles_of(transaction.roles(key.customer)), generation, expires)


def _own_workspace(grants: Sequence[KeyGrant]) -> str:
    """The workspace of a request that names none: the default one, or the only one that the key may use."""
    named = {workspace for grant in grants for workspace in grant.workspaces or (DEFAULT_WORKSPACE,)}
    return named.pop() if len(named) == 1 else DEFAULT_WORKSPACE
