"""Room on the disk: new work is refused in time, so that what was accepted can be finished."""

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from caxton.domain.errors import DiskFull, Hint
from caxton.domain.quantities import format_size

LOOK_EVERY = 0.1
"""Seconds for which what was found holds: far less than the reserve takes to fill."""


@dataclass
class DiskRoom:
    """The disk that holds the data folder."""

    folder: Path
    reserve: int
    """Bytes that must be free for new work to be accepted."""
    _found_at: float = field(default=float("-inf"), init=False, repr=False)

    def require(self) -> None:
        """Like :meth:`check`, on the path of every message: looks now and then.

        Raises:
            DiskFull: less than the reserve.
        """
        now = time.monotonic()
        if now - self._found_at > LOOK_EVERY:
            self.check()
            self._found_at = now

    def check(self) -> str:
        """How much is free.

        Raises:
            DiskFull: less than the reserve.
        """
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
        return f"{format_size(free)} free"
