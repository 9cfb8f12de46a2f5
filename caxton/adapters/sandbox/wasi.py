"""WASI preview 1 for commands, as far as Caxton answers it itself.

Output goes to memory with a limit, because a file would grow as fast as the disk writes, and wasmtime's own callbacks
run on threads of another runtime. Waiting ends at the run's deadline, because no epoch interrupts a blocking host call.
With granted folders, all functions of files are Caxton's (`wasi_files`); without, there is no file to be had.

Struct layouts and error numbers: WebAssembly/WASI, legacy/preview1/witx/typenames.witx.
"""

import errno
import logging
import os
import struct
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from caxton.adapters.sandbox import wasi_files
from caxton.adapters.sandbox.guest import VECTORS, Fault, Guest, TooMany
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

_NUMBERS: Final = {
    getattr(errno, f"E{name.upper()}"): number
    for name, number in {
        "acces": 2, "again": 6, "badf": 8, "busy": 10, "dquot": 19, "exist": 20, "fbig": 22, "ilseq": 25, "intr": 27,
        "inval": 28, "io": 29, "isdir": 31, "loop": 32, "mfile": 33, "mlink": 34, "nametoolong": 37, "nfile": 41,
        "noent": 44, "nomem": 48, "nospc": 51, "notdir": 54, "notempty": 55, "notsock": 57, "notsup": 58, "nxio": 60,
        "overflow": 61, "perm": 63, "rofs": 69, "spipe": 70, "txtbsy": 74, "xdev": 75,
    }.items()
}  # fmt: skip
"""WASI's error numbers, by this machine's."""

_TOLD: Final = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EDQUOT, errno.EMFILE)
"""Errors that mean that a limit or grant stood in the way: the call's log says so."""

_RANDOM: Final = 64 << 10
"""Random bytes made at a time."""

_SUBSCRIPTION: Final = 48
_CLOCK: Final = 0
_REALTIME: Final = 0
_ABSOLUTE: Final = 1


def _fd_write(run: Run, memory: Guest, handle: int, vectors: int, count: int, written: int) -> int:
    if run.files is not None and handle not in run.files.standard:
        wasi_files.fd_write(run, memory, handle, vectors, count, written)
        return SUCCESS
    stream = handle if run.files is None else run.files.standard[handle]
    output = run.outputs.get(stream)
    if output is None:
        return BADF
    total = 0
    for start, size in memory.vectors(vectors, count):
        if not output.write(memory.read(start, min(size, output.room + 1))) and stream == 1:
            run.stop()
            return FBIG
        total += size
    memory.write(written, struct.pack("<I", total))
    return SUCCESS


def _random_get(run: Run, memory: Guest, start: int, size: int) -> int:
    for offset in range(0, size, _RANDOM):
        memory.write(start + offset, os.urandom(min(_RANDOM, size - offset)))
        if run.is_late():
            break
    return SUCCESS


def _poll_oneoff(run: Run, memory: Guest, subscriptions: int, events: int, count: int, stored: int) -> int:
    if not 0 < count <= VECTORS:
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


def _guarded(name: str, work: Callable[..., int | None]) -> Callable[..., int]:
    """`work` as a host function: it never raises, since an exception could surface in another thread's call."""

    def function(caller: "Caller", *parameters: int) -> int:
        run = active_run()
        if run is None:
            return IO
        try:
            run.charge()
            return work(run, Guest(caller), *parameters) or SUCCESS
        except Fault:
            return FAULT
        except TooMany:
            return INVAL
        except OSError as error:
            if error.errno in _TOLD:
                run.tell_refused(f"{name}: {error.strerror}")
            return _NUMBERS.get(error.errno or 0, IO)
        except Exception as error:  # by name only: the text may be a user's data
            _logger.error("a WASI function failed: %s", type(error).__name__)
            return IO
        finally:
            run.interrupt_if_late()

    return function


def _unsigned(kinds: str, work: Callable[..., int | None]) -> Callable[..., int | None]:
    """`work` with its parameters as unsigned numbers, which wasmtime passes as signed ones."""
    masks = tuple(0xFFFF_FFFF if kind == "i" else 0xFFFF_FFFF_FFFF_FFFF for kind in kinds)

    def function(run: Run, memory: Guest, *parameters: int) -> int | None:
        return work(run, memory, *(value & mask for value, mask in zip(parameters, masks, strict=True)))

    return function


def add_wasi(linker: "Linker", *, files: bool) -> None:
    """Defines WASI preview 1, with waiting, output and randomness in Caxton's hands, and with `files` all of files."""
    import wasmtime

    linker.allow_shadowing = True
    linker.define_wasi()
    own: dict[str, tuple[str, Callable[..., int | None]]] = {
        **(wasi_files.FUNCTIONS if files else {}),
        "fd_write": ("iiii", _fd_write),
        "poll_oneoff": ("iiii", _poll_oneoff),
        "random_get": ("ii", _random_get),
    }
    types: dict[str, Any] = {"i": wasmtime.ValType.i32(), "I": wasmtime.ValType.i64()}
    for name, (kinds, work) in own.items():
        kind = wasmtime.FuncType([types[letter] for letter in kinds], [types["i"]])
        linker.define_func(MODULE, name, kind, _guarded(name, _unsigned(kinds, work)), access_caller=True)
