"""The line that a person types into, and pastes into: Enter sends it, Alt-Enter or a backslash at its end begins another one."""

import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession

_PROMPT = "you › "
_CONTINUED = "    … "


class Prompt:
    """Reads messages. What is pasted is one message, however many lines it has, and is sent by Enter only."""

    def __init__(self) -> None:
        """Prepare; nothing is shown yet."""
        self._session = _session()

    def read(self, default: str = "") -> str:
        """What a person typed.

        Args:
            default: what stands there already.

        Raises:
            EOFError: Ctrl-D.
            KeyboardInterrupt: Ctrl-C.
        """
        return self._session.prompt(default=default)


def _session() -> "PromptSession[str]":
    from prompt_toolkit import PromptSession
    from prompt_toolkit.formatted_text import ANSI
    from prompt_toolkit.output.vt100 import Vt100_Output

    from caxton.cli.output import has_colour

    # The prompt takes few lines, so nobody needs to ask the terminal where the cursor is (some never answer).
    output = Vt100_Output.from_pty(sys.stdout, term=os.environ.get("TERM"))
    output.enable_cpr = False
    return PromptSession(
        ANSI(f"\x1b[1m{_PROMPT}\x1b[0m") if has_colour() else _PROMPT,
        multiline=True,
        prompt_continuation=_CONTINUED,
        key_bindings=_keys(),
        reserve_space_for_menu=0,
        output=output,
    )


def _keys() -> Any:
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

    keys = KeyBindings()

    @keys.add("enter")
    def send(event: KeyPressEvent) -> None:  # pyright: ignore[reportUnusedFunction] - called by the key
        buffer = event.current_buffer
        if event.key_processor.input_queue:  # nobody types that fast: it is pasted where pastes are not marked
            buffer.insert_text("\n")
        elif buffer.document.char_before_cursor == "\\":
            buffer.delete_before_cursor()
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def begin_line(event: KeyPressEvent) -> None:  # pyright: ignore[reportUnusedFunction] - called by the keys
        event.current_buffer.insert_text("\n")

    return keys
