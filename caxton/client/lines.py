"""Lines of a stream, split where its protocol says that they end, and nowhere else.

`str.splitlines` (and httpx's `iter_lines`, which follows it) also splits at U+0085, U+2028, U+2029 and a few control
characters, which are ordinary characters inside a text that somebody wrote.
"""

import codecs
import re

_ENDS_OF_LINES = re.compile(r"\n")
_ENDS_OF_EVENT_LINES = re.compile(r"\r\n|\r|\n")
BYTE_ORDER_MARK = "\ufeff"


class LineSplitter:
    """Splits blocks of UTF-8, however they are cut, into lines without their ends."""

    def __init__(self, *, events: bool = False) -> None:
        """Split at line feeds alone, as NDJSON wants it; server-sent `events` also end lines with CR and with CRLF."""
        self._ends = _ENDS_OF_EVENT_LINES if events else _ENDS_OF_LINES
        self._events = events
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._begun: list[str] = []
        """Pieces of a line whose end has not come yet."""
        self._at_start = True
        self._after_return = False
        """True if the last block ended with a CR: a following LF belongs to it."""

    def feed(self, block: bytes) -> list[str]:
        """The lines that end in `block`."""
        text = self._decoder.decode(block)
        if not text:
            return []
        if self._at_start:
            text, self._at_start = text.removeprefix(BYTE_ORDER_MARK), False
        if self._after_return:
            text = text.removeprefix("\n")
        self._after_return = self._events and text.endswith("\r")
        first, *others = self._ends.split(text)
        if not others:
            self._begun.append(first)
            return []
        lines = ["".join([*self._begun, first]), *others[:-1]]
        self._begun = [others[-1]]
        return lines

    def rest(self) -> str:
        """The text after the last line end."""
        return "".join(self._begun) + self._decoder.decode(b"", final=True)
