"""The end of a customer's log, for all who follow it: read once a change, however many they are.

Who is behind what is kept here (after a pause, or with a cursor) reads by itself until it is there.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Collection, Sequence
from itertools import takewhile

from caxton.domain.events import Event
from caxton.domain.ids import Scope
from caxton.domain.records import EventFilter, Records, Transaction
from caxton.service.shared_look import SharedLook

KEPT = 1_000
"""Latest events that are kept while somebody follows; where more come at once, each reads those that it wants."""

PAUSE = 0.1
"""Seconds between two looks at least: a log that never rests is read ten times a second."""

LOOK_ANYWAY = 30.0
"""Seconds after which a log is looked at although nobody has told that it has grown: a process may have died before it could."""

SILENCE = 15.0
"""Seconds without an event after which a listener is told that there is none."""

BATCH = 500
"""Events that one who is behind reads at once."""


class LogFeeds:
    """The ends of all logs that are followed in this process."""

    def __init__(self, records: Records) -> None:
        """Read from `records`, whenever it tells that a log has grown."""
        self.records = records
        self._feeds: dict[str, _Feed] = {}

    async def follow(self, scope: Scope, wanted: EventFilter, position: int) -> AsyncGenerator[Sequence[Event]]:
        """Events of the workspace behind `position`, as they are written; none after a while without any.

        Raises:
            StoreUnavailable: the log cannot be read.
        """
        feed = self._feeds.get(scope.customer)
        if feed is None:
            feed = self._feeds[scope.customer] = _Feed(self.records, scope.customer)
        feed.listeners += 1
        try:
            async for events in feed.follow(scope, wanted, position):
                yield events
        finally:
            feed.listeners -= 1
            if not feed.listeners:
                feed.close()
                del self._feeds[scope.customer]


class _Feed:
    """The end of one log."""

    def __init__(self, records: Records, customer: str) -> None:
        self.records, self.customer = records, customer
        self.listeners = 0
        self._look = SharedLook(self._read, PAUSE)
        self._grown = asyncio.Event()
        self._end: int | None = None
        """Position of the last event that was seen; None before the first look."""
        self._begin = 0
        """Events behind this position are kept."""
        self._kept = deque[Event]()
        self.close = records.log_changes.hear(self._hear)

    def _hear(self, customers: Collection[str] | None) -> None:
        if customers is None or self.customer in customers:
            self._change()

    def _change(self) -> None:
        self._look.changed()
        self._grown.set()
        self._grown = asyncio.Event()  # each who waits has taken hold of the one before

    async def follow(self, scope: Scope, wanted: EventFilter, position: int) -> AsyncGenerator[Sequence[Event]]:
        silent_until = _now() + SILENCE
        while True:
            changes, grown = self._look.changes, self._grown
            await self._look.seen(changes)
            while position < self._begin:
                position, events = await self._catch_up(scope, wanted, position)
                if events:
                    silent_until = _now() + SILENCE
                    yield events
            events, position = self._behind(scope, wanted, position), max(position, self._end or 0)
            if events:
                silent_until = _now() + SILENCE
                yield events
            if self._look.changes != changes:
                continue
            if not await _wait(grown, min(silent_until, self._look.looked_at + LOOK_ANYWAY) - _now()):
                if _now() >= silent_until:
                    silent_until = _now() + SILENCE
                    yield ()
                if _now() >= self._look.looked_at + LOOK_ANYWAY and self._look.changes == changes:
                    self._change()

    async def _read(self) -> None:
        """Takes in what is new; where that is too much, only how far the log is."""
        known = self._end

        def read(transaction: Transaction) -> tuple[int, list[Event]]:
            if known is None:
                return transaction.event_head(self.customer).sequence, []
            events = transaction.log(self.customer, after=known, limit=KEPT)
            if len(events) < KEPT:
                return (events[-1].sequence or known) if events else known, events
            return transaction.event_head(self.customer).sequence, []

        end, events = await self.records.read(read)
        if not events and end != known:
            self._kept.clear()
            self._begin = end
        self._kept.extend(events)
        self._end = end
        while len(self._kept) > KEPT:
            self._begin = self._kept.popleft().sequence or self._begin

    async def _catch_up(self, scope: Scope, wanted: EventFilter, position: int) -> tuple[int, list[Event]]:
        """Of what is not kept any more: where it ends, and those that are wanted. At most a batch."""
        end = self._begin
        events = await self.records.read(
            lambda transaction: transaction.events(scope, wanted, after=position, before=end + 1, limit=BATCH)
        )
        return (events[-1].sequence or end) if len(events) == BATCH else end, events

    def _behind(self, scope: Scope, wanted: EventFilter, position: int) -> list[Event]:
        fresh = takewhile(lambda event: (event.sequence or 0) > position, reversed(self._kept))
        return [event for event in fresh if event.workspace == scope.workspace and wanted.fits(event)][::-1]


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _wait(event: asyncio.Event, seconds: float) -> bool:
    """Whether it happens within so many seconds."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(max(0.0, seconds)):
            await event.wait()
    return event.is_set()
