"""Characters that deceive the eye of whoever judges a text: invisible ones, those that reorder it, letters that look alike."""

import re
import unicodedata
from typing import Final

_UNSEEN: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]"
)
"""Letters, marks and symbols without a glyph. Most of them count for nothing in the name of a host."""

_ALPHABETS: Final = ("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU")
"""Those with letters that look alike."""

_WORD = re.compile(r"[^\W\d_]+")


def is_unseen(character: str) -> bool:
    """Whether a character shows nothing, or changes how others are shown; line breaks are such characters."""
    unseen = unicodedata.category(character) in ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp")
    return unseen or _UNSEEN.match(character) is not None


def is_deceptive(character: str) -> bool:
    """Whether a character deceives whoever reads a text, which may have lines."""
    if character in "\n\t" or " " <= character <= "~":
        return False
    return is_unseen(character)


def revealed(text: str) -> str:
    """A text for people, with deceptive characters as `<U+202E>`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(f"<U+{ord(each):04X}>" if is_deceptive(each) else each for each in text)


def revealed_json(text: str) -> str:
    """JSON text with deceptive characters escaped; it means the same."""
    if text.isascii() and "\x7f" not in text:  # JSON itself escapes all others of ASCII
        return text
    return "".join(_escaped(each) if is_deceptive(each) else each for each in text)


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def mixed_words(text: str) -> list[str]:
    """Words with letters of several alphabets that look alike, such as "pаypal" with a Cyrillic a, each with those letters."""
    if text.isascii():
        return []
    found: dict[str, str] = {}
    for word in _WORD.findall(text):
        if word.isascii() or word in found:
            continue
        alphabets = {each: _alphabet(each) for each in word}
        kinds = {alphabet for alphabet in alphabets.values() if alphabet}
        if len(kinds) > 1:
            usual = max(kinds, key=lambda kind: sum(alphabets[each] == kind for each in word))
            odd = [each for each in dict.fromkeys(word) if alphabets[each] and alphabets[each] != usual]
            found[word] = f"{word}: " + ", ".join(f"U+{ord(each):04X} {unicodedata.name(each).lower()}" for each in odd)
    return list(found.values())


def _alphabet(character: str) -> str | None:
    name = unicodedata.name(character, "")
    return next((each for each in _ALPHABETS if name.startswith(each)), None)
