"""Events of what may happen often, such as refusals and reads: counted in memory, and told in at most one event per minute.

So nobody who may only read, or may do nothing at all, makes the log grow with each request.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from caxton.domain.errors import CaxtonError
from caxton.domain.events import SYSTEM, Event, Payload
from caxton.domain.events.system import RequestsRefused
from caxton.domain.ids import Scope, new_id
from caxton.domain.origin import Origin, current_origin
from caxton.domain.records import Records
from caxton.recording.journal import note, now
from caxton.service.context import Caller

log = logging.getLogger(__name__)

WINDOW = 60.0
"""Seconds for which a count is gathered; the first of its kind is told at once."""

EVERY = 1.0
"""Seconds between looks whether something is to be told."""

MOST = 1_000
"""Kinds that are counted apart; all others together are one more."""

PATIENCE = 2.0
"""Seconds that an answer waits until the first of its kind is told."""

Make = Callable[[int, datetime, datetime], Payload]
"""The payload for a count, between the first and the last time."""


@dataclass(slots=True)
class _Tally:
    scope: Scope
    actor: str
    make: Make
    origin: Origin | None
    error_code: str | None
    agent: str | None
    count: int = 0
    first: datetime | None = None
    last: datetime | None = None
    told: float = 0.0
    """When it was told the last time, by the monotonic clock."""


class Tallies:
    """Counts by kind. One for each process with an API."""

    def __init__(self, records: Records, home_customer: str) -> None:
        """Write to `records`; what belongs to no customer, to the log of `home_customer`."""
        self.records = records
        self.home = Scope(customer=home_customer)
        self._known: dict[tuple[object, ...], _Tally] = {}
        self._writing = asyncio.Lock()

    def count(
        self,
        kind: tuple[object, ...],
        scope: Scope,
        make: Make,
        *,
        actor: str = SYSTEM,
        origin: Origin | None = None,
        error_code: str | None = None,
        agent: str | None = None,
    ) -> bool:
        """Counts one; returns whether it is the first of its kind for a while, and will be told with the next :meth:`tell`."""
        found = self._known.get(kind)
        if found is None:
            if len(self._known) >= MOST:
                self._forget()
            if len(self._known) >= MOST:
                kind = ("other", scope.customer, kind[0])
            found = self._known.setdefault(kind, _Tally(scope, actor, make, origin, error_code, agent))
        found.make, found.origin = make, origin
        found.count += 1
        found.last = now()
        found.first = found.first or found.last
        return time.monotonic() - found.told >= WINDOW

    async def soon(self) -> None:
        """Tells what is due now, if that does not take long; else it is told later."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self.tell()
        except (TimeoutError, CaxtonError) as error:
            log.warning("refusals are told later: %s", getattr(error, "message", "the store is slow"))

    async def tell(self, *, everything: bool = False) -> None:
        """Writes an event for each kind that was counted and not told for a while, or for all of them.

        Raises:
            StoreUnavailable: the counts are kept for the next time.
            DiskFull: the same.
        """
        async with self._writing:
            moment = time.monotonic()
            due = [
                tally
                for tally in self._known.values()
                if tally.count and (everything or moment - tally.told >= WINDOW or not tally.told)
            ]
            if not due:
                return
            counts = [(tally, tally.count) for tally in due]
            events = [(tally.scope, _event(tally)) for tally in due]
            await self.records.write(
                lambda transaction: [transaction.add_events(scope, [event]) for scope, event in events]
            )
            for tally, counted in counts:
                tally.count -= counted  # more may have come meanwhile
                tally.first = tally.last if tally.count else None
                tally.told = moment

    async def run(self) -> None:
        """Tells what is due, forever."""
        while True:
            await asyncio.sleep(EVERY)
            try:
                await self.tell()
            except CaxtonError as error:
                log.warning("refusals and reads are told later: %s", error.message)

    async def close(self) -> None:
        """Tells all that is left."""
        try:
            await self.tell(everything=True)
        except CaxtonError as error:
            log.warning("counts of refusals and reads are lost: %s", error.message)

    def _forget(self) -> None:
        """Gives kinds up that have nothing left to record."""
        moment = time.monotonic()
        old = [kind for kind, tally in self._known.items() if not tally.count and moment - tally.told > WINDOW]
        for kind in old:
            del self._known[kind]

    # --- what is counted ---

    def limited(self, code: str, operation: str, peer: str, caller: Caller | None) -> None:
        """A request was refused for its size, for too many, or for the site or name that it came by."""

        def make(count: int, first: datetime, last: datetime) -> Payload:
            return RequestsRefused(code=code, operation=operation, count=count, first_at=first, last_at=last)

        kind = ("limited", code, operation, caller.key_id if caller else peer)
        origin = current_origin() or Origin(peer=peer)
        scope, actor = (caller.scope, caller.actor) if caller else (self.home, SYSTEM)
        self.count(kind, scope, make, actor=actor, origin=origin, error_code=code)

    def read(self, caller: Caller, subject: str, make: Make) -> bool:
        """Counts that somebody read something whose reading belongs into the log; returns whether it is to be told soon."""
        kind = ("read", subject, caller.scope, caller.key_id)
        return self.count(kind, caller.scope, make, actor=caller.actor, origin=current_origin())


def _event(tally: _Tally) -> Event:
    assert tally.first is not None
    assert tally.last is not None
    payload = tally.make(tally.count, tally.first, tally.last)
    return note(
        tally.scope,
        payload,
        new_id("tally"),
        actor=tally.actor,
        agent=tally.agent,
        origin=tally.origin,
        error_code=tally.error_code,
    )
