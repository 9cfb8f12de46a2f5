"""A fresh store for every run, with all limits set before the first instruction of the module runs."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from caxton.adapters.sandbox.classify import Stop
from caxton.adapters.sandbox.engine import Runtime, ticks
from caxton.adapters.sandbox.host import Run, activate

if TYPE_CHECKING:
    from wasmtime import Store

TABLE_ELEMENTS: Final = 1_000_000
"""Entries of one table (8 bytes each)."""

INSTANCES: Final = 200
"""Core instances in a component; componentize-py makes about 30."""

MEMORIES: Final = 4
"""Linear memories, of which each may have limits.memory, so a component must not make many. A module has one; what the
JavaScript toolchain builds has three, two of them of a page or so."""


class Stopped(Exception):
    """A run did not return; `stop` says how it ended."""

    def __init__(self, stop: Stop) -> None:
        super().__init__(stop.cause)
        self.stop = stop


@contextmanager
def fresh_store(runtime: Runtime, run: Run) -> Generator["Store"]:
    """A store for `run`, closed at the end. Host functions on this thread belong to `run` meanwhile.

    Raises:
        Stopped: wasmtime raised, be it a trap, a limit, or that the module cannot be instantiated.
    """
    import wasmtime

    store = wasmtime.Store(runtime.engine)
    try:
        store.set_limits(
            memory_size=run.limits.memory,
            table_elements=TABLE_ELEMENTS,
            instances=INSTANCES,
            tables=INSTANCES,
            memories=MEMORIES,
        )
        store.set_fuel(run.limits.fuel)
        store.set_epoch_deadline(ticks(max(run.deadline - time.monotonic(), 0)))
        run.store, run.started = store, False
        with runtime.ticker.running(), activate(run):
            yield store
    except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
        raise Stopped(Stop(error, store.get_fuel(), run.deadline, run.started)) from error
    finally:
        run.store = None
        run.fuel_used = run.limits.fuel - store.get_fuel()
        store.close()
