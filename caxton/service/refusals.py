"""Refusals in the event log: each kind at once, and then counted, so that nobody fills the log by being refused.

Every refusal of a key (401) and of a permission (403) comes here.
"""

import asyncio
import logging
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from caxton.domain.errors import CaxtonError
from caxton.domain.events.payload import Payload
from caxton.domain.events.system import AuthenticationFailed, ChangeRefused
from caxton.domain.ids import DEFAULT_WORKSPACE, Scope, new_id
from caxton.domain.records import ApiKey, Records
from caxton.recording.journal import note
from caxton.service.context import Caller

log = logging.getLogger(__name__)

WINDOW = 60.0
"""Seconds over which further refusals of one kind become one event."""

MOST_KINDS = 100
"""Kinds of one customer that are told apart at the same time; those beyond them are one kind, so that no one hides in noise."""

OTHERS = "others"

MOST_ADDRESSES = 10
"""Addresses that one event names."""


@dataclass
class _Counted:
    """Refusals of one kind since the last event."""

    count: int = 0
    addresses: list[str] = field(default_factory=list[str])


class Refusals:
    """Tells refusals, at most one event a minute for each kind."""

    def __init__(self, records: Records, home_customer: str, window: float = WINDOW) -> None:
        """Write to `records`. What concerns no customer goes into the log of `home_customer`."""
        self._records = records
        self._home = home_customer
        self._window = window
        self._open: dict[str, dict[Hashable, _Counted]] = {}
        """By customer and kind."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def not_permitted(self, caller: Caller, operation: str, needed: str) -> None:
        """A key asked for what its roles do not allow."""

        def told(counted: _Counted) -> Payload:
            return ChangeRefused(operation=operation, needed=needed, role=caller.role, count=counted.count)

        kind = (caller.key_id, operation, needed)
        if self._is_full(caller.scope.customer, kind):
            kind, operation, needed = (OTHERS,), OTHERS, OTHERS
        # In a workspace that the key may use: else whoever tries names would fill a log that others read.
        known = caller.scope if caller.permissions else caller.scope.model_copy(update={"workspace": DEFAULT_WORKSPACE})
        await self._count(kind, known, told, caller.actor, "not_permitted")

    async def not_authenticated(self, reason: str, key: ApiKey | None, address: str) -> None:
        """Somebody came with a key that is not valid; `key` is the one that it was, if it was one."""
        scope = Scope(customer=key.customer if key else self._home)

        def told(counted: _Counted) -> Payload:
            return AuthenticationFailed(
                reason=reason,
                key_id=key.id if key else None,
                name=key.name if key else None,
                count=counted.count,
                addresses=list(counted.addresses),
            )

        kind = (reason, key.id if key else "")
        if self._is_full(scope.customer, kind):
            kind, key = (reason, OTHERS), None
        await self._count(kind, scope, told, "system", "not_authenticated", address)

    def _is_full(self, customer: str, kind: Hashable) -> bool:
        known = self._open.get(customer, {})
        return kind not in known and len(known) >= MOST_KINDS

    async def _count(
        self,
        kind: Hashable,
        scope: Scope,
        told: Callable[[_Counted], Payload],
        actor: str,
        code: str,
        address: str | None = None,
    ) -> None:
        known = self._open.setdefault(scope.customer, {})
        counted = known.get(kind)
        first = counted is None
        if counted is None:
            counted = known[kind] = _Counted()
        counted.count += 1
        if address and address not in counted.addresses and len(counted.addresses) < MOST_ADDRESSES:
            counted.addresses.append(address)
        if not first:
            return
        await self._write(scope, told(counted), actor, code)
        counted.count = 0
        task = asyncio.create_task(self._tell_later(kind, scope, told, actor, code))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell_later(
        self, kind: Hashable, scope: Scope, told: Callable[[_Counted], Payload], actor: str, code: str
    ) -> None:
        try:
            await asyncio.sleep(self._window)
        finally:
            known = self._open[scope.customer]
            counted = known.pop(kind)
            if not known:
                del self._open[scope.customer]
        if counted.count:
            await self._write(scope, told(counted), actor, code)

    async def _write(self, scope: Scope, payload: Payload, actor: str, code: str) -> None:
        event = note(scope, payload, new_id("refused"), actor=actor, error_code=code)
        try:
            await self._records.write(lambda transaction: transaction.add_events(scope, [event]))
        except CaxtonError as failure:
            log.warning("a refusal could not be told: %s", failure.message)
