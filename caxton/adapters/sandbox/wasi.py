"""The functions of WASI preview 1 that Caxton answers itself for commands.

Output goes to memory with a limit, because a file would grow as fast as the disk writes, and wasmtime's own callbacks
run on threads of another runtime. Waiting ends at the run's deadline, because no epoch interrupts a blocking host call.

Struct layouts and error numbers: WebAssembly/WASI, legacy/preview1/witx/typenames.witx.
"""

import logging
import struct
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from caxton.adapters.sandbox.host import Run, active_run

if TYPE_CHECKING:
    from wasmtime import Caller, Linker

_logger = logging.getLogger(__name__)

MODULE: Final = "wasi_snapshot_preview1"

SUCCESS: Final = 0
BADF: Final = 8
FAULT: Final = 21
FBIG: Final = 22
INVAL: Final = 28
IO: Final = 29
NOTSUP: Final = 58

_VECTORS: Final = 1_024
"""Buffers that one write may name, and subscriptions that one poll may have (as POSIX's IOV_MAX)."""

_SUBSCRIPTION: Final = 48
_CLOCK: Final = 0
_REALTIME: Final = 0
_ABSOLUTE: Final = 1


class _Fault(Exception):
    """A pointer leads outside the module's memory."""


class Output:
    """What a command writes to one of its streams, up to a limit."""

    def __init__(self, limit: int) -> None:
        self.content = bytearray()
        self.overflowed = False
        self._limit = limit

    def write(self, data: bytes) -> bool:
        """Keeps `data`; False when there is more than fits."""
        room = self._limit - len(self.content)
        self.content += data[:room]
        if len(data) > room:
            self.overflowed = True
        return len(data) <= room


class _Memory:
    """The calling module's memory, with every access checked."""

    def __init__(self, caller: "Caller") -> None:
        import wasmtime

        memory = caller.get("memory")
        if not isinstance(memory, wasmtime.Memory):
            raise _Fault
        self._memory, self._caller = memory, caller

    def read(self, start: int, size: int) -> bytes:
        data = bytes(self._memory.read(self._caller, start, start + size)) if size else b""
        if len(data) != size:
            raise _Fault
        return data

    def write(self, start: int, data: bytes) -> None:
        try:
            self._memory.write(self._caller, data, start)
        except IndexError:
            raise _Fault from None


def _fd_write(run: Run, memory: _Memory, handle: int, vectors: int, count: int, written: int) -> int:
    output = run.outputs.get(handle)
    if output is None:
        return BADF
    if count > _VECTORS:
        return INVAL
    total = 0
    for start, size in struct.iter_unpack("<II", memory.read(vectors, 8 * count)):
        if not output.write(memory.read(start, size)) and handle == 1:
            run.stop()
            return FBIG
        total += size
    memory.write(written, struct.pack("<I", total))
    return SUCCESS


def _poll_oneoff(run: Run, memory: _Memory, subscriptions: int, events: int, count: int, stored: int) -> int:
    if not 0 < count <= _VECTORS:
        return INVAL
    data = memory.read(subscriptions, _SUBSCRIPTION * count)
    clocks: list[tuple[float, bytes]] = []
    ready: list[bytes] = []
    for offset in range(0, len(data), _SUBSCRIPTION):
        user, kind = struct.unpack_from("<QB", data, offset)
        if kind != _CLOCK:  # standard input is in memory and output never blocks: files and streams are ready at once
            ready.append(_event(user, kind))
            continue
        clock, timeout, _, flags = struct.unpack_from("<I4xQQH", data, offset + 16)
        if not flags & _ABSOLUTE:
            clocks.append((timeout / 1e9, _event(user, kind)))
        elif clock == _REALTIME:
            clocks.append((timeout / 1e9 - time.time(), _event(user, kind)))
        else:  # the other clocks count from a moment that only wasmtime knows
            ready.append(_event(user, kind, NOTSUP))
    if clocks and not ready:
        wait = max(min(seconds for seconds, _ in clocks), 0)
        run.wait(wait)
        ready = [event for seconds, event in clocks if seconds <= wait]
    memory.write(events, b"".join(ready))
    memory.write(stored, struct.pack("<I", len(ready)))
    return SUCCESS


def _event(user: int, kind: int, error: int = SUCCESS) -> bytes:
    available = 1 if kind != _CLOCK else 0
    return struct.pack("<QHBxxxxxQHxxxxxx", user, error, kind, available, 0)


def _unsigned(parameters: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(parameter & 0xFFFF_FFFF for parameter in parameters)


def _guarded(work: Callable[..., int]) -> Callable[..., int]:
    """`work` as a host function: it never raises, since an exception could surface in another thread's call."""

    def function(caller: "Caller", *parameters: int) -> int:
        run = active_run()
        if run is None:
            return IO
        try:
            run.charge()
            return work(run, _Memory(caller), *_unsigned(parameters))
        except _Fault:
            return FAULT
        except Exception as error:  # by name only: the text may be a user's data
            _logger.error("a WASI function failed: %s", type(error).__name__)
            return IO

    return function


def add_wasi(linker: "Linker", *, capture_output: bool) -> None:
    """Defines WASI preview 1, with waiting, and if asked the output, in Caxton's hands."""
    import wasmtime

    linker.allow_shadowing = True
    linker.define_wasi()
    i32 = wasmtime.ValType.i32()
    kind = wasmtime.FuncType([i32] * 4, [i32])
    own: dict[str, Callable[..., Any]] = {"poll_oneoff": _poll_oneoff}
    if capture_output:
        own["fd_write"] = _fd_write
    for name, work in own.items():
        linker.define_func(MODULE, name, kind, _guarded(work), access_caller=True)
