"""What was probably meant."""

import re
import unicodedata
from collections.abc import Iterable

from caxton.domain.ids import is_name

_CUTOFF = 70.0
"""Similarity from 0 to 100 above which a word is offered. At 70, two changed letters of seven still match."""


def closest(word: str, choices: Iterable[str]) -> str | None:
    """The one of `choices` that `word` most resembles, upper and lower case and the kind of dash aside.

    Failing that the only one that begins with it, for people shorten ("desc").
    """
    from rapidfuzz import fuzz, process

    words = sorted(set(choices))
    found = process.extractOne(word, words, scorer=fuzz.ratio, processor=_plain, score_cutoff=_CUTOFF)
    if found:
        return found[0]
    longer = [choice for choice in words if len(word) >= 3 and _plain(choice).startswith(_plain(word))]
    return longer[0] if len(longer) == 1 else None


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


def listed(words: Iterable[str], joint: str = "and") -> str:
    """ "a", "b" and "c"."""
    quoted = [f'"{word}"' for word in words]
    if len(quoted) < 2:
        return "".join(quoted)
    return f"{', '.join(quoted[:-1])} {joint} {quoted[-1]}"


def _plain(word: str) -> str:
    return word.lower().replace("_", "-")
