"""Notices that the wall clock was set back, and tells until when what is due has to wait.

Due times are times of the wall clock. New timers of the workflow engine fire no sooner than the latest time that it has seen:
while the clock is behind that, retries, time-outs and schedules wait. Nothing is lost.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from caxton.domain.errors import CaxtonError, Hint
from caxton.domain.quantities import format_duration
from caxton.domain.records import Records
from caxton.recording import journal
from caxton.service.server_log import ServerLog

log = logging.getLogger(__name__)

POLL_INTERVAL = 1.0
"""Seconds between two looks at the clock."""

TOLERANCE = timedelta(seconds=5)
"""What a clock may go back unremarked: servers that share a log differ by as much, and timers wait no longer."""


class WallClock:
    """The clock of this machine, compared with the latest time that it and the log have said."""

    def __init__(
        self,
        records: Records,
        server_log: ServerLog,
        on_set_back: Callable[[], None] = lambda: None,
        now: Callable[[], datetime] = journal.now,
    ) -> None:
        """Compare `now` with what `records` have; `server_log` is told when it goes back.

        Args:
            records: their log has the latest time that was seen before.
            server_log: gets the event.
            on_set_back: called each time that the clock goes back while this runs.
            now: the clock.
        """
        self.records = records
        self.server_log = server_log
        self._on_set_back = on_set_back
        self._now = now
        self._before: datetime | None = None
        """What the clock said at the last look."""
        self._latest: datetime | None = None
        """The latest time so far; None before the log has been looked at."""
        self._told = False

    async def run(self) -> None:
        """Looks, again and again."""
        while True:
            try:
                await self.look()
            except CaxtonError as error:
                log.warning("a clock that went back could not be recorded: %s", error.message)
            await asyncio.sleep(POLL_INTERVAL)

    async def look(self) -> None:
        """Looks once, and tells a clock that went back, once.

        Raises:
            CaxtonError: the store did not take it; it is told by the next look.
        """
        now, before, latest = self._now(), self._before, self._latest
        self._before = now
        if before is not None and before - now > TOLERANCE:
            self._on_set_back()
        if latest is None:  # the clock may have gone back while no server ran
            latest = await self.records.read(lambda transaction: transaction.latest_event_time()) or now
        self._latest = max(latest, now)
        behind = self._behind(now)
        if not behind:
            self._told = False
        elif not self._told:
            log.warning("the clock went back by %s: what is due waits until %s", *_told(behind, self._latest))
            await self.server_log.clock_set_back(behind.total_seconds(), self._latest)
            self._told = True

    async def check(self) -> str:
        """That the clock has not gone back.

        Raises:
            CaxtonError: it has, and what is due waits.
        """
        if behind := self._behind(self._now()):
            assert self._latest is not None
            duration, until = _told(behind, self._latest)
            raise CaxtonError(
                f"the clock went back by {duration}: what is due waits until {until}",
                Hint(text="if that time was right, set the clock to it; else wait, or see how-to/monitor"),
            )
        return "right"

    def _behind(self, now: datetime) -> timedelta:
        """By how much the clock is behind the latest time; nothing within the tolerance."""
        behind = (self._latest or now) - now
        return behind if behind > TOLERANCE else timedelta(0)


def _told(behind: timedelta, until: datetime) -> tuple[str, str]:
    return format_duration(round(behind.total_seconds())), until.isoformat(sep=" ", timespec="seconds")
