"""Running a command as on a terminal."""

import codecs
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pyte


class Terminal:
    """A process whose input and output is a terminal."""

    def __init__(self, *command: str, cwd: Path, env: Mapping[str, str] | None = None, columns: int = 100) -> None:
        """Start `caxton` with the arguments `command`, on a terminal of so many columns."""
        self._main, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self.columns = columns
        environment = {**os.environ, "TERM": "xterm-256color", **(env or {})}
        environment = {name: value for name, value in environment.items() if name not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "caxton", *command],
            stdin=side,
            stdout=side,
            stderr=side,
            cwd=cwd,
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so that Ctrl-C interrupts
        )
        os.close(side)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._seen = 0
        self.text = ""

    def type(self, keys: str) -> None:
        """Presses keys."""
        os.write(self._main, keys.encode())

    def wait_for(self, expected: str, seconds: float = 30) -> str:
        """Reads until `expected` stands on the screen after what was waited for before."""
        self._read(lambda: expected in self.text[self._seen :], seconds, expected)
        self._seen = self.text.index(expected, self._seen) + len(expected)
        return self.text

    def finish(self, seconds: float = 30) -> int:
        """Reads to the end and returns the exit code."""
        self._read(lambda: False, seconds, None)
        code = self.process.wait(seconds)
        os.close(self._main)
        return code

    def lines(self) -> list[str]:
        """What stands on the terminal, as if it were wider and higher: lines that are too long show."""
        screen = pyte.Screen(500, 1000)
        pyte.Stream(screen).feed(self.text)
        return "\n".join(line.rstrip() for line in screen.display).rstrip().split("\n")

    def too_wide(self) -> list[str]:
        """Lines that are broken at the edge of the terminal."""
        return [line for line in self.lines() if len(line) > self.columns]

    def _read(self, enough: Callable[[], bool], seconds: float, expected: str | None) -> None:
        deadline = time.monotonic() + seconds
        while not enough():
            ready, _, _ = select.select([self._main], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                self.process.kill()
                raise AssertionError(f"waited for {expected!r} in vain; the terminal shows:\n{self.text}")
            try:
                piece = os.read(self._main, 65_536)
            except OSError:  # the other side is closed
                piece = b""
            if not piece:
                if expected is not None:
                    raise AssertionError(f"ended without {expected!r}; the terminal shows:\n{self.text}")
                break
            self.text += self._decoder.decode(piece)
