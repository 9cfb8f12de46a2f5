"""A TOML file as data whose every part can be pointed at."""

import tomllib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from caxton.definitions.toml_positions import (
    Path,
    Positions,
    Span,
    find_positions,
    line_starts,
    locate,
    marker_width,
    string_offsets,
)
from caxton.definitions.toml_syntax import explain_syntax_error
from caxton.domain.encodings import decoded
from caxton.domain.problems import Problem

SIZE_LIMIT = 1 << 20
"""Bytes that a TOML file may have."""


@dataclass(frozen=True)
class TomlSource:
    """A file whose text is valid TOML."""

    file: str
    text: str
    data: dict[str, Any]

    @cached_property
    def positions(self) -> Positions:
        """Where keys and values stand; found when a problem first needs them, for most files have none."""
        return find_positions(self.text)

    @cached_property
    def _lines(self) -> list[int]:
        return line_starts(self.text)

    def get(self, path: Path) -> Any:
        """The value at `path`, or None if there is none."""
        value: Any = self.data
        for part in path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def known_part(self, path: Path) -> Path:
        """The longest beginning of `path` that the file has."""
        while path and path not in self.positions.values:
            path = path[:-1]
        return path

    def span(self, path: Path, at: Literal["key", "value"] = "value") -> Span:
        """Where the key or value of the longest known part of `path` stands; the file's beginning if none is."""
        path = self.known_part(path)
        if at == "key" and path in self.positions.keys:
            return self.positions.keys[path]
        return self.positions.values.get(path, Span(0, 0))

    def problem(
        self,
        path: Path,
        message: str,
        hint: str | None = None,
        *,
        at: Literal["key", "value"] = "value",
        severity: Literal["error", "warning"] = "error",
    ) -> Problem:
        """A problem with the key or the value at `path`."""
        return self.problem_at(self.span(path, at), path, message, hint, severity=severity)

    def problem_at(
        self,
        span: Span,
        path: Path,
        message: str,
        hint: str | None = None,
        *,
        severity: Literal["error", "warning"] = "error",
    ) -> Problem:
        """A problem with the characters of `span`; the marker ends with the first line."""
        line, column = locate(self._lines, span.start)
        return Problem(
            file=self.file,
            line=line,
            column=column,
            width=marker_width(self.text, span),
            message=message,
            hint=hint,
            severity=severity,
            path=dotted(path),
        )

    def line_of(self, path: Path) -> int:
        """Line, from 1, on which the value at `path` begins."""
        return self.line_at(self.span(path).start)

    def line_at(self, offset: int) -> int:
        """Line, from 1, of the character at `offset`."""
        return locate(self._lines, offset)[0]

    def inside_string(self, path: Path, start: int, end: int) -> Span:
        """The span of the characters `start` to `end` of the text at `path`; the whole value if it has none there."""
        whole = self.span(path)
        offsets = string_offsets(self.text[whole.start : whole.end])
        if not 0 <= start < end <= len(offsets):
            return whole
        return Span(whole.start + offsets[start], whole.start + offsets[end - 1] + 1)


def read_toml(file: str, text: str) -> TomlSource | Problem:
    """`text` as data with positions, or what is wrong with its syntax: one problem, for what follows cannot be told.

    Args:
        file: how problems call the file.
        text: its content; a byte order mark and Windows line ends are no matter.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    try:
        return TomlSource(file, text, tomllib.loads(text))
    except (ValueError, RecursionError) as error:  # ValueError also for a number with too many digits
        return explain_syntax_error(file, text, error)


def decode_toml(file: str, content: bytes) -> str | Problem:
    """The text of a TOML file, or why it cannot be one."""
    if len(content) > SIZE_LIMIT:
        return Problem(
            file=file,
            message=f"the file is larger than {SIZE_LIMIT >> 20} MB",
            hint="keep large data in a tool's folder, and what an agent is in its TOML file",
        )
    try:
        return decoded(content)
    except UnicodeDecodeError as error:
        before = content[: error.start].decode(errors="replace")
        line, column = locate(line_starts(before), len(before))
        return Problem(
            file=file,
            line=line,
            column=column,
            message="the file is not UTF-8 text",
            hint="save it with the encoding UTF-8",
        )


def dotted(path: Path) -> str:
    """`path` as people write it: `rules[0].steps[1].tool`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
