"""Text that comes in pieces which may end in the middle of a character."""

import codecs
import re

_HALVES = re.compile("[\ud800-\udfff]")
_PAIR = re.compile("([\ud800-\udbff])([\udc00-\udfff])")
_BYTE_FIRST, _BYTE_LAST = 0xDC80, 0xDCFF
"""How `surrogateescape` writes bytes that are not UTF-8."""


def as_text(block: bytes) -> str:
    """The text of `block`; bytes that are not UTF-8, such as a part of a character, are kept for :class:`Characters`."""
    return block.decode("utf-8", "surrogateescape")


class Characters:
    """Puts pieces of a text together.

    Some services send half a character in one piece and its other half in the next: half a surrogate pair in JSON, or some of a
    character's bytes.
    """

    def __init__(self) -> None:
        """Begin."""
        self._held = ""
        """A first half whose second one may follow."""
        self._bytes = codecs.getincrementaldecoder("utf-8")("replace")
        self._has_bytes = False

    def take(self, piece: str) -> str:
        """Takes the next piece; returns as much as has whole characters."""
        if not self._held and not self._has_bytes and not _HALVES.search(piece):
            return piece
        text = self._held + piece
        self._held = ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._held = text[:-1], text[-1]
        return self._decode(text)

    def end(self) -> str:
        """Ends the text; returns what was held back, with a replacement for what is not a character."""
        held, self._held = self._held, ""
        rest = self._decode(held) + self._bytes.decode(b"", final=True)
        self._has_bytes = False
        return rest

    def _decode(self, text: str) -> str:
        text = _PAIR.sub(lambda pair: (pair[1] + pair[2]).encode("utf-16", "surrogatepass").decode("utf-16"), text)
        found = self._bytes.decode(b"".join(_encoded(part) for part in re.split("([\ud800-\udfff])", text)))
        self._has_bytes = bool(self._bytes.getstate()[0])
        return found


def whole(text: str) -> str:
    """`text` without halves of characters: those that belong together are joined, others replaced."""
    characters = Characters()
    return characters.take(text) + characters.end()


def _encoded(part: str) -> bytes:
    if len(part) == 1 and _HALVES.match(part):
        code = ord(part)
        return bytes([code - 0xDC00]) if _BYTE_FIRST <= code <= _BYTE_LAST else "\ufffd".encode()
    return part.encode()
