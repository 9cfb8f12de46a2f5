"""Tells from what wasmtime raised which limit a call ran into. The only place that reads wasmtime's error texts.

A trap inside a component is a plain `WasmtimeError` that differs by its text; a core module raises `Trap` with a
code. What can be known otherwise (no fuel left, the deadline passed) is used first. Tested against every upgrade of
wasmtime.
"""

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from caxton.adapters.sandbox import limits
from caxton.adapters.sandbox.limits import Subject
from caxton.domain.errors import ToolError

if TYPE_CHECKING:
    from wasmtime import WasmtimeError

_CAUSE = re.compile(r"wasm trap: (.+)")
_FUEL: Final = "all fuel consumed"
_INTERRUPT: Final = "interrupt"
_TOO_LARGE_TO_START = re.compile(
    r"(?:memory|table) minimum size of .* exceeds (?:memory|table) limits|exceeds? the .*memory limit"
    r"|(?:instance|table|memory) count too high|handle limit exceeded"
)

_OUT_OF_MEMORY = re.compile(
    r"out[ _-]?of[ _-]?memory|memoryerror|memory allocation of \d+|handle_alloc_error|rust_oom|alloc_error_handler"
    r"|cannot allocate memory|allocation (?:has )?failed|failed to allocate|bad_alloc|enomem",
    re.IGNORECASE,
)
"""How allocators of the known languages say that memory ended: Zig, Python, JavaScript, Rust, Go, C++, C."""


@dataclass(frozen=True, slots=True)
class Stop:
    """How a run ended that did not return."""

    error: "WasmtimeError | Exception"
    fuel_left: int
    deadline: float
    """`time.monotonic()` at which the run had to end."""
    started: bool
    """Whether the module was instantiated, and its function called."""

    @property
    def text(self) -> str:
        """What wasmtime says, backtrace included."""
        return str(self.error)

    @property
    def cause(self) -> str:
        """The cause in one line."""
        match = _CAUSE.search(self.text)
        if match:
            return match[1].strip().replace("wasm `unreachable` instruction executed", "it executed `unreachable`")
        lines = [line.strip() for line in self.text.splitlines() if line.strip()]
        return (lines[-1] if lines else type(self.error).__name__)[:300]

    @property
    def is_trap(self) -> bool:
        """Whether WebAssembly code ran and trapped."""
        return "wasm trap:" in self.text

    def is_timeout(self) -> bool:
        """Whether the clock ended the run."""
        return self.cause == _INTERRUPT

    def is_limit(self) -> bool:
        """Whether fuel or time ended the run, which says nothing about memory."""
        return self.fuel_left == 0 or _FUEL in self.text or self.is_timeout()


def mentions_memory(text: str) -> bool:
    """Whether `text` (an error, a backtrace, a log) says in the words of some language that memory ended."""
    return _OUT_OF_MEMORY.search(text) is not None


def error_of(subject: Subject, stop: Stop, memory_was_denied: bool) -> ToolError:
    """The error that tells why the run stopped.

    Args:
        subject: the call.
        stop: how it ended.
        memory_was_denied: whether it is known that the tool asked for memory and did not get it.
    """
    if stop.fuel_left == 0 or _FUEL in stop.text:
        return limits.fuel_exhausted(subject)
    if stop.is_timeout() or time.monotonic() > stop.deadline:
        return limits.timed_out(subject)
    if memory_was_denied or _TOO_LARGE_TO_START.search(stop.text) or mentions_memory(stop.text):
        return limits.memory_exceeded(subject, reason=stop.text[:2_000])
    if stop.started and not stop.is_trap:  # wasmtime could not read what the function returned
        return limits.answer_invalid(subject, stop.cause)
    return limits.trapped(subject, stop.cause, reason=stop.text[:2_000])
