"""A fresh store for every run, with all limits set before the first instruction of the module runs."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from caxton.adapters.sandbox.classify import Stop
from caxton.adapters.sandbox.engine import Runtime, ticks
from caxton.adapters.sandbox.host import Run, activate
from caxton.adapters.sandbox.shape import MEMORIES, TABLES, Shape

if TYPE_CHECKING:
    from wasmtime import Store


class Stopped(Exception):
    """A run did not return; `stop` says how it ended."""

    def __init__(self, stop: Stop) -> None:
        super().__init__(stop.cause)
        self.stop = stop


@contextmanager
def fresh_store(runtime: Runtime, run: Run, shape: Shape) -> Generator["Store"]:
    """A store for `run`, closed at the end. Host functions on this thread belong to `run` meanwhile.

    Args:
        runtime: the engine and its clock.
        run: whose limits it gets.
        shape: what will be instantiated in it: everything together stays within `run.limits.memory`.

    Raises:
        Stopped: wasmtime raised, be it a trap, a limit, or that the module cannot be instantiated.
    """
    import wasmtime

    ceilings = shape.ceilings(run.limits.memory)
    store = wasmtime.Store(runtime.engine)
    try:
        store.set_limits(
            memory_size=ceilings.memory,
            table_elements=ceilings.table,
            instances=ceilings.instances,
            tables=TABLES,
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
