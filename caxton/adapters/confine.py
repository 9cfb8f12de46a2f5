"""Limits on a process that works on what strangers made, and how it is started."""

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Final

RESERVED: Final = 6 << 30
"""Bytes of address space beyond the memory that may be used: engines and allocators reserve more than they touch."""

_PACKAGE_ROOT: Final = str(Path(__file__).parents[2])

_INHERITED: Final = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR")
"""A child gets these variables and no others: no secret of the server is in its memory."""


def confine(*, memory: int, cpu: int | None = None, output: int = 0) -> None:
    """Limits what this process may use, and lets the server go first.

    Args:
        memory: bytes that it may write to, beside what it has.
        cpu: seconds of CPU, all threads together.
        output: bytes of one file.
    """
    import resource

    limits = [
        (resource.RLIMIT_DATA, _data() + memory),
        (resource.RLIMIT_AS, memory + RESERVED),
        (resource.RLIMIT_FSIZE, output),
        (resource.RLIMIT_CORE, 0),
    ]
    if cpu is not None:
        limits.append((resource.RLIMIT_CPU, cpu))
    for kind, limit in limits:
        with contextlib.suppress(ValueError, OSError):  # macOS knows some of them by name only
            resource.setrlimit(kind, (limit, limit))
    os.nice(5)


def _data() -> int:
    """Bytes of memory that this process may write to already."""
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123
            return int(file.read().split()[5]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 128 << 20


def command(module: str, *arguments: str) -> list[str]:
    """How a module of this package is run as a process of its own."""
    return [sys.executable, "-P", "-m", module, *arguments]


def environment() -> dict[str, str]:
    """The variables that it gets."""
    found = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return found | {"PYTHONPATH": os.pathsep.join([_PACKAGE_ROOT, *filter(None, sys.path)])}


def ending(status: int) -> str:
    """What a process that ended with `status` ran out of, as far as one can tell."""
    if -status in (signal.SIGXCPU, signal.SIGPROF, signal.SIGKILL):
        return "time"
    return "memory"
