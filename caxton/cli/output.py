"""What commands write: results to stdout, remarks to stderr; colours and remarks on a terminal only."""

import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import IO, Any

from caxton.cli import acknowledgement, invocation

_NO_LIMIT = 1_000_000
_CONTROLS = re.compile(r"\x1b\[[0-9;]*m|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]|\r(?!\n)")
"""Colours, and all other control characters but tab and the ends of lines."""
_CODES = {"bold": 1, "dim": 2, "red": 31, "green": 32, "yellow": 33, "cyan": 36}


def is_terminal(stream: IO[str] | None = None) -> bool:
    """Whether a person reads `stream` (stdout, if None)."""
    return acknowledgement.is_terminal(stream or sys.stdout)


def has_colour(stream: IO[str] | None = None) -> bool:
    """Whether `stream` takes colours (https://no-color.org)."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def style(text: str, *styles: str, stream: IO[str] | None = None) -> str:
    """`text` in the given styles ("bold", "dim", "red" …), where the stream takes colours."""
    if not text or not has_colour(stream):
        return text
    codes = ";".join(str(_CODES[name]) for name in styles)
    return f"\x1b[{codes}m{text}\x1b[0m"


def say(text: str = "", *, end: str = "\n") -> None:
    """Writes a part of the result. On a terminal nothing in it but our own colours has an effect there."""
    acknowledgement.settle()
    sys.stdout.write((harmless(text) if is_terminal() else text) + end)
    sys.stdout.flush()


def harmless(text: str) -> str:
    """`text` with control characters made visible: what an agent says must not clear the screen or set a title.

    Colours (SGR sequences) stay, for they are our own; what others wrote goes through :func:`plain` first.
    """
    return _CONTROLS.sub(lambda found: found[0] if found[0].startswith("\x1b[") else _visible(found[0]), text)


def plain(text: str) -> str:
    """`text` of others (replies, messages, files) with every control character made visible, colours too."""
    return _CONTROLS.sub(lambda found: _visible(found[0]), text)


def _visible(found: str) -> str:
    return "".join(character if character.isprintable() else f"\\x{ord(character):02x}" for character in found)


def remark(text: str) -> None:
    """Writes what helps a person at a terminal, such as what to do next; nothing in a pipe."""
    if is_terminal() and not invocation.current().json:
        say(text)


def complain(text: str) -> None:
    """Writes to stderr."""
    acknowledgement.settle()
    sys.stdout.flush()
    sys.stderr.write((harmless(text) if is_terminal(sys.stderr) else text) + "\n")
    sys.stderr.flush()


def emit(value: Any) -> None:
    """Writes `value` (data, pydantic models, or collections of them) as JSON."""
    import json

    say(json.dumps(as_data(value), indent=2, ensure_ascii=False))


def as_data(value: Any) -> Any:
    """`value` as what JSON has."""
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value)


def table(rows: Iterable[Sequence[str]], headers: Sequence[str] = (), *, indent: str = "") -> list[str]:
    """Lines with the columns of `rows` aligned; the headers are left out in a pipe."""
    cells = [list(row) for row in rows]
    if headers and is_terminal():
        cells.insert(0, [style(header, "dim") for header in headers])
    widths = [max(width(cell) for cell in column) for column in zip(*cells, strict=True)]
    lines: list[str] = []
    for row in cells:
        padded = [cell + " " * (space - width(cell)) for cell, space in zip(row, widths, strict=True)]
        lines.append((indent + "  ".join(padded)).rstrip())
    return lines


def width(text: str) -> int:
    """Columns that `text` takes on a terminal, colours not counted."""
    columns = 0
    in_code = False
    for character in text:
        if character == "\x1b":
            in_code = True
        elif in_code:
            in_code = character != "m"
        elif not unicodedata.combining(character):
            columns += 2 if unicodedata.east_asian_width(character) in "WF" else 1
    return columns


def shorten(text: str, columns: int) -> str:
    """The first line of `text`, cut to `columns`."""
    first, _, rest = text.strip().partition("\n")
    if width(first) <= columns and not rest:
        return first
    while width(first) > columns - 1:
        first = first[:-1]
    return f"{first.rstrip()}…"


def columns() -> int:
    """Width of the terminal; without a limit in a pipe."""
    import shutil

    return shutil.get_terminal_size((100, 24)).columns if is_terminal() else _NO_LIMIT


def ago(moment: datetime | None) -> str:
    """How long ago `moment` was: "12 min ago"."""
    if moment is None:
        return "never"
    seconds = (datetime.now(UTC) - (moment if moment.tzinfo else moment.replace(tzinfo=UTC))).total_seconds()
    units = [(172_800, 86_400, "d"), (7_200, 3600, "h"), (90, 60, "min"), (1, 1, "s")]
    found = next(((length, unit) for least, length, unit in units if seconds >= least), None)
    return f"{seconds / found[0]:.0f} {found[1]} ago" if found else "just now"


def milliseconds(value: float | None) -> str:
    """A time for people; nothing if it is not known."""
    from caxton.domain.quantities import format_duration

    return "" if value is None else format_duration(value / 1000)


def clock(moment: datetime) -> str:
    """`moment` in local time, with the day unless it is today."""
    local = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone()
    today = datetime.now(UTC).astimezone().date()
    return local.strftime("%H:%M" if local.date() == today else "%Y-%m-%d %H:%M")


def plural(count: int, word: str, words: str | None = None) -> str:
    """ "1 agent", "2 agents"."""
    return f"{count} {word if count == 1 else words or f'{word}s'}"
