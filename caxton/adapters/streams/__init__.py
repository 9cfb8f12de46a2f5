"""Live deltas of running turns, within this process."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from caxton.domain.ids import ExecutionId
from caxton.domain.ports import StreamEvent

REMEMBERED_TEXT = 256 << 10
"""Characters of a running turn's text that late subscribers still get."""


class LocalStream:
    """The DeltaStream port for API and worker in one process. Others see a turn's steps and reply from the store."""

    def __init__(self) -> None:
        """Start with no listeners."""
        self._listeners: dict[ExecutionId, list[Callable[[StreamEvent], None]]] = defaultdict(list)
        self._text: dict[ExecutionId, str] = {}

    def publish(self, execution_id: ExecutionId, kind: str, data: Mapping[str, Any]) -> None:
        """Hands an event to all who listen. The id of a delta is the position behind it in the step's text."""
        position = ""
        if kind == "delta":
            text = self._text.get(execution_id, "")
            if len(text) < REMEMBERED_TEXT:
                text = self._text[execution_id] = text + str(data["text"])
            position = str(len(text))
        else:
            self._text.pop(execution_id, None)
        listeners = self._listeners.get(execution_id)
        if not listeners:
            return
        event = StreamEvent(position, kind if kind in ("delta", "reply") else "step", data)
        for listener in list(listeners):
            listener(event)

    def subscribe(self, execution_id: ExecutionId, on_event: Callable[[StreamEvent], None]) -> Callable[[], None]:
        """Calls `on_event` from now on; the text so far of the step under way comes first."""
        text = self._text.get(execution_id)
        if text:
            on_event(StreamEvent(str(len(text)), "delta", {"text": text}))
        self._listeners[execution_id].append(on_event)

        def unsubscribe() -> None:
            listeners = self._listeners.get(execution_id, [])
            if on_event in listeners:
                listeners.remove(on_event)
            if not listeners:
                self._listeners.pop(execution_id, None)

        return unsubscribe
