"""The one wasmtime engine of the process, what it admits, and the clock that interrupts it.

The features are fixed here and nowhere else: a contradictory `Config` (SIMD off with relaxed SIMD on, reference types
off) aborts the whole process instead of raising.
"""

import atexit
import functools
import hashlib
import json
import math
import platform
import threading
import time
from collections.abc import Callable, Generator, Hashable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar, cast

if TYPE_CHECKING:
    from wasmtime import Engine, Linker
    from wasmtime.component import Linker as ComponentLinker

    L = TypeVar("L", Linker, ComponentLinker)

TICK: Final = 0.01
"""Seconds between two epochs: how late a time limit may strike."""

LONGEST: Final = 600
"""Seconds that a run may take at most."""

WASM_STACK: Final = 1 << 20
"""Bytes of native stack that a module may use; deeper recursion traps."""

THREAD_STACK: Final = 8 << 20
"""Bytes of native stack of a thread that runs modules: the module's share, and the host functions below it."""

FEATURES: Final = {
    # What today's compilers emit (LLVM, Go, QuickJS, componentize-py) and what is only arithmetic:
    "wasm_bulk_memory": True,
    "wasm_reference_types": True,
    "wasm_multi_value": True,
    "wasm_simd": True,
    "wasm_component_model": True,
    "wasm_multi_memory": True,  # the adapters that wasmtime makes between the parts of a component have two
    # What no tool needs, is young, or makes two runs of one call differ:
    "wasm_relaxed_simd": False,
    "wasm_threads": False,
    "wasm_memory64": False,
    "wasm_tail_call": False,
    "wasm_function_references": False,
    "wasm_gc": False,
    "wasm_exceptions": False,
    "wasm_wide_arithmetic": False,
    "wasm_custom_page_sizes": False,
    "wasm_stack_switching": False,
    # Every instruction is counted, and every loop can be interrupted:
    "consume_fuel": True,
    "epoch_interruption": True,
}

_FORMAT = 2
"""Counts up when what is written to the cache changes without a change of FEATURES or wasmtime."""


def new_engine() -> "Engine":
    """An engine with the settings above. The compiler's child process makes one too: they must agree."""
    import wasmtime

    config = wasmtime.Config()
    for feature, enabled in FEATURES.items():
        setattr(config, feature, enabled)
    config.max_wasm_stack = WASM_STACK
    return wasmtime.Engine(config)


@functools.cache
def settings_key() -> str:
    """16 hexadecimal characters that change whenever compiled code of one engine would not fit another."""
    from importlib.metadata import version

    facts = [_FORMAT, FEATURES, WASM_STACK, version("wasmtime"), platform.machine(), platform.system()]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


class EpochTicker:
    """Advances the engine's epoch while calls run, so that modules which pass their deadline are interrupted."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._running = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    @contextmanager
    def running(self) -> Generator[None]:
        """Keeps the clock going. With no call running it stands still and costs nothing."""
        with self._changed:
            if self._thread is None:
                self._thread = threading.Thread(target=self._tick, name="sandbox-epochs", daemon=True)
                self._thread.start()
            self._running += 1
            if self._running == 1:
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1

    def interrupt(self) -> None:
        """Interrupts every module that runs, whatever time it has left: the process ends."""
        self._advance(ticks(LONGEST))

    def close(self) -> None:
        """Stops the clock for good: the engine may be closed now."""
        with self._changed:
            self._closed = True

    def _advance(self, epochs: int) -> None:
        with self._changed:
            for _ in range(0 if self._closed else epochs):
                self._engine.increment_epoch()

    def _tick(self) -> None:
        while not self._closed:
            with self._changed:
                while not self._running:
                    self._changed.wait()
            begun, ticks = time.monotonic(), 0
            while self._running and not self._closed:
                time.sleep(TICK)
                # A busy machine may wake this thread late: the missed ticks are made up for, so deadlines hold.
                due = int((time.monotonic() - begun) / TICK)
                self._advance(due - ticks)
                ticks = due


def ticks(seconds: float) -> int:
    """Epochs after which a call that may take `seconds` is interrupted: never early, at most two ticks late."""
    return math.ceil(seconds / TICK) + 1


class Runtime:
    """The engine, its clock and its linkers."""

    def __init__(self) -> None:
        self.engine = new_engine()
        self.ticker = EpochTicker(self.engine)
        self._linkers: dict[Hashable, Linker | ComponentLinker] = {}
        self._lock = threading.Lock()

    def linker(self, key: Hashable, make: "Callable[[Engine], L]") -> "L":
        """The one linker of that kind, made when it is first asked for.

        Args:
            key: its kind.
            make: makes it.
        """
        with self._lock:
            if key not in self._linkers:
                self._linkers[key] = make(self.engine)
            return cast("L", self._linkers[key])

    def close(self) -> None:
        """Gives back what wasmtime holds for us, in the reverse of the order in which it was made. No more calls after that."""
        self.ticker.close()
        for linker in self._linkers.values():
            linker.close()
        self.engine.close()


@functools.cache
def shared_runtime() -> Runtime:
    """The process's own runtime: compiled code is tied to an engine, so there is one for all sandboxes.

    It is closed when the process ends, before Python takes its modules apart: wasmtime's own clean-up would find nothing left
    to clean up with, and complain.
    """
    runtime = Runtime()
    atexit.register(runtime.close)
    return runtime
