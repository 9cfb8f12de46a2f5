"""Keeps a server small while it has nothing to do."""

import ctypes
import sys
from collections.abc import Generator
from contextlib import contextmanager

M_ARENA_MAX = -8
"""malloc.h"""

ARENAS = 2
"""Heaps of glibc's malloc in this process: it would make eight a core, for threads which sleep most of the time."""


def few_heaps() -> None:
    """Has all threads that begin from now on share the same few heaps, so that what one gives back another can take."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):  # musl has none, and one heap
            libc.mallopt(M_ARENA_MAX, ARENAS)


def give_back() -> None:
    """Returns to the system what start-up needed for a moment and malloc keeps."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "malloc_trim"):
            libc.malloc_trim(0)


@contextmanager
def without(module: str) -> Generator[None]:
    """Has libraries believe that `module` is not installed, while they are loaded.

    Temporal's client makes stubs for Python's gRPC where that is there (Qdrant's client brings it), 10 MB that nobody uses.
    """
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.modules.pop(module, None)
