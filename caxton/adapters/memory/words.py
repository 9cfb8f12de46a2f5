"""Texts as sparse vectors of their words, for BM25 in databases that only multiply vectors.

The weight of a word within a text is here; how rare the word is, the database knows (Qdrant's IDF modifier). As with LanceDB's
full-text index, accents and the plural of English do not matter, and English words that are in every text do not count.
"""

import itertools
import re
import unicodedata
import zlib
from collections import Counter

SATURATION = 1.2
"""k1 of BM25."""

LENGTH_WEIGHT = 0.75
"""b of BM25."""

USUAL_LENGTH = 64
"""Words of a usual memory. The true mean changes with every write, and would have to be in every vector."""

_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u0f00-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]"
)
"""Thai, Lao, Tibetan, Burmese, Khmer, kana, Han; and Hangul, for its particles. Words are pairs of characters."""

_EVERYWHERE = """
a about all also am an and any are as at be been but by can could did do does for from had has have he her his
how i if in into is it its me my no not of on or our she should so such than that the their them then there
these they this to was we were what when where which who will with would you your
"""
_COMMON = frozenset(_EVERYWHERE.split())


def weights(text: str) -> tuple[list[int], list[float]]:
    """Numbers of the words of `text`, and how much each says about it."""
    counts = Counter(_words(text))
    norm = SATURATION * (1 - LENGTH_WEIGHT + LENGTH_WEIGHT * counts.total() / USUAL_LENGTH)
    return _vector({word: count * (SATURATION + 1) / (count + norm) for word, count in counts.items()})


def asked(text: str) -> tuple[list[int], list[float]]:
    """Numbers of the words of a query, each counting once."""
    return _vector(dict.fromkeys(_words(text), 1.0))


def _vector(weighed: dict[str, float]) -> tuple[list[int], list[float]]:
    # Two words of one number are rare (one in 4 billion pairs), and then count as one.
    numbers = {zlib.crc32(word.encode(errors="replace")): weight for word, weight in weighed.items()}
    return list(numbers), list(numbers.values())


def _words(text: str) -> list[str]:
    plain = "".join(
        character
        for character in unicodedata.normalize("NFKD", text.casefold())
        if not unicodedata.combining(character)
    )
    words: list[str] = []
    for unspaced, run in itertools.groupby(unicodedata.normalize("NFC", plain), _kind):
        part = "".join(run)
        if unspaced:
            words += [part[at : at + 2] for at in range(len(part) - 1)] or [part]
        elif unspaced is not None and part not in _COMMON:
            words.append(_singular(part))
    return words


def _kind(character: str) -> bool | None:
    """Whether a character is of a script that puts no spaces between words; None where it belongs to no word."""
    if character.isascii():
        return False if character.isalnum() else None
    if not (character.isalnum() or unicodedata.category(character).startswith("M")):
        return None
    return _UNSPACED.match(character) is not None


def _singular(word: str) -> str:
    """Harman's S stemmer (1991): only plurals, so that it does little harm to other languages."""
    if len(word) <= 3 or not word.endswith("s") or word.endswith(("us", "ss")):
        return word
    if word.endswith("ies"):
        return word if word.endswith(("eies", "aies")) else word[:-3] + "y"
    return word[:-1]
