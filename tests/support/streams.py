"""Streams of turns, read as they come."""

import json
import threading
import time
from typing import Any, NamedTuple

import httpx


class Told(NamedTuple):
    """An event of a stream."""

    id: str
    kind: str
    data: dict[str, Any]
    at: float
    """When it came, by the monotonic clock."""


def read_stream(
    api: httpx.Client, execution: str, last: str | None = None, events: list[Told] | None = None
) -> list[Told]:
    """All events of a turn's stream, to its end; as they come they are put into `events`."""
    headers = {"Last-Event-ID": last} if last else {}
    events = [] if events is None else events
    with api.stream("GET", f"/v1/executions/{execution}/stream", headers=headers) as response:
        assert response.status_code == 200, response.read()
        fields: dict[str, str] = {}
        for line in response.iter_lines():
            if line.startswith(":"):
                continue
            if not line:
                if fields:
                    told = Told(fields["id"], fields["event"], json.loads(fields["data"]), time.monotonic())
                    events.append(told)
                fields = {}
                continue
            name, _, value = line.partition(": ")
            fields[name] = value
    return events


class Listener(threading.Thread):
    """Reads a stream beside the test."""

    def __init__(self, api: httpx.Client, execution: str) -> None:
        """Begin to listen."""
        super().__init__(daemon=True)
        self._api, self._execution = api, execution
        self._events: list[Told] = []
        self.start()

    def run(self) -> None:
        """Reads to the end."""
        read_stream(self._api, self._execution, events=self._events)

    def heard(self) -> list[Told]:
        """The pieces of text so far."""
        return [event for event in self._events if event.kind == "delta"]

    def events(self) -> list[Told]:
        """All events, once the stream has ended."""
        self.join(60)
        assert not self.is_alive()
        return self._events


def text_of(events: list[Told]) -> str:
    """What a listener has heard who starts over when told to."""
    heard = ""
    for event in events:
        if event.kind == "delta":
            heard += event.data["text"]
        elif event.kind == "reset":
            heard = ""
    return heard
