"""What a projection is, and how it follows the log."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from caxton.domain.events import Event
from caxton.domain.forks import REHEARSAL
from caxton.domain.ids import Scope
from caxton.domain.records import Transaction

Document = dict[str, Any]

BATCH = 2_000
"""Events that are folded in one transaction."""


@dataclass(frozen=True, slots=True)
class Projection:
    """One view of the log. Documents belong to a workspace."""

    name: str
    version: int
    """Raised when the fold changes: documents of an older version are dropped and built again."""
    description: str
    keys: Callable[[Event], Sequence[str]]
    """Which documents an event touches; none for most events."""
    fold: Callable[[Document | None, Event, str], Document | None]
    """A document (None: there is none yet) after an event, by its key; None removes it."""


@dataclass(frozen=True, slots=True)
class Folded:
    """What further events make of a projection's documents; not written yet."""

    projection: Projection
    before: int
    """The last event that was in the projection."""
    after: int
    """The last event that is in it now."""
    workspaces: Sequence[tuple[Scope, dict[str, Document], dict[str, Document], list[str]]]
    """Documents that are new, changed and gone, by workspace."""


def catch_up(transaction: Transaction, customer: str, projection: Projection, batch: int = BATCH) -> int:
    """Folds the next events of the customer's log. Returns how many there were: fewer than `batch` at its end."""
    position = begin_anew(transaction, customer, projection)
    if position < transaction.detached_to(customer):
        return 0  # it is built from the archive first
    events = transaction.log(customer, after=position, limit=batch)
    if events:
        _write(transaction, customer, fold(transaction, customer, projection, position, events))
    return len(events)


def begin_anew(transaction: Transaction, customer: str, projection: Projection) -> int:
    """Forgets what another version of the projection made, if one did. Returns the last event that is in it now."""
    position, version = transaction.document_position(customer, projection.name, hold=True)
    if version == projection.version:
        return position
    transaction.drop_documents(customer, projection.name)
    transaction.set_document_position(customer, projection.name, 0, projection.version)
    return 0


def look_ahead(
    transaction: Transaction, customer: str, projections: Iterable[Projection], batch: int
) -> tuple[list[Folded], int]:
    """Folds the next events into several projections, and writes nothing: the log is read once for all of them.

    Returns what came of it, and how many events there were. Projections of another version are left out: they start over.
    """
    positions: list[tuple[Projection, int]] = []
    detached = transaction.detached_to(customer)
    for projection in projections:
        position, version = transaction.document_position(customer, projection.name)
        if version == projection.version and position >= detached:
            positions.append((projection, position))
    if not positions:
        return [], 0
    events = transaction.log(customer, after=min(position for _, position in positions), limit=batch)
    found: list[Folded] = []
    for projection, position in positions:
        fresh = [event for event in events if (event.sequence or 0) > position]
        if fresh:
            found.append(fold(transaction, customer, projection, position, fresh))
    return found, len(events)


def write(transaction: Transaction, customer: str, found: Iterable[Folded]) -> None:
    """Writes what :func:`look_ahead` folded, unless somebody else has brought the projection further meanwhile."""
    for folded in found:
        known = (folded.before, folded.projection.version)
        if transaction.document_position(customer, folded.projection.name, hold=True) == known:
            _write(transaction, customer, folded)


def fold(
    transaction: Transaction, customer: str, projection: Projection, position: int, events: Sequence[Event]
) -> Folded:
    """What `events`, which follow `position`, make of a projection's documents."""
    touched: dict[str, list[tuple[Event, Sequence[str]]]] = defaultdict(list)
    for event in events:
        # Nobody asked for a rehearsal, so no view counts it.
        keys = () if event.channel_type == REHEARSAL else projection.keys(event)
        if keys:
            touched[event.workspace].append((event, keys))
    workspaces = [
        _fold(transaction, Scope(customer=customer, workspace=workspace), projection, found)
        for workspace, found in touched.items()
    ]
    return Folded(projection, position, events[-1].sequence or position, workspaces)


def _write(transaction: Transaction, customer: str, folded: Folded) -> None:
    name = folded.projection.name
    for scope, fresh, changed, gone in folded.workspaces:
        transaction.put_documents(scope, name, fresh, changed, gone)
    transaction.set_document_position(customer, name, folded.after, folded.projection.version)


def _fold(
    transaction: Transaction, scope: Scope, projection: Projection, found: Sequence[tuple[Event, Sequence[str]]]
) -> tuple[Scope, dict[str, Document], dict[str, Document], list[str]]:
    names = sorted({key for _, keys in found for key in keys})
    before: dict[str, Document] = transaction.documents(scope, projection.name, names)
    after: dict[str, Document | None] = dict(before)
    for event, keys in found:
        for key in keys:
            after[key] = projection.fold(after.get(key), event, key)
    fresh = {key: document for key, document in after.items() if document is not None and key not in before}
    changed = {key: document for key, document in after.items() if document is not None and key in before}
    return scope, fresh, changed, [key for key in before if after[key] is None]
