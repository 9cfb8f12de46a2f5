"""Work on what strangers made, in child processes that may end over it.

A request that takes more CPU or memory than it may ends its child, never the server; the next request gets a new one.
Frames in both directions: 4 bytes of length, then JSON.
"""

import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, BinaryIO, Final, cast

from caxton.adapters import confine
from caxton.adapters.children import end_child, start_child

FRAME_LIMIT: Final = 64 << 20

PATIENCE: Final = 30.0
"""Seconds on the clock for an answer; a request has a second or so of CPU."""


IDLE: Final = 60.0
"""Seconds without a request after which a child ends: a server at rest does not keep it."""


class Ended(Exception):
    """The child ended over a request: it took more `limit` ("time" or "memory") than it may."""

    def __init__(self, limit: str) -> None:
        super().__init__(limit)
        self.limit = limit


class ConfinedChildren:
    """Children that run one module of this package, each with one request at a time. May be called from any thread."""

    def __init__(self, module: str) -> None:
        """Start nothing yet.

        Args:
            module: whose `__main__` calls :func:`serve`.
        """
        self._module = module
        self._free: list[tuple[float, _Child]] = []
        """With the time at which each had its last request, the oldest first."""
        self._guard = threading.Lock()
        self._timer: threading.Timer | None = None
        self._closed = False

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request.

        Raises:
            Ended: the child ended over it.
        """
        with self._guard:
            child = self._free.pop()[1] if self._free else None
        child = child or _Child(self._module)
        reply = child.ask(request)
        if reply is None:
            raise Ended(child.end())
        if reply.pop("last") or self._closed:
            child.end()
        else:
            with self._guard:
                self._free.append((time.monotonic(), child))
                self._watch()
        return reply

    def close(self) -> None:
        """Ends the children."""
        self._closed = True
        with self._guard:
            if self._timer is not None:
                self._timer.cancel()
            left, self._free = self._free, []
        for _, child in left:
            child.end()

    def _watch(self) -> None:
        if self._timer is None and self._free and not self._closed:
            self._timer = threading.Timer(IDLE / 2, self._end_idle)
            self._timer.daemon = True
            self._timer.start()

    def _end_idle(self) -> None:
        before = time.monotonic() - IDLE
        with self._guard:
            idle = [child for since, child in self._free if since <= before]
            self._free = [(since, child) for since, child in self._free if since > before]
            self._timer = None
            self._watch()
        for child in idle:
            child.end()


class _Child:
    def __init__(self, module: str) -> None:
        command = confine.command(module)
        self._process, self._socket = start_child(command, answers_on_stdout=True, environment=confine.environment())
        self._socket.settimeout(PATIENCE)
        self._stream = cast("BinaryIO", self._socket.makefile("rwb"))

    def ask(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """Its answer; None if it ended over it, or does not come to an end."""
        with suppress(OSError):
            _send(self._stream, request)
            return _receive(self._stream)
        return None

    def end(self) -> str:
        """Ends it; what it ran out of."""
        with suppress(OSError):
            self._stream.close()
        self._socket.close()
        with suppress(subprocess.TimeoutExpired):
            return confine.ending(self._process.wait(0.5))
        end_child(self._process, 0)
        return "time"


def serve(answer: Callable[[dict[str, Any]], dict[str, Any]], *, memory: int, cpu: float, replaced_above: int) -> None:
    """In the child: answers requests until there are no more.

    Args:
        answer: what answers one.
        memory: bytes that the process may use beside what it has.
        cpu: seconds of CPU for one request; a signal ends the process then.
        replaced_above: bytes in memory above which the process ends after an answer: what it keeps must leave room.
    """
    confine.confine(memory=memory)
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    while (request := _receive(requests)) is not None:
        signal.setitimer(signal.ITIMER_PROF, cpu)
        found = answer(request)
        signal.setitimer(signal.ITIMER_PROF, 0)
        found["last"] = _resident() > replaced_above
        _send(answers, found)
        if found["last"]:
            return


def _send(stream: BinaryIO, message: Any) -> None:
    content = json.dumps(message).encode()
    stream.write(struct.pack("<I", len(content)) + content)
    stream.flush()


def _receive(stream: BinaryIO) -> Any:
    """The next frame; None at the end."""
    head = stream.read(4)
    if len(head) < 4:
        return None
    size: int = struct.unpack("<I", head)[0]
    content = stream.read(size) if size <= FRAME_LIMIT else b""
    return json.loads(content) if len(content) == size else None


def _resident() -> int:
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
