"""A second place for the event log: where an auditor keeps it, out of reach of whoever has the server."""

import json
from collections.abc import Sequence
from typing import Protocol

from caxton.domain.events import Event


class AuditSink(Protocol):
    """Takes events. What it has taken without an error has left this server; it may get the same again after a crash."""

    async def send(self, events: Sequence[Event]) -> None:
        """Takes events of one customer, in the log's order.

        Raises:
            ChannelFailed: it has not taken them, or not all of them; they come again.
        """
        ...

    async def close(self) -> None:
        """Gives connections and files up."""
        ...


def event_line(event: Event) -> bytes:
    """An event as one line of JSON: of an export, and of what sinks get. The hash chain can be verified from such lines."""
    return json.dumps(event.model_dump(mode="json"), ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
