"""Problems as plain text for a terminal: where, what, the lines around it, what to do."""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence

from caxton.definitions.reading import errors_of, sorted_problems
from caxton.domain.plurals import plural
from caxton.domain.problems import Problem
from caxton.domain.secrets import kind_of_secret

_WIDEST = 120
"""Characters of a source line that are shown; of a longer one, the part around the marker."""
_NARROWEST = 20
"""Characters that are shown however narrow the terminal is."""
_GUTTER = 10
"""Columns for the line's number and what is left out on both sides."""


def render_problems(
    problems: Sequence[Problem],
    sources: Mapping[str, str],
    *,
    outcome: str = "Nothing was changed.",
    columns: int = _WIDEST + _GUTTER,
) -> str:
    """`problems` sorted, each with two lines of its file, and counted at the end.

    Args:
        problems: what was found.
        sources: text of the files by the names that the problems give them; one that is not there is not shown.
        outcome: the sentence after the count when there are errors.
        columns: width of the terminal; of longer source lines only the part around the marker is shown.

    Returns:
        Text without colours, which ends with a newline; empty when there are no problems.
    """
    if not problems:
        return ""
    found = sorted_problems(problems)
    lines = [line for problem in found for line in _render(problem, sources.get(problem.file), columns)]
    return "\n".join([*lines, count_problems(found, outcome)]) + "\n"


def count_problems(problems: Sequence[Problem], outcome: str = "Nothing was changed.") -> str:
    """How many there are in how many files: "2 errors and 1 warning in 2 files. Nothing was changed." """
    errors = len(errors_of(problems))
    parts = [(errors, "error"), (len(problems) - errors, "warning")]
    counts = " and ".join(plural(count, word) for count, word in parts if count)
    text = f"{counts} in {plural(len({problem.file for problem in problems}), 'file')}."
    return f"{text} {outcome}" if errors and outcome else text


def _render(problem: Problem, source: str | None, columns: int) -> Iterator[str]:
    place = f"{problem.file}:{problem.line}:{problem.column}" if problem.width else problem.file
    yield f"{problem.severity}: {_clean(place)}: {_clean(problem.message)}"
    if source is not None and problem.width and not problem.concealed:
        yield from _context(problem, source.replace("\r\n", "\n").removeprefix("\ufeff").split("\n"), columns)
    if problem.hint:
        yield f"  hint: {_clean(problem.hint)}"


def _context(problem: Problem, lines: Sequence[str], columns: int) -> Iterator[str]:
    """The line of the problem, the one before it, and a marker."""
    if problem.line > len(lines):
        return
    gutter = max(5, len(str(problem.line)) + 2)
    widest = max(_NARROWEST, min(_WIDEST, columns - gutter - 3 - 2))
    line = lines[problem.line - 1]
    start = max(0, min(problem.column - 1, len(line)))
    cut = max(0, start - widest // 2) if start + problem.width > widest else 0
    if problem.line > 1:
        before = lines[problem.line - 2]
        yield f"{problem.line - 1:>{gutter}} │ {_shown(before, 0, widest)}".rstrip()
    yield f"{problem.line:>{gutter}} │ {_shown(line, cut, widest)}".rstrip()
    indent = _columns(line[cut:start]) + (1 if cut else 0)
    width = max(1, min(_columns(line[start : start + problem.width]), widest - indent))
    yield f"{'':>{gutter}} │ {' ' * indent}{'^' * width}"


def _shown(line: str, cut: int, widest: int) -> str:
    text = "[a line that contains a secret]" if kind_of_secret(line) else _clean(line[cut : cut + widest])
    return f"{'…' if cut else ''}{text}{'…' if len(line) > cut + widest else ''}"


def _clean(text: str) -> str:
    """`text` without what would move the cursor or colour the terminal."""
    return "".join(" " if c == "\t" else c if unicodedata.category(c) not in ("Cc", "Cf") else "�" for c in text)


def _columns(text: str) -> int:
    """Columns that `text` takes on a terminal: two for wide characters, none for combining ones."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)
