"""A message of the agent while it is told, also to a client that comes back in the middle of it."""

LOST = -1
"""Characters that the client has of a text of which it missed a part."""


class Speech:
    """A message that is open, as far as the client has it."""

    def __init__(self, identity: str, sent: int = 0) -> None:
        """Begin a message, or go on with one.

        Args:
            identity: its id.
            sent: characters of it that the client has; LOST if some in between are missing.
        """
        self.id = identity
        self.sent = sent

    def say(self, text: str, end: int) -> None:
        """Takes what the client is told now, and where it ends in the whole text."""
        self.sent = end if self.sent == end - len(text) else LOST

    def rest(self, whole: str) -> str | None:
        """What is left of the whole text; None if the client lacks more than the end."""
        return None if self.sent == LOST else whole[self.sent :]
