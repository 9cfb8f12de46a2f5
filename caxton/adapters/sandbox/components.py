"""Components of the worlds `caxton:tool/tool` and `caxton:agent/agent`: a fresh instance a call, no WASI, so nothing in them
can block or reach out."""

import threading
from typing import TYPE_CHECKING, Any, ClassVar, Final

from caxton.adapters.sandbox.engine import Runtime
from caxton.adapters.sandbox.host import Run, add_host
from caxton.adapters.sandbox.instances import Stopped, fresh_store
from caxton.adapters.sandbox.program import Reply, TooLarge
from caxton.adapters.sandbox.results import parse_json, parse_tool_list
from caxton.adapters.sandbox.shape import unpack
from caxton.adapters.sandbox.state import add_state

if TYPE_CHECKING:
    from wasmtime import Engine
    from wasmtime.component import Linker

_PROOF_MEMORY: Final = 256 << 20
"""Bytes that a proof may use at least; four times the limit if that is more."""

_PROOF_FUEL: Final = 1_000_000
"""Fuel that a proof may use above what the call used: enough to see that it goes on, too little to go far."""

_one_proof = threading.Lock()
"""Proofs take more memory than a tool was granted, so only one runs at a time."""


def _linker(engine: "Engine") -> "Linker":
    """The one linker of the engine: host functions find the run that they serve by its thread."""
    from wasmtime.component import Linker

    linker = Linker(engine)
    add_host(linker)
    add_state(linker)
    return linker


class _Component:
    """A compiled component that is ready to run."""

    EXPORTS: ClassVar[tuple[str, ...]] = ()
    """The functions that its world has."""

    def __init__(self, runtime: Runtime, compiled: bytes) -> None:
        """Load what the compiler made. `compiled` must come from Caxton's own cache."""
        from wasmtime.component import Component

        self._runtime = runtime
        self._linker = runtime.linker("components", _linker)
        self._shape, code = unpack(compiled)
        self._component = Component.deserialize(runtime.engine, code)
        self._exports = {name: self._component.get_export_index(name) for name in self.EXPORTS}

    def invoke(self, run: Run, export: str, *arguments: str) -> Any:
        """Calls an export in a fresh instance.

        Raises:
            Stopped: the module was stopped.
        """
        with fresh_store(self._runtime, run, self._shape) as store:
            instance = self._linker.instantiate(store, self._component)
            index = self._exports[export]
            function = instance.get_func(store, index) if index is not None else None
            if function is None:  # the compiler's child process checks the exports
                raise RuntimeError(f"the component lost its export {export}")
            run.started = True
            return function(store, *arguments)

    def proves_memory(self, run: Run, export: str, *arguments: str) -> bool:
        """Whether a call that failed had asked for memory and not got it.

        wasmtime does not tell: a growth above the limit returns -1 to the module, and the module decides what then.
        But a component without WASI is deterministic. So the call runs once more, with more memory and with the
        host's answers of the first run (nothing in the world happens twice): if it uses another amount of fuel, it
        took another path, and nothing but memory can have led it there. A single request above the proof's memory
        stays undetected.

        Args:
            run: the call that failed.
            export: what was called.
            arguments: with what.
        """
        if run.answers is None:
            return False
        memory = min(max(_PROOF_MEMORY, 4 * run.limits.memory), 4 << 30)
        again = run.again()
        again.limits = run.limits.model_copy(update={"memory": memory, "fuel": run.fuel_used + _PROOF_FUEL})
        with _one_proof:
            again.restart_clock()
            try:
                self.invoke(again, export, *arguments)
            except Stopped as stopped:
                if stopped.stop.is_timeout():
                    return False
        return again.fuel_used != run.fuel_used


class ComponentProgram(_Component):
    """An MCP tool server."""

    EXPORTS = ("describe", "call")

    def describe(self, run: Run) -> list[dict[str, Any]]:
        """The functions that the server offers.

        Raises:
            Stopped: the module was stopped.
            TooLarge: it returned more than it may.
            Malformed: it returned something else than a tools/list result.
        """
        functions, _ = parse_tool_list(parse_json(_within_limit(run, self.invoke(run, "describe"))))
        return functions

    def call(self, run: Run, function: str, arguments: str) -> Reply:
        """Calls a function with arguments as JSON.

        Raises:
            Stopped: the module was stopped.
            TooLarge: it returned more than it may.
            Malformed: it returned something else than JSON.
        """
        result = self.invoke(run, "call", function, arguments)
        text = _within_limit(run, result.payload)
        return Reply(True, parse_json(text)) if result.tag == "ok" else Reply(False, text)

    def was_denied_memory(self, run: Run, function: str, arguments: str) -> bool:
        """Whether a call that failed had asked for memory and not got it."""
        return self.proves_memory(run, "call", function, arguments)


class AgentProgram(_Component):
    """An agent."""

    EXPORTS = ("handle",)

    def handle(self, run: Run, message: str) -> Reply:
        """One step of the work on a message, which is JSON.

        Raises:
            Stopped: the module was stopped.
            TooLarge: it returned more than it may.
            Malformed: it returned something else than JSON.
        """
        result = self.invoke(run, "handle", message)
        text = _within_limit(run, result.payload)
        return Reply(True, parse_json(text)) if result.tag == "ok" else Reply(False, text)

    def was_denied_memory(self, run: Run, message: str) -> bool:
        """Whether a call that failed had asked for memory and not got it."""
        return self.proves_memory(run, "handle", message)


def _within_limit(run: Run, text: str) -> str:
    """`text`, if it has no more bytes than a message may."""
    limit = run.limits.message_size
    if len(text) > limit or (len(text) > limit // 4 and len(text.encode()) > limit):
        raise TooLarge(len(text.encode()))
    return text
