"""Where files stand in a text. What a message says comes in parts; its text is kept as one, and its files beside it."""

from collections.abc import Sequence
from itertools import pairwise


def joined(pieces: Sequence[str | None], joint: str) -> tuple[str, list[int]]:
    """The texts as one, and for each file how many characters of that stand before it.

    Args:
        pieces: texts in their order; None stands for a file.
        joint: what stands between two texts.
    """
    text, places = "", list[int]()
    for piece in pieces:
        if piece is None:
            places.append(len(text))
        elif piece:
            text = f"{text}{joint}{piece}" if text else piece
    return text, places


def worth_keeping(places: Sequence[int], text: str) -> list[int]:
    """`places`, or none if all files stand behind the text, where they are if nothing is said of them."""
    return list(places) if any(place < len(text) for place in places) else []


def cut(text: str, places: Sequence[int]) -> list[str]:
    """The pieces of a text before each of its files, and behind the last one."""
    ends = [0, *places, len(text)]
    return [text[start:end].strip("\n") for start, end in pairwise(ends)]


def shifted(places: Sequence[int], text: str, within: str) -> list[int]:
    """Where files of `text` stand in a longer text that has it once; none if that is not so."""
    if not places or not text or within.count(text) != 1:
        return []
    start = within.index(text)
    return [start + place if place else 0 for place in places]
