"""Live text of running turns, within this process."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from caxton.domain.ids import ExecutionId
from caxton.domain.ports import StreamEvent, StreamKind

REMEMBERED_TEXT = 256 << 10
"""Characters of a running turn's text that late subscribers still get."""

MOST_TEXTS = 10_000
"""Turns whose text is remembered; the oldest are forgotten first."""

EXPECTED_FOR = 5.0
"""Seconds within which a listener who was announced has to come."""

POLL = 5.0
"""Seconds after which listeners look for themselves, should they have missed the news: thousands may wait at a time."""

OnEvent = Callable[[StreamEvent], None]


@dataclass
class _Text:
    """The text so far of the model call in progress."""

    data: Mapping[str, Any]
    """Of the first piece: who speaks, in which step and attempt."""
    pieces: list[str] = field(default_factory=list[str])
    start: int = 0
    """Where the first piece begins: what came before it may be lost."""
    length: int = 0

    def said(self) -> tuple[str, int]:
        """The remembered text, and where it ends."""
        text = "".join(self.pieces)
        return text, self.start + len(text)


@dataclass
class _Listeners:
    of_text: list[OnEvent] = field(default_factory=list[OnEvent])
    of_ends: list[OnEvent] = field(default_factory=list[OnEvent])

    def __bool__(self) -> bool:
        return bool(self.of_text or self.of_ends)


class LocalStream:
    """The DeltaStream port for API and worker in one process. Others see a turn's steps and reply from the store."""

    poll = POLL

    def __init__(self) -> None:
        """Start with no listeners."""
        self._listeners: defaultdict[ExecutionId, _Listeners] = defaultdict(_Listeners)
        self._text: dict[ExecutionId, _Text] = {}
        self._expected: dict[ExecutionId, float] = {}

    def has_listeners(self, execution_id: ExecutionId) -> bool:
        """Whether somebody wants the turn's text as it is made."""
        listeners = self._listeners.get(execution_id)
        if listeners is not None and listeners.of_text:
            return True
        return self._expected.get(execution_id, 0.0) > time.monotonic()

    def expect(self, execution_id: ExecutionId) -> None:
        """Counts as a listener for a moment."""
        now = time.monotonic()
        self._expected.pop(execution_id, None)
        self._expected[execution_id] = now + EXPECTED_FOR
        for known, until in list(self._expected.items())[:2]:  # the oldest come first
            if until < now:
                del self._expected[known]

    def publish(self, execution_id: ExecutionId, kind: str, data: Mapping[str, Any]) -> None:
        """Hands an event to all who listen. The id of a delta is the position behind it in the step's text."""
        if kind == "delta":
            self._publish_text(execution_id, data)
            return
        text = self._text.pop(execution_id, None) if self._text else None
        if kind == "begin":
            if text is None:
                return  # nobody has heard anything yet
            kind = "reset"
        listeners = self._listeners.get(execution_id)
        if listeners is None:
            return
        event = StreamEvent("", cast("StreamKind", kind), data)
        for listener in list(listeners.of_text):
            listener(event)
        if kind in ("end", "reply"):
            for listener in list(listeners.of_ends):
                listener(event)

    def is_known(self, execution_id: ExecutionId) -> bool:
        """Whether anybody here wants to hear of the turn, or of its end."""
        return execution_id in self._listeners

    def position(self, execution_id: ExecutionId) -> int:
        """Where the text of the model call in progress stands."""
        text = self._text.get(execution_id)
        return 0 if text is None else text.length

    def said(self, execution_id: ExecutionId) -> tuple[Mapping[str, Any], int] | None:
        """The text of the model call in progress, as one delta, and where it ends."""
        text = self._text.get(execution_id)
        if text is None:
            return None
        said, end = text.said()
        return {**text.data, "text": said}, end

    def hear_text(self, execution_id: ExecutionId, data: Mapping[str, Any], end: int) -> None:
        """Takes a delta that was published elsewhere, and ends at `end`; what is known of it already is left out."""
        known = self.position(execution_id) if self._text_of(execution_id, data) else 0
        piece = str(data["text"])
        fresh = piece[max(0, known - (end - len(piece))) :] if end > known else ""
        if not fresh:
            return
        if end - len(fresh) > known:  # what came before got lost: the text goes on where this begins
            self._text[execution_id] = _Text(data, start=end - len(fresh), length=end - len(fresh))
        self._publish_text(execution_id, {**data, "text": fresh})

    def _text_of(self, execution_id: ExecutionId, data: Mapping[str, Any]) -> _Text | None:
        """The text so far that a delta goes on with; None where it begins one."""
        text = self._text.get(execution_id)
        return text if text is not None and text.data.get("text_id") == data.get("text_id") else None

    def _publish_text(self, execution_id: ExecutionId, data: Mapping[str, Any]) -> None:
        text = self._text_of(execution_id, data)
        if text is None:
            self._text.pop(execution_id, None)
            if len(self._text) >= MOST_TEXTS:
                del self._text[next(iter(self._text))]
            text = self._text[execution_id] = _Text(data)
        piece = str(data["text"])
        if text.length < REMEMBERED_TEXT:
            text.pieces.append(piece)
        text.length += len(piece)
        listeners = self._listeners.get(execution_id)
        if listeners is None:
            return
        event = StreamEvent(str(text.length), "delta", data)
        for listener in list(listeners.of_text):
            listener(event)

    def subscribe(self, execution_id: ExecutionId, on_event: OnEvent, *, only_end: bool = False) -> Callable[[], None]:
        """Calls `on_event` from now on; the text so far of the step in progress comes first."""
        text = self._text.get(execution_id)
        if text is not None and not only_end:
            said, end = text.said()
            on_event(StreamEvent(str(end), "delta", {**text.data, "text": said}))
        listeners = self._listeners[execution_id]
        found = listeners.of_ends if only_end else listeners.of_text
        found.append(on_event)

        def unsubscribe() -> None:
            if on_event in found:
                found.remove(on_event)
            if not listeners and self._listeners.get(execution_id) is listeners:
                del self._listeners[execution_id]

        return unsubscribe
