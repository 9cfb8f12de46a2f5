"""The hash chain: each event's hash covers the event and the hash before it.

    hash(n) = SHA-256( hash(n - 1) + canonical(n) ),   hash(0) = 64 zeros

`canonical` is the JSON array of the values of :data:`FIELDS`, without spaces, ASCII only; the time is in microseconds since
the epoch, and the payload is itself JSON text with sorted keys. So anybody can recompute the chain with any tool, from the
table or from an export; whoever changes, removes or inserts an event breaks it from there on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from caxton.domain.errors import InvalidInput
from caxton.domain.events.envelope import Event
from caxton.domain.events.payload import payload_text
from caxton.domain.sealing import COLUMNS, GENESIS, Unplaced, link_values

FIELDS = COLUMNS[:-1]
_BEFORE_TIME = FIELDS[FIELDS.index("workspace") : FIELDS.index("timestamp")]
_AFTER_TIME = FIELDS[FIELDS.index("timestamp") + 1 :]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def fields_of(event: Event) -> dict[str, Any]:
    """The values that the chain covers, as they are stored; the sequence is the store's to give."""
    return {
        "customer": event.customer_id,
        "sequence": event.sequence,
        "workspace": event.workspace,
        "event_id": event.event_id,
        "event_type": event.event_type,
        "schema_version": event.schema_version,
        "timestamp": (event.timestamp - _EPOCH) // _MICROSECOND,
        "deployment_id": event.deployment_id,
        "skill_id": event.skill_id,
        "skill_version": event.skill_version,
        "execution_id": event.execution_id,
        "agent": event.agent,
        "risk_level": event.risk_level and str(event.risk_level),
        "approval_mode": event.approval_mode and str(event.approval_mode),
        "actor": event.actor,
        "payload": payload_text(event.payload),
        "correlation_id": event.correlation_id,
        "conversation_id": event.conversation_id,
        "message_id": event.message_id,
        "channel_type": event.channel_type,
        "error_code": event.error_code,
        "latency_ms": event.latency_ms,
        "trace_id": event.trace_id,
    }


def link(previous: str, fields: Mapping[str, Any]) -> str:
    """The hash of an event with these `fields` behind the one whose hash is `previous` (lower-case hexadecimal)."""
    return link_values(previous, [fields[name] for name in FIELDS])


def unplaced(event: Event) -> Unplaced:
    """`event` ready to be chained: :func:`caxton.domain.sealing.seal` gives it the hash that :func:`link` would."""
    fields = fields_of(event)
    return (
        tuple(fields[name] for name in _BEFORE_TIME),
        fields["timestamp"],
        tuple(fields[name] for name in _AFTER_TIME),
    )


@dataclass(frozen=True, slots=True)
class EventHead:
    """A place in a customer's log. Written down elsewhere, it proves later that nothing before it was changed."""

    sequence: int
    hash: str


def read_place(text: str) -> EventHead:
    """The place that "SEQUENCE:HASH" names.

    Raises:
        InvalidInput: it is not of that form.
    """
    sequence, _, digest = text.partition(":")
    if not sequence.isdecimal() or len(sequence) > 18 or len(digest) != 64:
        raise InvalidInput(f'"{text[:100]}" is not SEQUENCE:HASH', "take it from `caxton events verify`")
    return EventHead(int(sequence), digest.lower())


class ChainCheck:
    """Recomputes the chain, event by event."""

    def __init__(
        self, customer: str | None = None, expected: EventHead | None = None, *, behind: EventHead | None = None
    ) -> None:
        """Check a log from its beginning, or an excerpt of one; `expected` must turn up in it.

        With `behind` it goes on where a segment ended that was detached.
        """
        self.customer = customer
        self.expected = expected
        self.checked = 0
        self.problem: str | None = None
        self.broken_at: int | None = None
        self.last = behind or EventHead(0, GENESIS)
        self._begun = behind is not None

    def read(self, event: Event) -> None:
        """Checks the next event; after the first broken link nothing more."""
        sequence = event.sequence or 0
        if self.problem is not None:
            return
        if not self._begun and self.customer is None and sequence > 1:
            # An excerpt begins in the middle: its first hash can only be taken as it is.
            self.last = EventHead(sequence, event.hash or "")
        elif sequence != self.last.sequence + 1:
            missing = self.last.sequence + 1
            self.fail(missing, f"event {missing} is missing: {sequence} follows")
        elif link(self.last.hash, fields_of(event)) != event.hash:
            self.fail(sequence, f"event {sequence} ({event.event_type}) is not what was written")
        else:
            self.last = EventHead(sequence, event.hash or "")
            self.checked += 1
        self._begun = True
        if self.expected is not None and sequence == self.expected.sequence and event.hash != self.expected.hash:
            self.fail(sequence, f"event {sequence} has another hash than the one written down: the log was rewritten")

    def end(self, head: EventHead | None) -> None:
        """Checks that the log reaches as far as its head, and as what was written down."""
        if self.problem is not None:
            return
        if head is not None and self.last != head:
            missing = self.last.sequence < head.sequence
            what = f"event {self.last.sequence + 1} is missing" if missing else "the head of the log does not fit"
            self.fail(self.last.sequence + 1, f"{what}: the log should end at {head.sequence}")
        elif self.expected is not None and self.expected.sequence > self.last.sequence:
            self.fail(
                self.last.sequence + 1,
                f"the log ends at {self.last.sequence}, but {self.expected.sequence} was written down: its end was cut off",
            )

    def fail(self, sequence: int, problem: str) -> None:
        """Notes a problem that was found otherwise; the first one stands."""
        if self.problem is None:
            self.broken_at, self.problem = sequence, problem
