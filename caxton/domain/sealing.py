"""Giving an event its place in the log. Standard library only: the process that writes the log loads it."""

import hashlib
from collections.abc import Sequence
from typing import Any

from caxton.domain.json_text import compact_encoder

GENESIS = "0" * 64
"""The hash before the first event."""

COLUMNS = (
    "customer",
    "sequence",
    "workspace",
    "event_id",
    "event_type",
    "schema_version",
    "timestamp",
    "deployment_id",
    "skill_id",
    "skill_version",
    "execution_id",
    "agent",
    "risk_level",
    "approval_mode",
    "actor",
    "payload",
    "correlation_id",
    "conversation_id",
    "message_id",
    "channel_type",
    "error_code",
    "latency_ms",
    "trace_id",
    "hash",
)
"""What is stored of an event. The hash covers all before it, in this order (:mod:`caxton.domain.events.chain`)."""


Unplaced = tuple[tuple[Any, ...], int, tuple[Any, ...]]
"""An event that has no place in the log yet: the values from `workspace` to `schema_version`; the time in microseconds since the
epoch, by the clock of whoever made it; the values from `deployment_id` to `trace_id`. Plain data: it crosses processes.
"""

_encode = compact_encoder()


def seal(
    customer: str, events: list[Unplaced], sequence: int, last: int, previous: str
) -> tuple[list[tuple[Any, ...]], int, int, str]:
    """Chains `events` behind the head (`sequence`, `last` time, `previous` hash) of the customer's log.

    Times never go back within a log: where a clock does, the time of the last event stands until it has caught up, so that
    an order in time is the log's order.

    Returns:
        Rows of :data:`COLUMNS`, and the new head.
    """
    rows: list[tuple[Any, ...]] = []
    for begin, timestamp, end in events:
        sequence += 1
        last = max(last, timestamp)
        covered = (customer, sequence, *begin, last, *end)
        previous = link_values(previous, covered)
        rows.append((*covered, previous))
    return rows, sequence, last, previous


def link_values(previous: str, values: Sequence[Any]) -> str:
    """The hash of an event whose `values` (of :data:`COLUMNS` but the hash) follow the hash `previous`, in hexadecimal."""
    return hashlib.sha256((previous + _encode(values)).encode("ascii")).hexdigest()
