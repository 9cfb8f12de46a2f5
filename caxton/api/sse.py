"""Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html), written by hand: a few lines."""

import json
from typing import Any


def encode_event(kind: str, data: Any, identity: str = "") -> str:
    """One event of a stream."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    head = f"id: {identity}\n" if identity else ""
    return f"{head}event: {kind}\ndata: {text}\n\n"


STILL_HERE = ": still here\n\n"
"""A comment, which clients skip: it shows that the line is alive."""
