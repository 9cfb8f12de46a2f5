"""Keys as people paste them: with a newline, a byte order mark, a no-break space, or quotation marks around them."""

import unicodedata

_AROUND = "".join(
    ["\ufeff", *map(chr, range(0x200B, 0x2010)), *map(chr, range(0x2028, 0x202F)), *map(chr, range(0x2060, 0x2070))]
)
"""Invisible characters and ends of lines that no secret begins or ends with."""


def without_marks(text: str) -> str:
    """A secret without the ends of lines and the invisible characters around it; its spaces may belong to it."""
    return text.strip(f"\r\n{_AROUND}")


def clean_key(text: str) -> str:
    """A key without what was pasted with it: white space, invisible characters, a pair of quotation marks."""
    text = _stripped(text)
    for mark in ('"', "'"):
        if len(text) > 1 and text[0] == text[-1] == mark:
            text = _stripped(text[1:-1])
    return text


def _stripped(text: str) -> str:
    before = None
    while text != before:
        before, text = text, text.strip().strip(_AROUND)
    return text


def odd_character(text: str) -> str | None:
    """The first character that no key has, by its number, name and place, for it may be invisible; None if there is none."""
    for place, character in enumerate(text, 1):
        if not "\x21" <= character <= "\x7e":
            name = unicodedata.name(character, "a control character")
            return f"U+{ord(character):04X} ({name.lower()}) at place {place}"
    return None
