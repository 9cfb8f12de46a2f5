"""Code blocks of Markdown pages, with the comment that stands above them."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(
    r"(?:<!-- (?P<note>[^>]*?) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)^```", re.DOTALL | re.MULTILINE
)


@dataclass(frozen=True)
class Snippet:
    """One code block."""

    note: str
    language: str
    text: str


def snippets(page: str) -> list[Snippet]:
    """The code blocks of `page`, a path below the project's root."""
    text = (ROOT / page).read_text()
    return [Snippet(m["note"] or "", m["language"], m["text"]) for m in _BLOCK.finditer(text)]
