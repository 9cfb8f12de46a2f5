"""The memory of a module that called a host function, with every access checked."""

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from wasmtime import Caller

VECTORS: Final = 1_024
"""Buffers that one read or write may name, and subscriptions that one poll may have (as POSIX's IOV_MAX)."""


class Fault(Exception):
    """A pointer leads outside the module's memory."""


class TooMany(Exception):
    """A call names more buffers than it may."""


class Guest:
    """The calling module's memory."""

    def __init__(self, caller: "Caller") -> None:
        """Find it.

        Raises:
            Fault: the module exports none.
        """
        import wasmtime

        memory = caller.get("memory")
        if not isinstance(memory, wasmtime.Memory):
            raise Fault
        self._memory, self._caller = memory, caller

    def read(self, start: int, size: int) -> bytes:
        """So many bytes from `start` on.

        Raises:
            Fault: they are not all there.
        """
        data = bytes(self._memory.read(self._caller, start, start + size)) if size else b""
        if len(data) != size:
            raise Fault
        return data

    def write(self, start: int, data: bytes) -> None:
        """Puts `data` at `start`.

        Raises:
            Fault: it does not fit there.
        """
        try:
            self._memory.write(self._caller, data, start)
        except IndexError:
            raise Fault from None

    def vectors(self, start: int, count: int) -> Iterator[tuple[int, int]]:
        """The buffers in a list of them: where each begins, and its size.

        Raises:
            TooMany: there are too many.
            Fault: the list is not in memory.
        """
        if count > VECTORS:
            raise TooMany
        return struct.iter_unpack("<II", self.read(start, 8 * count))

    def gather(self, start: int, count: int, most: int) -> bytes:
        """What stands in a list of buffers, cut off at `most` bytes.

        Raises:
            TooMany: there are too many buffers.
            Fault: one is not in memory.
        """
        data = bytearray()
        for begin, size in self.vectors(start, count):
            data += self.read(begin, min(size, most - len(data)))
            if len(data) == most:
                break
        return bytes(data)
