"""What a projection is, and how it follows the log."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from caxton.domain.events import Event
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


def catch_up(transaction: Transaction, customer: str, projection: Projection, batch: int = BATCH) -> int:
    """Folds the next events of the customer's log. Returns how many there were: fewer than `batch` at its end."""
    position, version = transaction.document_position(customer, projection.name)
    if version != projection.version:
        transaction.drop_documents(customer, projection.name)
        position = 0
    events = transaction.log(customer, after=position, limit=batch)
    if not events:
        return 0
    touched: dict[str, list[tuple[Event, Sequence[str]]]] = defaultdict(list)
    for event in events:
        keys = projection.keys(event)
        if keys:
            touched[event.workspace].append((event, keys))
    for workspace, found in touched.items():
        _fold(transaction, Scope(customer=customer, workspace=workspace), projection, found)
    transaction.set_document_position(customer, projection.name, events[-1].sequence or position, projection.version)
    return len(events)


def _fold(
    transaction: Transaction, scope: Scope, projection: Projection, found: Sequence[tuple[Event, Sequence[str]]]
) -> None:
    names = sorted({key for _, keys in found for key in keys})
    before: dict[str, Document] = transaction.documents(scope, projection.name, names)
    after: dict[str, Document | None] = dict(before)
    for event, keys in found:
        for key in keys:
            after[key] = projection.fold(after.get(key), event, key)
    fresh = {key: document for key, document in after.items() if document is not None and key not in before}
    changed = {key: document for key, document in after.items() if document is not None and key in before}
    gone = [key for key in before if after[key] is None]
    transaction.put_documents(scope, projection.name, fresh, changed, gone)
