"""Output of commands: results to stdout, remarks to stderr; colours and remarks on a terminal only."""

import os
import re
import sys
import unicodedata
from contextlib import suppress
from datetime import UTC, datetime
from typing import IO, Any

from caxton.cli import acknowledgement, invocation
from caxton.domain.plurals import plural as plural

_NO_LIMIT = 1_000_000
_CODE = re.compile(r"\x1b\[[0-9;]*m")
_PLAIN = "\x1b[0m"
_BETWEEN_WORDS = re.compile(r" (?!·|(?<=\d )(?:(?:ms|s|min|h|d|[KMGT]?B)\b|%))")
"""A space, but not one before a unit or a dot that separates."""
_OWN_COLOURS = r"\x1b\[(?:0|[1-4]|9|3[1-6])(?:;(?:[1-4]|9|3[1-6]))*m"
"""What :func:`style` makes: nothing that hides text, as black, inverse and concealed letters do."""
_CONTROLS = re.compile(_OWN_COLOURS + r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]|\r(?!\n)")
"""Colours, and all other control characters but tab and the ends of lines; also those that reorder what is shown."""
_COMMAND = re.compile(r"(?:\x1b\[[0-9;]*m)*(?<![\w/.`-])caxton [a-z].*$")
"""A command at the end of a line, with the colours that it begins in; not one in a sentence, between back ticks."""
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


def prose(text: str) -> None:
    """Writes sentences, which a terminal gets in lines that fit."""
    say(_fitted(text, sys.stdout))


def _fitted(text: str, stream: IO[str]) -> str:
    """`text` with its long lines broken between words; a command at the end stays whole, so that it can be copied."""
    available = columns(stream)
    lines: list[str] = []
    for line in text.split("\n"):
        lines += [line] if width(line) <= available else _broken(line, available)
    return "\n".join(lines)


def _broken(line: str, available: int) -> list[str]:
    """`line` in several, the further ones indented like the first."""
    indent = line[: len(line) - len(line.lstrip(" "))]
    command = _COMMAND.search(line)
    if command is None:
        return [indent + part for part in broken_at_words(line.lstrip(" "), available - len(indent))]
    before = line[: command.start()].strip(" ")
    whole = line[command.start() :]
    lines = [indent + part for part in broken_at_words(before, available - len(indent))] if _has_text(before) else []
    if lines and width(lines[-1]) + 1 + width(whole) <= available:
        return [*lines[:-1], f"{lines[-1]} {whole}"]
    return [*lines, f"{indent}{'  ' if lines else ''}{whole}"]


def _has_text(line: str) -> bool:
    return bool(_CODE.sub("", line).strip())


def say_link(before: str, text: str, address: str) -> None:
    """Writes a line that ends in a link, as terminals know them (OSC 8); others show its text."""
    acknowledgement.settle()
    sys.stdout.write(f"{harmless(before)}\x1b]8;;{plain(address)}\x1b\\{plain(text)}\x1b]8;;\x1b\\\n")
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
    return "".join(character if character.isprintable() else _number(character) for character in found)


def _number(character: str) -> str:
    return f"\\x{ord(character):02x}" if character <= "\xff" else f"\\u{ord(character):04x}"


def remark(text: str) -> None:
    """Writes what helps a person at a terminal, such as what to do next; nothing in a pipe."""
    if is_terminal() and not invocation.current().json:
        prose(text)


def complain(text: str) -> None:
    """Writes to stderr."""
    acknowledgement.settle()
    with suppress(OSError):
        sys.stdout.flush()  # what cannot be written there is no reason to be silent here
    sys.stderr.write((harmless(_fitted(text, sys.stderr)) if is_terminal(sys.stderr) else text) + "\n")
    sys.stderr.flush()


def emit(value: Any) -> None:
    """Writes `value` (data, pydantic models, or collections of them) as JSON."""
    import json

    say(json.dumps(as_data(value), indent=2, ensure_ascii=False))


def as_data(value: Any) -> Any:
    """`value` as what JSON has."""
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value)


def words_of(text: str) -> list[str]:
    """The parts between which `text` may be broken: words, and numbers with the unit that follows ("14 min", "60 %")."""
    return _BETWEEN_WORDS.split(text)


def broken_at_words(text: str, columns: int) -> list[str]:
    """`text`, perhaps in colours, as lines of at most `columns`; a word that is longer has a line of its own."""
    lines: list[str] = []
    line = colour = ""
    for word in words_of(text):
        if line and width(line) + 1 + width(word) > columns:
            lines.append(line + (_PLAIN if colour else ""))
            line = colour + word
        else:
            line = f"{line} {word}" if line else word
        for code in _CODE.findall(word):
            colour = "" if code == _PLAIN else code
    return [*lines, line]


def cut(text: str, columns: int) -> str:
    """`text`, perhaps in colours, cut to `columns`; what is missing is told by "…"."""
    if width(text) <= columns:
        return text
    kept, taken = "", 0
    for piece in re.split(r"(\x1b\[[0-9;]*m)", text):
        if piece.startswith("\x1b"):
            kept += piece
            continue
        for character in piece:
            taken += width(character)
            if taken > columns - 1:
                return f"{kept.rstrip()}…" + ("\x1b[0m" if "\x1b" in kept else "")
            kept += character
    return kept


def wrapped(text: str, *, indent: str = "", everywhere: bool = False, stream: IO[str] | None = None) -> list[str]:
    """The lines of `text`, broken between words where a terminal ends; as they are in a pipe.

    Args:
        text: what to tell, without colours.
        indent: what stands before every line but the first.
        everywhere: also before the first one.
        stream: where it is written to (stdout, if None).
    """
    import textwrap

    if not is_terminal(stream):
        return [f"{indent}{line}" if number or everywhere else line for number, line in enumerate(text.split("\n"))]
    lines: list[str] = []
    for number, line in enumerate(text.split("\n")):
        begin = indent if number or everywhere else ""
        broken = textwrap.wrap(
            line,
            max(20, columns(stream)),
            initial_indent=begin,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
            drop_whitespace=True,
            replace_whitespace=False,
        )
        lines += broken or [""]
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


def columns(stream: IO[str] | None = None) -> int:
    """Width of the terminal that `stream` is (stdout, if None); without a limit in a pipe."""
    import shutil

    where = stream if stream is not None else sys.stdout
    if not is_terminal(where):
        return _NO_LIMIT
    try:
        found = os.get_terminal_size(where.fileno()).columns
    except (OSError, ValueError, AttributeError):
        found = 0
    return found or shutil.get_terminal_size((80, 24)).columns


def ago(moment: datetime | None) -> str:
    """How long ago `moment` was: "12 min ago"."""
    if moment is None:
        return "never"
    seconds = (datetime.now(UTC) - (moment if moment.tzinfo else moment.replace(tzinfo=UTC))).total_seconds()
    units = [(172_800, 86_400, "d"), (7_200, 3600, "h"), (120, 60, "min"), (1, 1, "s")]
    found = next(((length, unit) for least, length, unit in units if seconds >= least), None)
    return f"{seconds // found[0]:.0f} {found[1]} ago" if found else "just now"


def milliseconds(value: float | None) -> str:
    """A time for people; nothing if it is not known."""
    from caxton.domain.quantities import format_duration

    return "" if value is None else format_duration(value / 1000)


def clock(moment: datetime) -> str:
    """`moment` in local time, with the day unless it is today."""
    local = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone()
    today = datetime.now(UTC).astimezone().date()
    return local.strftime("%H:%M" if local.date() == today else "%Y-%m-%d %H:%M")


def percent(share: float, digits: int = 0) -> str:
    """A share of one: "60 %"."""
    return f"{100 * share:.{digits}f} %"
