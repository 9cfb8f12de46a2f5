"""A message of the agent while it is told, also to a client that comes back in the middle of it."""

import hashlib

AGAIN = ".again"
"""Behind the id of a message that is told again, for the model was asked again after a crash and said something else."""


class Speech:
    """A message that is open, as far as the client has it."""

    def __init__(self, identity: str, sent: int = 0, mark: str | None = None) -> None:
        """Begin a message, or go on with one.

        Args:
            identity: its id.
            sent: characters of it that the client has.
            mark: the :attr:`mark` of those, from an earlier connection.
        """
        self.id = identity
        self.sent = sent
        self._hash = hashlib.blake2s(digest_size=6)
        self._earlier = mark

    @property
    def of(self) -> str:
        """The id of the model call that says it."""
        return self.id.partition(AGAIN)[0]

    @property
    def mark(self) -> str:
        """A short hash of what the client has; empty if that is not known."""
        return self._hash.hexdigest() if self._earlier is None else self._earlier

    def rest(self, whole: str) -> str | None:
        """What is left of the whole text; None if the client has the beginning of another one."""
        if self.mark and (len(whole) < self.sent or _mark(whole[: self.sent]) != self.mark):
            return None
        return whole[self.sent :]

    def fresh(self, text: str, start: int) -> str | None:
        """What is new of a piece of the text that begins at `start`; None if the client has the beginning of another text."""
        if self._earlier is not None:
            if start == 0 and self.rest(text) is None:
                return None
            if start == 0:
                self._hash.update(text[: self.sent].encode())
                self._earlier = None
            else:
                self._earlier = ""  # the beginning is not remembered any more
        return text[max(0, self.sent - start) :]

    def say(self, text: str) -> None:
        """Takes what the client is told now."""
        self.sent += len(text)
        if self._earlier is None:
            self._hash.update(text.encode())
        else:
            self._earlier = ""


def _mark(text: str) -> str:
    return hashlib.blake2s(text.encode(), digest_size=6).hexdigest()
