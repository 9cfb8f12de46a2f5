"""What both forms of module have in common once they are loaded."""

from dataclasses import dataclass
from typing import Any, Protocol

from caxton.adapters.sandbox.host import Run


@dataclass(frozen=True, slots=True)
class Reply:
    """What a module answered to a call."""

    ok: bool
    value: Any
    """ok: MCP's tools/call result, as JSON has it, unchecked. Otherwise the text of an error."""


class TooLarge(Exception):
    """An answer has more bytes than limits.message_size; `size` is how many, None if it was cut off."""

    def __init__(self, size: int | None) -> None:
        super().__init__()
        self.size = size


class CommandFailed(Exception):
    """A program ended without an answer; the text says how, and `exit_code` is what it ended with."""

    def __init__(self, text: str, exit_code: int = 0) -> None:
        super().__init__(text + (f" with exit code {exit_code}" if exit_code else ""))
        self.exit_code = exit_code


class Program(Protocol):
    """A module that is ready to run."""

    def describe(self, run: Run) -> list[dict[str, Any]]:
        """The functions that the server offers.

        Raises:
            Stopped: the module was stopped.
            CommandFailed: it ended without an answer.
            TooLarge: the answer is too large.
            Malformed: the answer is not a tools/list result.
        """
        ...

    def call(self, run: Run, function: str, arguments: str) -> Reply:
        """Calls a function with arguments as JSON; raises like `describe`."""
        ...

    def was_denied_memory(self, run: Run, function: str, arguments: str) -> bool:
        """Whether a call that failed had asked for memory and not got it."""
        ...
