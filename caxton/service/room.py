"""Room on the disk: new work is refused in time, so that what was accepted can be finished."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from caxton.domain.errors import DiskFull, Hint
from caxton.domain.quantities import format_size


@dataclass(frozen=True)
class DiskRoom:
    """The disk that holds the data folder."""

    folder: Path
    reserve: int
    """Bytes that must be free for new work to be accepted."""

    def check(self) -> str:
        """How much is free. A call of the operating system: microseconds.

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
