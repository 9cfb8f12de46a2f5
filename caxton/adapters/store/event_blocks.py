"""Which values occur where in the event log: an index of blocks of it, for fields that have few different values.

An index with a row for each event would have five rows an event for these fields, which is a third of what writing a message
costs. Here a value that occurs in a block of the log has one row, however often it occurs; whoever looks for it reads the
blocks. Standard library only: the process that writes the log loads it.
"""

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from caxton.domain.sealing import COLUMNS as EVENT_COLUMNS

TABLE = "event_blocks"

COLUMNS = ("customer", "workspace", "field", "value", "block")

FIELDS = ("event_type", "deployment_id", "skill_id", "agent", "actor")
"""Columns of events that are indexed so. The others that can be asked for have values that few events share, and an index
that names each event."""

BLOCK = 64
"""Events in a block: half a dozen turns. With more there are fewer rows to write, and more events to read for a rare value."""

_CUSTOMER, _SEQUENCE, _WORKSPACE = (EVENT_COLUMNS.index(name) for name in ("customer", "sequence", "workspace"))
_PLACES = tuple((field, EVENT_COLUMNS.index(field)) for field in FIELDS)


def block_of(sequence: int) -> int:
    """The block that an event is in."""
    return sequence // BLOCK


def entries(events: Iterable[tuple[Any, ...]]) -> list[tuple[str, str, str, str, int]]:
    """What the index has to hold for `events` (values of :data:`caxton.domain.sealing.COLUMNS`): values of :data:`COLUMNS`.

    Some may be there already, for a block that others began.
    """
    found: set[tuple[str, str, str, str, int]] = set()
    for (customer, workspace, block), group in groupby(events, _place):
        together = list(group)
        for field, place in _PLACES:
            values = {event[place] for event in together}
            found.update((customer, workspace, field, value, block) for value in values if value is not None)
    return sorted(found)


def _place(event: tuple[Any, ...]) -> tuple[str, str, int]:
    return event[_CUSTOMER], event[_WORKSPACE], block_of(event[_SEQUENCE])
