"""What a model writes of its thoughts before its answer, where its server leaves them in the text."""

_BEGIN, _END = "<think>", "</think>"


class LeadingThoughts:
    """Takes the thoughts out of the beginning of a text that comes in pieces; a tag further behind is part of the answer."""

    def __init__(self) -> None:
        """Begin."""
        self._state = "before"
        self._held = ""

    def take(self, piece: str) -> str:
        """Takes the next piece; returns what is part of the answer."""
        if self._state == "answer":
            return piece
        self._held += piece
        if self._state == "before":
            start = self._held.lstrip()
            if start.startswith(_BEGIN):
                self._state, self._held = "thoughts", start[len(_BEGIN) :]
            elif not _BEGIN.startswith(start):
                return self._answer(self._held)
        if self._state == "thoughts":
            _, end, behind = self._held.partition(_END)
            if end:
                self._state, self._held = "behind", behind
            else:
                self._held = self._held[-len(_END) :]
        if self._state == "behind" and self._held.strip():
            return self._answer(self._held.lstrip())
        return ""

    def end(self) -> str:
        """Ends the text; returns what was held back of the answer."""
        return self._answer(self._held if self._state == "before" else "")

    def _answer(self, text: str) -> str:
        self._state, self._held = "answer", ""
        return text
