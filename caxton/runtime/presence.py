"""Names of workers that tell others on the same machine whether the worker's process is still there."""

import asyncio
import os
import re
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path

from caxton.domain.ids import new_id

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_PROCESSES = Path("/proc/self/ns/pid")
"""Processes of two containers may have the same number: each numbers its own."""
_NAME = re.compile("w_([0-9a-f]{12})_([0-9a-f]{1,15})_([0-9a-f]{1,15})")


def worker_name() -> str:
    """A name for this process as a worker: random, with where it runs, its number, and when it began."""
    here, began = _here(), _began(os.getpid())
    return new_id("w") if here is None or began is None else f"w_{here}_{os.getpid():x}_{began:x}"


def watch(worker: str, ended: Callable[[], None]) -> Callable[[], None] | None:
    """Calls `ended` in the running event loop as soon as the process of a worker has ended, if it has not yet.

    Its connections are closed before that is told.

    Returns:
        What ends the watching; None of a worker on another machine, or where the system tells nothing.
    """
    process, loop = _process_of(worker), asyncio.get_running_loop()
    if process is None:
        return None
    try:
        descriptor = os.pidfd_open(process[0])
    except ProcessLookupError:
        return loop.call_soon(ended).cancel
    except (AttributeError, OSError, OverflowError):
        return None

    def leave() -> None:
        if loop.remove_reader(descriptor):
            os.close(descriptor)

    def heard() -> None:
        leave()
        ended()

    loop.add_reader(descriptor, heard)
    if has_gone(worker):  # its number is another process's by now
        leave()
        return loop.call_soon(ended).cancel
    return leave


def has_gone(worker: str) -> bool:
    """Whether the worker of that name is known to be dead. False of one on another machine, of which nothing is known."""
    found = _process_of(worker)
    if found is None:
        return False
    process, began = found
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return _began(process) not in (None, began)


def _process_of(worker: str) -> tuple[int, int] | None:
    """Number of a worker's process, and when that began; None of one on another machine."""
    found = _NAME.fullmatch(worker)
    return None if found is None or found[1] != _here() else (int(found[2], 16), int(found[3], 16))


@cache
def _here() -> str | None:
    """This machine since it was started, and the numbering of processes; None where the system does not tell."""
    try:
        return sha256(f"{_BOOT.read_text()} {_PROCESSES.readlink()}".encode()).hexdigest()[:12]
    except OSError:
        return None


def _began(process: int) -> int | None:
    """When a process began, in ticks since the machine did; 0 of one that has ended, None where that is not told."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return 0 if fields[0] in ("Z", "X") else int(fields[19])
