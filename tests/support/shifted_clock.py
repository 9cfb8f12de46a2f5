"""A wall clock that jumps, for a server with all of its processes, the workflow engine included (see `shifted_clock.c`)."""

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

SOURCE = Path(__file__).with_name("shifted_clock.c")


def lacks() -> str | None:
    """Why it cannot be had here; None if it can."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return "the clock is shifted by system calls of Linux on x86-64"
    return None if shutil.which("cc") else "it takes a C compiler"


@dataclass(frozen=True)
class ShiftedClock:
    """The clock of programs that are started by `program`, with `environment`."""

    program: str
    file: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a program is started with."""
        return {"SHIFTED_PROGRAM": sys.executable, "CLOCK_OFFSET": str(self.file)}

    @property
    def offset(self) -> int:
        """By how many seconds it is off."""
        return int(self.file.read_text())

    def jump(self, seconds: int) -> None:
        """Moves it, for all who look at it."""
        text = f"{self.offset + seconds:+012d}"
        with self.file.open("r+b") as file:  # in one piece, for it is read all the time
            os.pwrite(file.fileno(), text.encode(), 0)

    def now(self) -> datetime:
        """What it says."""
        return datetime.now(UTC) + timedelta(seconds=self.offset)


def new_clock(folder: Path) -> ShiftedClock:
    """A clock that is right, at first."""
    program, file = folder / "shifted_clock", folder / "offset"
    subprocess.run(["cc", "-O1", "-pthread", "-o", str(program), str(SOURCE)], check=True)
    file.write_text(f"{0:+012d}")
    return ShiftedClock(str(program), file)
