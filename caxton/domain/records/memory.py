"""The records port: what stands beside the memories themselves."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from caxton.domain.ids import Digest
from caxton.domain.memory import Retention
from caxton.domain.memory_port import Place


@dataclass(frozen=True, slots=True)
class UndoPage:
    """A part of what a bulk operation on memory needs to be undone."""

    operation: str
    number: int
    kind: str
    actor: str
    made_at: datetime
    count: int
    digest: Digest
    """Where the memories are as they were before."""
    open: bool = True
    """Whether the operation may go on."""


class MemoryRecords(Protocol):
    """What stands beside the memories themselves."""

    def retention(self, place: Place) -> Retention: ...
    def put_retention(self, place: Place, retention: Retention) -> None: ...
    def retentions(self, after: Place | None, limit: int) -> list[tuple[Place, Retention]]: ...
    def undo_pages(self, place: Place) -> list[UndoPage]: ...
    def add_undo_page(self, place: Place, page: UndoPage) -> None: ...
    def close_undo_pages(self, place: Place, operation: str) -> None: ...
    def remove_undo_pages(self, place: Place, numbers: Sequence[int] | None = None) -> list[Digest]: ...
    def places_with_undo(self, before: datetime, limit: int) -> list[Place]: ...
