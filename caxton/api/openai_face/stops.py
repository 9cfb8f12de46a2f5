"""Texts before which a reply ends, as its client wants it."""

from collections.abc import Sequence


class Stops:
    """Lets a text pass, piece by piece, up to the first of `stops`."""

    def __init__(self, stops: Sequence[str]) -> None:
        """Look for `stops`."""
        self._stops = [stop for stop in stops if stop]
        self._held = ""
        self.reached = False
        """Whether one of them has come."""

    def take(self, text: str) -> str:
        """What may be told of the text so far; what may be the beginning of a stop is held back."""
        if self.reached or not self._stops:
            return "" if self.reached else text
        self._held += text
        places = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        if places:
            self.reached = True
            told, self._held = self._held[: min(places)], ""
            return told
        keep = max((_overlap(self._held, stop) for stop in self._stops), default=0)
        told, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return told

    def rest(self) -> str:
        """What is left at the end."""
        told, self._held = self._held, ""
        return told


def cut(text: str, stops: Sequence[str]) -> str:
    """`text` up to the first of `stops`."""
    found = Stops(stops)
    return found.take(text) + found.rest()


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of `text` are the beginning of `stop`."""
    start = text.find(stop[0], max(0, len(text) - len(stop) + 1))
    while start >= 0 and not stop.startswith(text[start:]):
        start = text.find(stop[0], start + 1)
    return len(text) - start if start >= 0 else 0
