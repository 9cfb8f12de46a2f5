"""Room on the disk: new work is refused in time, so that what was accepted can be finished."""

import asyncio
import logging
import os
import shutil
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from caxton.domain.errors import CaxtonError, DiskFull, Hint
from caxton.domain.quantities import format_size
from caxton.observability.metrics import METRICS

log = logging.getLogger(__name__)

POLL_INTERVAL = 0.1
"""Seconds for which what was found holds: far less than the reserve takes to fill."""

MEASURE_EVERY = 20.0
"""Seconds between two times that the size of the data folder is measured, which takes a while where there are many files."""

SHARED_FROM = 0.8
"""Share of the limit from which on a customer with more than an equal share of that is refused: the rest is for the others."""

DATABASE = "caxton.db"
"""With what the names of the database's files begin."""

OF_CUSTOMERS = ("blobs", "memory", "archive")
"""Folders with one for each customer."""

WARN_AT = (80, 90)
"""Per cent of the limit of which the log warns, once each time that it is passed."""


@dataclass
class DiskGuard:
    """The disk that holds the data folder, and the folder's size."""

    folder: Path
    reserve: int
    """Bytes that must be free for new work to be accepted."""
    most: int | None = None
    """Bytes that the folder may have for new work to be accepted; None for any number."""
    most_of_customer: int | None = None
    """Bytes that one customer may have for its new work to be accepted; None for any number."""
    used_by: Mapping[str, int] = field(default_factory=dict[str, int], init=False)
    """Bytes that each customer had: its files, and of the database as much as it has of the events there."""
    used: int = field(default=0, init=False)
    """Bytes that the folder had when it was measured."""
    events: Mapping[str, int] = field(default_factory=dict[str, int], init=False, repr=False)
    """How many events of each customer are in the database."""
    _warned: int = field(default=0, init=False, repr=False)
    _found_at: float = field(default=float("-inf"), init=False, repr=False)

    def require(self, customer: str) -> None:
        """Like :meth:`check` for a customer, on the path of every message: looks now and then.

        Raises:
            DiskFull: less than the reserve, or more than a limit.
        """
        now = time.monotonic()
        if now - self._found_at > POLL_INTERVAL:
            self.check()
            self._found_at = now
        self._check_customer(customer)

    def check(self, customer: str | None = None) -> str:
        """How much is free.

        Raises:
            DiskFull: less than the reserve, or more than the limit; with `customer` also more than that may have.
        """
        if customer is not None:
            self._check_customer(customer)
        try:
            free = shutil.disk_usage(self.folder).free
        except OSError as error:
            raise DiskFull(f"the data folder {self.folder} is gone: {error.strerror}") from error
        if free < self.reserve:
            raise DiskFull(
                f"the disk that holds {self.folder} is full: {format_size(free)} are left, and new work is "
                f"accepted while {format_size(self.reserve)} are",
                Hint(text="free some room; what was accepted goes on by itself then"),
                details={"free": free, "reserve": self.reserve},
            )
        if self.most is not None and self.used >= self.most:
            raise DiskFull(
                f"{self.folder} has {format_size(self.used)}, and new work is accepted while it has less than "
                f"{format_size(self.most)} (limits.data_size)",
                Hint(text="see what takes it", command="caxton storage"),
                Hint(text="let old things go: caxton retention set; or move files of the archive elsewhere"),
                details={"used": self.used, "limit": self.most},
            )
        told = f"{format_size(free)} free"
        if self.most is None:
            return told
        return f"{told}, {format_size(self.used)} of {format_size(self.most)} used ({self.used * 100 // self.most} %)"

    def _check_customer(self, customer: str) -> None:
        used, most = self.used_by.get(customer, 0), self.most_of_customer
        if most is not None and used >= most:
            why = f"a customer may have {format_size(most)} (limits.customer_size)"
        elif self.most is not None and len(self.used_by) > 1 and self.used >= self.most * SHARED_FROM:
            most = int(self.most * SHARED_FROM / len(self.used_by))
            if used < most:
                return
            why = f"the server is nearly full, and an equal share of it would be {format_size(most)}"
        else:
            return
        raise DiskFull(
            f"what is stored for you has about {format_size(used)}; {why}",
            Hint(text="see what takes it", command="caxton storage"),
            Hint(text="let old things go: caxton retention set, caxton conversation delete"),
            details={"used": used, "limit": most},
        )

    async def keep_measured(self, events: Callable[[], Awaitable[Mapping[str, int]]]) -> None:
        """Measures the folder, forever, and warns before its limit is reached; `events` tells how many each customer has."""
        while True:
            try:
                self.events = await events()
            except CaxtonError as error:
                log.debug("events could not be counted: %s", error.message)
            await asyncio.to_thread(self.measure)
            await asyncio.sleep(MEASURE_EVERY)

    def measure(self) -> int:
        """Measures the folder now."""
        self.used, self.used_by = self._sizes()
        METRICS.data_folder(self.used, self.most)
        if self.most:
            passed = max((each for each in WARN_AT if self.used * 100 >= self.most * each), default=0)
            if passed > self._warned:
                log.warning(
                    "the data folder has %s, which is %d %% of its limit (limits.data_size)",
                    format_size(self.used),
                    self.used * 100 // self.most,
                )
            self._warned = passed
        return self.used

    def _sizes(self) -> tuple[int, Counter[str]]:
        """Bytes of the whole folder, and of each customer."""
        whole, database, of = 0, 0, Counter[str]()
        for path in _inside(self.folder):
            for each in _inside(path) if path.name in OF_CUSTOMERS else [path]:
                size = size_of(each)
                whole += size
                if each is not path and each.is_dir():
                    of[each.name] += size
                elif path.name.startswith(DATABASE):
                    database += size
        events = sum(self.events.values())
        for customer, count in self.events.items():
            of[customer] += database * count // max(1, events)
        return whole, of


def _inside(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; what goes away meanwhile does not count."""
    total = 0
    try:
        if not path.is_dir():
            return path.stat().st_size
        with os.scandir(path) as entries:
            for entry in entries:
                is_folder = entry.is_dir(follow_symlinks=False)
                total += size_of(Path(entry.path)) if is_folder else entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        pass
    return total
