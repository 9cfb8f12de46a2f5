"""Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html), written by hand: a few lines."""

from typing import Any, Final

import anyio
from fastapi.responses import StreamingResponse
from starlette.types import Send

from caxton.domain.json_text import json_line

_OPEN: Final = set[anyio.CancelScope]()
"""Of each stream that is being sent."""


class EventStream(StreamingResponse):
    """A response of server-sent events. It ends when the server stops: its listener comes again, and resumes."""

    media_type = "text/event-stream"

    async def stream_response(self, send: Send) -> None:
        """Sends the events until there are no more, or :func:`end_streams`."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        with anyio.CancelScope() as scope:
            _OPEN.add(scope)
            try:
                async for chunk in self.body_iterator:
                    content = chunk.encode(self.charset) if isinstance(chunk, str) else chunk
                    await send({"type": "http.response.body", "body": content, "more_body": True})
            finally:
                _OPEN.discard(scope)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def end_streams() -> None:
    """Ends all open streams, for the server stops: without it they would be cut off when its patience ends."""
    for scope in list(_OPEN):
        scope.cancel()


def encode_event(kind: str, data: Any, identity: str = "") -> str:
    """One event of a stream."""
    text = data if isinstance(data, str) else json_line(data)
    head = f"id: {identity}\n" if identity else ""
    return f"{head}event: {kind}\ndata: {text}\n\n"


STILL_HERE = ": still here\n\n"
"""A comment, which clients skip: it shows that the line is alive."""
