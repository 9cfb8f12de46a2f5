"""Problems in files, on a terminal: what `caxton.definitions` says of them, in colour."""

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from caxton.cli.output import columns, has_colour
from caxton.domain.problems import Problem

_COLOURS = [
    (re.compile(r"^error:", re.MULTILINE), "\x1b[1;31merror:\x1b[0m"),
    (re.compile(r"^warning:", re.MULTILINE), "\x1b[1;33mwarning:\x1b[0m"),
    (re.compile(r"^  hint:", re.MULTILINE), "  \x1b[36mhint:\x1b[0m"),
    (re.compile(r"^( +│)( *)(\^+)$", re.MULTILINE), "\x1b[2m\\1\x1b[0m\\2\x1b[31m\\3\x1b[0m"),
    (re.compile(r"^( *\d+ │)", re.MULTILINE), "\x1b[2m\\1\x1b[0m"),
]


def render(problems: Sequence[Problem], sources: Mapping[str, str], outcome: str) -> list[str]:
    """`problems` with the lines that they are in, and how many there are.

    Args:
        problems: at least one.
        sources: text of the files by the names that the problems give them.
        outcome: what became of it, if there are errors among them.
    """
    from caxton.definitions.render import render_problems

    text = render_problems(problems, sources, outcome=outcome, columns=columns(sys.stderr)).rstrip("\n")
    if has_colour(sys.stderr):
        for pattern, colour in _COLOURS:
            text = pattern.sub(colour, text)
    return text.split("\n")


def count(problems: Sequence[Problem]) -> str:
    """ "2 errors in 1 file"."""
    from caxton.definitions.render import count_problems

    return count_problems(problems, "").rstrip(".")


def read_sources(problems: Sequence[Problem], folder: Path) -> dict[str, str]:
    """Texts of the files that `problems` name, where they can be read."""
    sources: dict[str, str] = {}
    for file in {problem.file for problem in problems if problem.width}:
        try:
            sources[file] = (folder / file).read_bytes().decode(errors="replace")
        except OSError:
            continue
    return sources
