"""The first sign of life: a line that appears before anything slow is imported (standard library only).

`caxton serve` begins its first line and completes it later. Other commands show on a terminal what they are doing and
wipe it away before their first output; in a pipe they are silent.
"""

import os
import sys

_SERVERS = ("serve", "api", "worker")
_open: str | None = None


def begin(arguments: list[str]) -> None:
    """Acknowledges the command, if it is one that takes a moment."""
    global _open
    from caxton.cli.commands import COMMANDS

    command = COMMANDS.get(next((argument for argument in arguments if not argument.startswith("-")), ""))
    if command is None or "--help" in arguments or "-h" in arguments or "--json" in arguments:
        return
    if command.name in _SERVERS:
        from caxton import __version__

        sys.stdout.write(f"Caxton {__version__} · starting")
        sys.stdout.flush()
        _open = "line"
    elif command.acknowledgement:
        _show(f"{command.acknowledgement} …")


def progress(text: str) -> None:
    """Shows how far a command is, on a terminal only; the next progress, output or error wipes it away."""
    settle()
    _show(text)


def _show(text: str) -> None:
    global _open
    if is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb":
        dim, plain = ("", "") if os.environ.get("NO_COLOR") else ("\x1b[2m", "\x1b[0m")
        sys.stderr.write(f"{dim}{text}{plain}")
        sys.stderr.flush()
        _open = "transient"


def complete(text: str) -> bool:
    """Completes the first line of a server with `text`; False if none was begun."""
    global _open
    if _open != "line":
        return False
    _open = None
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
    return True


def settle() -> None:
    """Makes room for other output: ends the line, or wipes it away."""
    global _open
    if _open == "line":
        sys.stdout.write("\n")
        sys.stdout.flush()
    elif _open == "transient":
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()
    _open = None


def is_terminal(stream: object) -> bool:
    """Whether `stream` is a terminal; a closed one is not."""
    try:
        return bool(stream.isatty())  # type: ignore[attr-defined]
    except (AttributeError, ValueError):
        return False
