"""Running a command as on a terminal."""

import codecs
import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyte


class Terminal:
    """A process whose input and output is a terminal."""

    def __init__(
        self,
        *command: str,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        columns: int = 100,
        program: Sequence[str] = ("-m", "caxton"),
    ) -> None:
        """Start `caxton`, or another Python program, with the arguments `command`, on a terminal of so many columns."""
        self._main, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self.columns = columns
        environment = {**os.environ, "TERM": "xterm-256color", **(env or {})}
        environment = {name: value for name, value in environment.items() if name not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            [sys.executable, *program, *command],
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
        return _lines_of(self.text)

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


_MARK = "──▶ "
_EACH = f"""
import json, sys
from caxton.cli.app import run
for command in json.loads(sys.argv[1]):
    code = run(command)
    print(f"\\n{_MARK}{{code}}")
"""


@dataclass(frozen=True)
class Shown:
    """What one command left on a terminal."""

    code: int
    lines: list[str]
    columns: int

    @property
    def too_wide(self) -> list[str]:
        """Lines that are broken at the edge of the terminal."""
        return [line for line in self.lines if len(line) > self.columns]


def on_a_terminal(*commands: Sequence[str], cwd: Path, env: Mapping[str, str], columns: int) -> list[Shown]:
    """Runs commands one after another on one terminal, in one process: to start one takes longer than most commands do."""
    terminal = Terminal(json.dumps(commands), cwd=cwd, env=env, columns=columns, program=("-c", _EACH))
    assert terminal.finish() == 0, terminal.text
    *pieces, _ = re.split(rf"\r?\n{_MARK}(\d+)\r?\n", terminal.text)
    assert len(pieces) == 2 * len(commands), terminal.text
    return [Shown(int(code), _lines_of(text), columns) for text, code in zip(pieces[::2], pieces[1::2], strict=True)]


def _lines_of(text: str) -> list[str]:
    """What `text` leaves on a terminal that is wide and high enough."""
    screen = pyte.Screen(500, text.count("\n") + 2)
    pyte.Stream(screen).feed(text)
    return "\n".join(line.rstrip() for line in screen.display).rstrip().split("\n")
