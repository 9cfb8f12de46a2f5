"""Where every key and value of a TOML document stands.

`tomllib` gives values without positions, and no maintained parser with positions is small and quick to import. Since
`tomllib` has accepted the text before this scanner sees it, the scanner need not check anything: it only walks it.
Grammar: https://toml.io/en/v1.0.0. A property test holds it to the paths that `tomllib` finds.
"""

import contextlib
import re
import tomllib
from bisect import bisect_right
from dataclasses import dataclass, field

Path = tuple[str | int, ...]
"""Way to a value: keys of tables and indices of arrays."""

# Characters are repeated possessively, groups never: Python 3.11.0 to 3.11.4 match those wrongly (gh-100061, gh-106052).
_BLANK = re.compile(r"(?:[ \t\n\r]++|#[^\n]*+)*")
_SPACE = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:[^"\\]++|\\[\s\S]|"(?!""))*"{3,5}'
    r"|'''(?:[^']++|'(?!''))*'{3,5}"
    r'|"(?:[^"\\\n]++|\\.)*"'
    r"|'[^'\n]*+'"
)
_SCALAR = re.compile(r"\d{4}-\d\d-\d\d \d\d:[^\s,\]}#]*|[^\s,\]}#]+")  # a date and time may have a space between them
_LINE_END = re.compile(r"\\[ \t\n]*")
_ESCAPE_WIDTH = {"u": 6, "U": 10, "x": 4}


@dataclass(frozen=True, slots=True)
class Span:
    """Characters `start` to `end` (exclusive) of a text."""

    start: int
    end: int


@dataclass(slots=True)
class Positions:
    """Spans of the keys and values of a document, by path."""

    keys: dict[Path, Span] = field(default_factory=dict[Path, Span])
    """Of a table: the part of its first header, or of the dotted key, that names it."""
    values: dict[Path, Span] = field(default_factory=dict[Path, Span])
    """Of a table with a header: the header with its brackets."""


def find_positions(text: str) -> Positions:
    """Positions of everything in `text`, which `tomllib` has accepted and whose lines end with a newline alone."""
    scanner = _Scanner(text)
    scanner.document()
    return scanner.found


@dataclass(frozen=True, slots=True)
class Statement:
    """A key with its value, or a header."""

    path: Path
    span: Span
    """Of the key."""
    earlier: Span | None
    """The key of the same path that stood before it, if there was one."""
    is_table: bool


def last_statement(text: str) -> Statement | None:
    """The last statement of `text`, which may name what is there already, and may be cut off."""
    scanner = _Scanner(text)
    with contextlib.suppress(IndexError):  # the text ends inside an inline table
        scanner.document()
    return scanner.statement


def string_offsets(literal: str) -> list[int]:
    """For each character of the string that a TOML string literal stands for, its offset in the literal."""
    mark = literal[:3] if literal[:3] in ('"""', "'''") else literal[:1]
    position, end = len(mark), len(literal) - len(mark)
    if len(mark) == 3 and literal.startswith("\n", position):
        position += 1
    if mark[0] == "'":
        return list(range(position, end))
    offsets: list[int] = []
    while position < end:
        if literal[position] != "\\":
            offsets.append(position)
            position += 1
        elif line_end := _LINE_END.match(literal, position) if literal[position + 1] in " \t\n" else None:
            position = line_end.end()  # a backslash at the end of a line: all up to the next text is left out
        else:
            offsets.append(position)
            position += _ESCAPE_WIDTH.get(literal[position + 1], 2)
    return offsets


class _Scanner:
    """Walks a valid document once, from its first character to its last."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.found = Positions()
        self.lengths: dict[Path, int] = {}  # of the arrays of tables
        self.statement: Statement | None = None

    def document(self) -> None:
        table: Path = ()
        self.skip(_BLANK)
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                table = self.header()
            else:
                self.pair(table)
            self.skip(_BLANK)

    def skip(self, pattern: re.Pattern[str]) -> Span:
        match = pattern.match(self.text, self.at)
        assert match is not None, "the text is valid TOML"
        self.at = match.end()
        return Span(match.start(), match.end())

    def header(self) -> Path:
        start = self.at
        brackets = 2 if self.text.startswith("[[", start) else 1
        self.at += brackets
        parts = self.key()
        self.at += brackets
        header = Span(start, self.at)
        path = self.enter((), parts[:-1], header)
        name, span = parts[-1]
        path = (*path, name)
        self.statement = Statement(path, span, self.found.keys.get(path), is_table=True)
        self.found.keys.setdefault(path, span)
        if brackets == 1:
            self.found.values[path] = header
            return path
        self.found.values.setdefault(path, header)
        index = self.lengths.get(path, 0)
        self.lengths[path] = index + 1
        self.found.keys[*path, index] = span
        self.found.values[*path, index] = header
        return (*path, index)

    def enter(self, path: Path, parts: list[tuple[str, Span]], value: Span | None) -> Path:
        """The table that `parts` lead to from `path`; in an array of tables that is its last one."""
        for name, span in parts:
            path = (*path, name)
            self.found.keys.setdefault(path, span)
            self.found.values.setdefault(path, value or span)
            if path in self.lengths:
                path = (*path, self.lengths[path] - 1)
        return path

    def pair(self, table: Path) -> None:
        parts = self.key()
        self.at += 1  # the equals sign
        self.skip(_SPACE)
        path = (*self.enter(table, parts[:-1], None), parts[-1][0])
        statement = Statement(path, parts[-1][1], self.found.keys.get(path), is_table=False)
        self.found.keys[path] = statement.span
        self.statement = statement
        self.value(path)
        self.statement = statement  # of an inline table not its last pair, but the whole

    def key(self) -> list[tuple[str, Span]]:
        """The parts of a dotted key; stands on the character after it when done."""
        parts: list[tuple[str, Span]] = []
        while True:
            self.skip(_SPACE)
            quoted = self.text[self.at] in "\"'"
            span = self.skip(_STRING if quoted else _BARE_KEY)
            raw = self.text[span.start : span.end]
            parts.append((tomllib.loads(f"key = {raw}")["key"] if quoted else raw, span))
            self.skip(_SPACE)
            if not self.text.startswith(".", self.at):
                return parts
            self.at += 1

    def value(self, path: Path) -> None:
        start = self.at
        first = self.text[start]
        if first in "\"'":
            self.skip(_STRING)
        elif first == "[":
            self.array(path)
        elif first == "{":
            self.inline_table(path)
        else:
            self.skip(_SCALAR)
        self.found.values[path] = Span(start, self.at)

    def array(self, path: Path) -> None:
        index = 0
        self.at += 1
        self.skip(_BLANK)
        while self.text[self.at] != "]":
            self.value((*path, index))
            index += 1
            self.skip(_BLANK)
            if self.text[self.at] == ",":
                self.at += 1
                self.skip(_BLANK)
        self.at += 1

    def inline_table(self, path: Path) -> None:
        self.at += 1
        self.skip(_BLANK)
        while self.text[self.at] != "}":
            self.pair(path)
            self.skip(_BLANK)
            if self.text[self.at] == ",":
                self.at += 1
                self.skip(_BLANK)
        self.at += 1


def line_starts(text: str) -> list[int]:
    """Offset of the first character of each line."""
    starts = [0]
    end = text.find("\n")
    while end >= 0:
        starts.append(end + 1)
        end = text.find("\n", end + 1)
    return starts


def locate(starts: list[int], offset: int) -> tuple[int, int]:
    """Line and column, from 1, of the character at `offset`."""
    line = bisect_right(starts, offset)
    return line, offset - starts[line - 1] + 1


def marker_width(text: str, span: Span) -> int:
    """How many characters of `span` stand on its first line; at least one."""
    line_end = text.find("\n", span.start, span.end)
    return max(1, (span.end if line_end < 0 else line_end) - span.start)
