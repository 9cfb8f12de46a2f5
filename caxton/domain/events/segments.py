"""Segments: sealed parts of a customer's log that leave the database as files, and still verify.

A file has one JSON object per line: first the segment's head, then its events in the form of every export. The head names
the hash before the first event and that of the last one, its root hash: as each event's hash covers the one before, it covers all
events of the segment and of all segments before it. So files verify one by one, together, and
together with what is in the database.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from caxton.domain.errors import InvalidInput
from caxton.domain.events.chain import ChainCheck, EventHead
from caxton.domain.events.envelope import Event
from caxton.domain.events.invariants import InvariantChecker

FORMAT = 1

STANDING = frozenset(
    {
        "caxton_installed",
        "caxton_ready",
        "first_time_user_detected",
        "metric_defined",
        "onboarding_milestone_reached",
        "segment_detached",
    }
)
"""Types of events that stay in the database when their segment leaves it: what the server looks up for as long as it runs, such
as definitions of metrics. They are few; the segment's file has them, too."""


class SegmentHead(BaseModel):
    """What a segment is: the first line of its file."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    format: int = FORMAT
    customer: str
    first: int = Field(ge=1)
    last: int = Field(ge=1)
    count: int = Field(ge=1)
    previous_hash: str
    """The hash of the event before the first; 64 zeros where there is none."""
    root_hash: str
    """The hash of the last event."""
    began_at: datetime
    ended_at: datetime
    open_executions: list[str] = []
    """Executions that began in it or before, and end in a later one."""

    @property
    def place(self) -> EventHead:
        """Where it ends."""
        return EventHead(self.last, self.root_hash)

    @property
    def behind(self) -> EventHead:
        """Where what is before it ends."""
        return EventHead(self.first - 1, self.previous_hash)

    @property
    def file_name(self) -> str:
        """What its file is called: names sort as segments follow."""
        return f"events-{self.first:012d}-{self.last:012d}.jsonl"

    def line(self) -> bytes:
        """It as the first line of a file."""
        return json.dumps({"segment": self.model_dump(mode="json")}, separators=(",", ":")).encode() + b"\n"


class LogCheck:
    """Verifies segments, one after another, and what follows them."""

    def __init__(self, expected: EventHead | None = None) -> None:
        """Begin with nothing; `expected` is a place that was written down, and must turn up."""
        self.expected = expected
        self.chain: ChainCheck | None = None
        self.invariants: InvariantChecker | None = None
        self.heads: list[SegmentHead] = []
        self._fields = set(Event.model_fields)

    def read_segment(self, file: Path) -> SegmentHead:
        """Reads a segment's file; what is wrong with the log is in `chain`.

        Raises:
            InvalidInput: it is not such a file, or does not follow the one before.
        """
        lines = _lines(file)
        head = _head(file, lines)
        if self.chain is None or self.invariants is None:
            self.chain = ChainCheck(head.customer, self.expected, behind=head.behind)
            self.invariants = InvariantChecker(head.customer, unseen=None if head.first > 1 else ())
        elif self.chain.problem is None and (
            self.chain.last != head.behind or self.heads[-1].customer != head.customer
        ):
            raise InvalidInput(
                f"{file.name} begins behind event {head.first - 1}, and the one before ends at {self.chain.last.sequence}",
                "name all segments of one customer, in their order",
            )
        self.read_events(file, lines)
        if self.chain.problem is None and self.chain.last != head.place:
            self.chain.fail(
                self.chain.last.sequence + 1,
                f"{file.name} ends at event {self.chain.last.sequence}, and its head says {head.last}: it was cut or changed",
            )
        self.heads.append(head)
        return head

    def read_events(self, file: Path, lines: Iterable[tuple[int, dict[str, object]]] | None = None) -> None:
        """Reads events that follow: of a segment, or of an export of what is in the database.

        Raises:
            InvalidInput: a line is not an event.
        """
        assert self.chain is not None
        assert self.invariants is not None
        for number, data in _lines(file) if lines is None else lines:
            try:
                event = Event.model_validate(data)
            except ValidationError:
                raise InvalidInput(f"{file}:{number}: this is not an event") from None
            if (event.sequence or 0) <= self.chain.last.sequence and lines is None:
                continue  # an export has events that stay in the database when their segment leaves it
            self.chain.read(event)
            if set(data) - self._fields:
                self.chain.fail(event.sequence or 0, f"event {event.sequence} has fields that were never written")
            self.invariants.read([event])


def read_events(file: Path) -> Iterator[Event]:
    """The events of a segment's file.

    Raises:
        InvalidInput: it is none.
        OSError: it cannot be read.
    """
    lines = _lines(file)
    _head(file, lines)
    for _, data in lines:
        yield Event.model_validate(data)


def _head(file: Path, lines: Iterator[tuple[int, dict[str, object]]]) -> SegmentHead:
    try:
        _, data = next(lines)
        head = SegmentHead.model_validate(data["segment"])
    except (StopIteration, KeyError, ValidationError):
        raise InvalidInput(f"{file}: this is not a segment of an event log: its first line is not a head") from None
    if head.format > FORMAT:
        raise InvalidInput(f"{file}: a newer version of Caxton wrote this", "take that version to verify it")
    return head


def _lines(file: Path) -> Iterator[tuple[int, dict[str, object]]]:
    with file.open(encoding="utf-8-sig", errors="replace", newline="\n") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    data = json.loads(line)
                except (ValueError, RecursionError):
                    data = None
                if not isinstance(data, dict):
                    raise InvalidInput(f"{file}:{number}: this is not a line of an event log")
                yield number, data  # pyright: ignore[reportUnknownVariableType]


def file_hash(file: Path) -> str:
    """SHA-256 of a file, in lower-case hexadecimal."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
