"""The hash chain: each event's hash covers the event and the hash before it.

    hash(n) = SHA-256( hash(n - 1) + canonical(n) ),   hash(0) = 64 zeros

`canonical` is the JSON array of the values of :data:`FIELDS`, without spaces, ASCII only; the time is in microseconds since
the epoch, and the payload is itself JSON text with sorted keys. So anybody can recompute the chain with any tool, from the
table or from an export; whoever changes, removes or inserts an event breaks it from there on.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from caxton.domain.errors import InvalidInput
from caxton.domain.events.envelope import Event
from caxton.domain.events.payload import payload_text
from caxton.domain.governance import ApprovalMode, RiskLevel
from caxton.domain.json_text import compact_encoder, quote
from caxton.domain.sealing import COLUMNS, GENESIS, Unplaced

FIELDS = COLUMNS[:-1]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_encode = compact_encoder()


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
        "risk_level": event.risk_level,
        "approval_mode": event.approval_mode,
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
    canonical = _encode([fields[name] for name in FIELDS])
    return hashlib.sha256((previous + canonical).encode("ascii")).hexdigest()


_quoted = lru_cache(maxsize=4096)(_encode)


def _text(value: str | None) -> str:
    return "null" if value is None else quote(value)


class Common:
    """What several events have in common, encoded once: a turn tells ten, and they differ in little but their payloads."""

    __slots__ = (
        "_begin",
        "_first",
        "_first_text",
        "_last",
        "_last_text",
        "_quoted_customer",
        "_scope_text",
        "customer",
    )

    def __init__(
        self,
        customer: str,
        workspace: str,
        *,
        deployment_id: str | None,
        skill_id: str | None,
        skill_version: str | None,
        execution_id: str | None,
        agent: str | None,
        risk_level: RiskLevel | None,
        approval_mode: ApprovalMode | None,
        correlation_id: str | None,
        conversation_id: str | None,
        channel_type: str | None,
        trace_id: str | None,
    ) -> None:
        """The fields of :class:`Event` of those names."""
        self.customer = customer
        self._begin = workspace
        self._quoted_customer, self._scope_text = _quoted(customer), _quoted(workspace)
        risk = None if risk_level is None else str(risk_level)
        mode = None if approval_mode is None else str(approval_mode)
        self._first = (deployment_id, skill_id, skill_version, execution_id, agent, risk, mode)
        self._first_text = ",".join(map(_text, self._first))
        self._last = (correlation_id, conversation_id, channel_type, trace_id)
        self._last_text = tuple(map(_text, self._last))

    def unplaced(
        self,
        event_id: str,
        event_type: str,
        schema_version: int,
        timestamp: int,
        actor: str,
        payload: str,
        message_id: str | None = None,
        error_code: str | None = None,
        latency_ms: float | None = None,
    ) -> Unplaced:
        """An event ready to be chained: :func:`caxton.domain.sealing.seal` gives it the hash that :func:`link` would.

        Args:
            event_id: the event's id.
            event_type: its type.
            schema_version: of the payload.
            timestamp: microseconds since the epoch.
            actor: who did it.
            payload: as JSON, by :func:`caxton.domain.events.payload.payload_text`.
            message_id: the message that it is about.
            error_code: what went wrong.
            latency_ms: how long it took, in milliseconds.
        """
        correlation, conversation, channel, trace = self._last
        correlation_text, conversation_text, channel_text, trace_text = self._last_text
        return (
            self._quoted_customer,
            (self._begin, event_id, event_type, schema_version),
            f'{self._scope_text},"{event_id}","{event_type}",{schema_version}',
            timestamp,
            (
                *self._first,
                actor,
                payload,
                correlation,
                conversation,
                message_id,
                channel,
                error_code,
                latency_ms,
                trace,
            ),
            f"{self._first_text},{quote(actor)},{quote(payload)},{correlation_text},{conversation_text},"
            f"{_text(message_id)},{channel_text},{_text(error_code)},"
            f"{'null' if latency_ms is None else _encode(latency_ms)},{trace_text}]",
        )


def unplaced(event: Event) -> Unplaced:
    """`event` ready to be chained."""
    common = Common(
        event.customer_id,
        event.workspace,
        deployment_id=event.deployment_id,
        skill_id=event.skill_id,
        skill_version=event.skill_version,
        execution_id=event.execution_id,
        agent=event.agent,
        risk_level=event.risk_level,
        approval_mode=event.approval_mode,
        correlation_id=event.correlation_id,
        conversation_id=event.conversation_id,
        channel_type=event.channel_type,
        trace_id=event.trace_id,
    )
    return common.unplaced(
        event.event_id,
        event.event_type,
        event.schema_version,
        (event.timestamp - _EPOCH) // _MICROSECOND,
        event.actor,
        payload_text(event.payload),
        event.message_id,
        event.error_code,
        event.latency_ms,
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
    if not sequence.isdigit() or len(digest) != 64:
        raise InvalidInput(f'"{text[:100]}" is not SEQUENCE:HASH', "take it from `caxton events verify`")
    return EventHead(int(sequence), digest.lower())


class ChainCheck:
    """Recomputes the chain, event by event."""

    def __init__(self, customer: str | None = None, expected: EventHead | None = None) -> None:
        """Check a log from its beginning, or an excerpt of one; `expected` must turn up in it."""
        self.customer = customer
        self.expected = expected
        self.checked = 0
        self.problem: str | None = None
        self.broken_at: int | None = None
        self.last = EventHead(0, GENESIS)
        self._begun = False

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
