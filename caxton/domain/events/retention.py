"""How long things are kept, and what was deleted because that was over."""

from typing import ClassVar

from caxton.domain.events.payload import Category, Payload


class RetentionEvent(Payload):
    """Retention periods."""

    category: ClassVar[Category] = "retention"


class PeriodsSet(RetentionEvent):
    """The retention periods of a workspace were set."""

    sentence: ClassVar[str] = "periods of retention set"
    periods: dict[str, float | str | None]
    """Seconds, "forever", or null: as the server's settings say."""
    before: dict[str, float | str | None]


class EventsPeriodSet(RetentionEvent):
    """The period for which events stay in the database was set."""

    sentence: ClassVar[str] = "period of the event log set"
    period: float | str | None = None
    """Seconds, "forever", or null: as the server's settings say."""
    before: float | str | None = None


class SegmentDetached(RetentionEvent):
    """A segment of the log was written to a file and verified, and leaves the database with this event."""

    sentence: ClassVar[str] = "events {first} to {last} leave the database: {file}"
    first: int
    last: int
    count: int
    previous_hash: str
    root_hash: str
    """The hash of its last event: it covers that segment and all before it."""
    file: str
    file_hash: str
    """SHA-256 of the file."""
    bytes: int


class RetentionApplied(RetentionEvent):
    """Data was deleted because its retention period was over. The event holds no content of it."""

    sentence: ClassVar[str] = "{count} {kind} deleted, older than {before}"
    kind: str
    count: int
    before: str
    """What is older than this moment was to go; a batch at a time."""
