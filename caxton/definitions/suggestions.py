"""What was probably meant."""

import re
import unicodedata
from collections.abc import Iterable

from caxton.domain.errors import InvalidInput
from caxton.domain.ids import is_name

_CUTOFF = 70.0
"""Similarity from 0 to 100 above which a word is offered. At 70, two changed letters of seven still match."""


def closest(word: str, choices: Iterable[str]) -> str | None:
    """The one of `choices` that `word` most resembles, ignoring case and the kind of dash.

    Failing that the only one that begins with it, for people shorten ("desc").
    """
    words = sorted(set(choices))
    found = most_similar(word, words, _CUTOFF)
    if found is not None:
        return found
    longer = [choice for choice in words if len(word) >= 3 and _plain(choice).startswith(_plain(word))]
    return longer[0] if len(longer) == 1 else None


def most_similar(word: str, choices: Iterable[str], cutoff: float) -> str | None:
    """The first of those of `choices` that resemble `word` most, or None if none reaches `cutoff` (of 100)."""
    plain = _plain(word)
    found, best = None, cutoff
    for choice in choices:
        score = _similarity(plain, _plain(choice), best)
        if score > best or (found is None and score == best):
            found, best = choice, score
    return found


def _similarity(one: str, other: str, at_least: float) -> float:
    """The characters that both have in the same order, as a share (0 to 100) of all; 0 below `at_least`.

    Hyyrö's algorithm: a bit of a whole number stands for a character of `one`, so that a row of the usual table is one addition.
    The library for it takes 12 MB, a fifth of what the command line may weigh.
    """
    length = len(one) + len(other)
    if length == 0:
        return 100.0
    if 200.0 * min(len(one), len(other)) / length < at_least:
        return 0.0
    places: dict[str, int] = {}
    for position, character in enumerate(one):
        places[character] = places.get(character, 0) | 1 << position
    everywhere = (1 << len(one)) - 1
    row = everywhere
    for character in other:
        shared = row & places.get(character, 0)
        row = ((row + shared) | (row - shared)) & everywhere
    score = 200.0 * (len(one) - row.bit_count()) / length
    return score if score >= at_least else 0.0


def did_you_mean(word: str, choices: Iterable[str]) -> str | None:
    """A hint that offers the closest of `choices`, or None if none is close."""
    found = closest(word, choices)
    return f'did you mean "{found}"?' if found else None


def fixed_name(text: str) -> str | None:
    """A valid name that resembles `text` ("DataAnalyzer" → "data-analyzer"), or None if nothing is left of it."""
    text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", text).lower()
    text = re.sub(r"[^a-z0-9_]+", "-", text)[:63].strip("-_")
    return text if is_name(text) else None


def name_hint(text: str) -> str:
    """What to write instead of `text`, which is not a name."""
    fixed = fixed_name(text)
    rule = 'names have lower-case letters, digits, "-" and "_"'
    return f'{rule}; write "{fixed}"' if fixed else rule


def check_name(name: str, what: str) -> None:
    """Checks that `what`, such as "an agent", may have this name.

    Raises:
        InvalidInput: it may not.
    """
    if not is_name(name):
        raise InvalidInput(f'"{name}" is not a valid name for {what}', name_hint(name))


def listed(words: Iterable[str], joint: str = "and") -> str:
    """ "a", "b" and "c"."""
    quoted = [f'"{word}"' for word in words]
    if len(quoted) < 2:
        return "".join(quoted)
    return f"{', '.join(quoted[:-1])} {joint} {quoted[-1]}"


def _plain(word: str) -> str:
    return word.lower().replace("_", "-")
