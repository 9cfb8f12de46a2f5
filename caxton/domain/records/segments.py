"""The records port: segments of the log that have left the database."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from caxton.domain.events.chain import EventHead
from caxton.domain.events.segments import SegmentHead


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment, and where it is."""

    head: SegmentHead
    file: str
    """The name of its file in the customer's folder of the archive."""
    file_hash: str
    """SHA-256 of the file."""
    bytes: int
    event_id: str
    """The event that tells that it was detached."""
    detached_at: datetime


class SegmentRecords(Protocol):
    """Segments of the log that have left the database."""

    def segments(self, customer: str) -> list[Segment]: ...
    def last_segment(self, customer: str) -> Segment | None: ...
    def segment_of(self, customer: str, moment: datetime) -> Segment | None: ...
    def add_segment(self, segment: Segment) -> None: ...
    def position_before(self, customer: str, moment: datetime) -> int: ...
    def first_that_leaves(self, customer: str, after: int) -> tuple[EventHead, datetime] | None: ...
    def remove_detached(self, customer: str, limit: int) -> int: ...
    def forget_blocks(self, customer: str) -> None: ...
    def events_period(self, customer: str) -> float | str | None: ...
    def put_events_period(self, customer: str, period: float | str | None) -> None: ...
    def positions_of(self, customer: str, views: Sequence[str]) -> int | None: ...
