"""How much, and how long, a connection may take."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TransportLimits:
    """Limits of one listener. What they bound costs memory, descriptors or time before a key has been looked at."""

    connections: int = 4096
    """Open connections in all."""
    connections_per_address: int = 1024
    """Open connections of one peer, other than a proxy that is trusted."""
    head_bytes: int = 32 << 10
    """Request line and headers."""
    target_bytes: int = 8 << 10
    """The request's target: path and query."""
    headers: int = 100
    """Headers of one request."""
    head_seconds: float = 10.0
    """From the connection, or from a request's first byte, until all headers are there."""
    body_grace: float = 20.0
    """Seconds that a body may stand still, if it came faster before."""
    body_rate: float = 1000.0
    """Bytes a second that a body must bring on average."""
    stalled_seconds: float = 60.0
    """Seconds that a client may go without taking anything of an answer that waits for it."""
    pipelined: int = 16
    """Requests that may come before earlier ones on the connection are answered."""
    linger_bytes: int = 32 << 20
    linger_seconds: float = 2.0
    """Of a body that comes after its answer: it is thrown away, so that the client gets to read the answer."""


OVERHEAD = 16
"""Bytes that a body's framing may take for each byte of it, beside as many as a head may have."""

PIECE = 64 << 10
"""Bytes that are parsed at once."""
