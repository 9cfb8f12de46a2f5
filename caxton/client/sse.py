"""Server-sent events: the lines of a stream as events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

import json
from dataclasses import dataclass
from typing import Any, cast

from caxton.domain.errors import CaxtonError, ErrorReport
from caxton.domain.executions import TurnView


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """Something that happened in a turn while it ran."""

    id: str
    kind: str
    """"step", "delta", "reset" (the deltas since the last step count no more), "retry" (something failed and is tried
    again, after so many seconds), "reply" or "error"; the last two end the turn."""
    data: dict[str, Any]

    @property
    def is_last(self) -> bool:
        """True if the turn ends with this event."""
        return self.kind in ("reply", "error")

    @property
    def is_refusal(self) -> bool:
        """Whether the stream ends because the key may no longer read it; the turn goes on."""
        return self.kind == "error" and "turn" not in self.data

    def turn(self) -> TurnView:
        """The turn, of a "reply"."""
        return TurnView.model_validate(self.data)

    def error(self) -> CaxtonError:
        """The error, of an "error"."""
        return CaxtonError.from_report(ErrorReport.model_validate(self.data))


class EventParser:
    """Takes the lines of a stream one by one."""

    def __init__(self) -> None:
        self.last_id = ""
        self.retry: float | None = None
        """Seconds to wait before connecting again, when the server has said so."""
        self._kind = ""
        self._data: list[str] = []

    def feed(self, line: str) -> StreamEvent | None:
        """The event that `line` (without its end) completes, if it does."""
        if not line:
            return self._dispatch()
        if line.startswith(":"):
            return None
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._kind = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self.last_id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry = int(value) / 1000
        return None

    def _dispatch(self) -> StreamEvent | None:
        kind, data = self._kind, "\n".join(self._data)
        self._kind, self._data = "", []
        if not data:
            return None
        try:
            value = json.loads(data)
        except ValueError:
            value = data
        payload = cast("dict[str, Any]", value) if isinstance(value, dict) else {"value": value}
        return StreamEvent(self.last_id, kind or "message", payload)
