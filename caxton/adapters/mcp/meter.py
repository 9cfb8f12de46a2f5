"""Bounds what a server may send, and takes secrets out of it."""

from collections import deque
from collections.abc import Collection
from typing import Any, Final, cast

from caxton.observability.redaction import REDACTED, SHORTEST, redact

MOST_MESSAGES: Final = 20_000
"""Messages of a server between two calls, or in one."""

LINES: Final = 50
"""Lines of a server's log that are kept, the latest ones."""


class TooMuch(Exception):
    """A server sends more than it may."""


class Meter:
    """Counts what comes over one connection since the last call began."""

    def __init__(self, message_size: int) -> None:
        """Let messages of `message_size` bytes pass, and three of them in a call."""
        self.message_size = message_size
        self.exceeded = False
        """Whether more came than may."""
        self._bytes = 0
        self._messages = 0

    def begin(self) -> None:
        """A call begins."""
        self._bytes = self._messages = 0

    def count(self, size: int, *, messages: int = 1) -> None:
        """Counts what came.

        Raises:
            TooMuch: it is more than it may be.
        """
        self._bytes += size
        self._messages += messages
        if self._bytes > 3 * self.message_size or self._messages > MOST_MESSAGES:
            self.exceeded = True
            raise TooMuch


class Conceal:
    """Takes secrets that a server was given out of what it says."""

    def __init__(self, secrets: Collection[str]) -> None:
        """Know the `secrets`; one of a few characters may be part of any word, and stays."""
        parts = {part for secret in secrets for part in (secret, secret.partition(" ")[2]) if len(part) >= SHORTEST}
        self._secrets = sorted(parts, key=len, reverse=True)

    def text(self, text: str) -> str:
        """`text` without them."""
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, REDACTED)
        return text

    def value(self, value: Any) -> Any:
        """A JSON value without them."""
        if not self._secrets:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(key): self.value(each) for key, each in cast("dict[str, Any]", value).items()}
        if isinstance(value, list):
            return [self.value(each) for each in cast("list[Any]", value)]
        return value


class ServerLog:
    """The last lines that a server wrote to its standard error."""

    def __init__(self, conceal: Conceal) -> None:
        """Keep lines without secrets."""
        self._conceal = conceal
        self._lines: deque[str] = deque(maxlen=LINES)

    def add(self, line: bytes) -> None:
        """Keeps a line."""
        text = "".join(each for each in line.decode(errors="replace").rstrip() if each.isprintable())
        if text:
            self._lines.append(redact(self._conceal.text(text), 300))

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines, the oldest first."""
        return tuple(self._lines)
