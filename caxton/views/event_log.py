"""The event log, and what derives from it."""

from datetime import datetime
from typing import Any

from caxton.views.view import View


class Verification(View):
    """The result of a verification of the log."""

    ok: bool
    checked: int
    """Events whose place in the chain was recomputed."""
    head_sequence: int
    head_hash: str
    begins_at: int = 1
    """The first event that was looked at."""
    broken_at: int | None = None
    """Position of the first broken link."""
    problem: str | None = None
    violations: list[dict[str, Any]] = []
    """Broken invariants (the first 100)."""
    open_executions: int = 0
    detached: int = 0
    """The last event that has left the database in a segment: what is checked begins behind it, with that one's hash."""
    detached_hash: str | None = None


class SegmentView(View):
    """A part of the log that has left the database."""

    first: int
    last: int
    count: int
    previous_hash: str
    root_hash: str
    began_at: datetime
    ended_at: datetime
    detached_at: datetime
    file: str
    file_hash: str
    """SHA-256 of the file."""
    bytes: int
    is_here: bool
    """True if its file is in the server's archive."""


class SegmentList(View):
    """Segments of the customer's log."""

    segments: list[SegmentView]
    archive: str | None = None
    """The folder on the server's machine."""


class EventType(View):
    """A type of event."""

    type: str
    category: str
    schema_version: int
    description: str
    reserved: str | None = None
    """Which part of Caxton will emit it, when none does yet."""
    payload: dict[str, Any] = {}
    """JSON Schema of the payload."""


class ProjectedView(View):
    """A view of the log."""

    view: str
    description: str
    as_of: int
    """The last event of the log that is in it."""
    behind: int
    """Events that are not in it yet."""
    documents: dict[str, Any]


class MetricValue(View):
    """A metric over a span of time."""

    name: str
    description: str = ""
    value: float | None
    """None for a ratio of which there is no denominator."""
    count: int
    per: int | None = None
    by: dict[str, float | None] = {}
