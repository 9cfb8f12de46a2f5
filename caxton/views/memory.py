"""Memories, and operations on many of them."""

from datetime import datetime

from pydantic import ConfigDict, Field

from caxton.domain.memory import Match, MemoryId, Retention
from caxton.views.view import View


class MemoryCounts(View):
    """How much there is in a workspace, or in what all workspaces share."""

    entities: int
    relations: int
    by_scope: dict[str, int] = {}
    bytes: int = 0
    indexed: int = 0
    stale: int = 0
    """Found by their words only, for another embedder made their vectors."""


class MatchPage(View):
    """Matches, best first."""

    matches: list[Match]
    stale: int = Field(
        default=0, description="Memories that cannot be found by meaning, for another embedder made their vectors."
    )


class BulkPreview(View):
    """An operation on many memories, planned or done."""

    count: int
    dry_run: bool
    examples: list[str] = []
    """Beginnings of the first texts."""


class PurgePreview(BulkPreview):
    """A purge, planned or done."""

    can_be_undone: bool = True


class UndoView(View):
    """An undo, planned or done."""

    dry_run: bool
    operation: str | None = None
    """"purge", "edit" or "import"; None when there is nothing to undo."""
    by: str | None = None
    at: datetime | None = None
    done: int = 0
    left: int = 0


class PageResult(View):
    """The result of one page of an operation."""

    done: int
    left: int


class RetentionView(View):
    """How long, and how much, is remembered."""

    retention: Retention
    outside: int
    """Memories that go when it is applied."""


class LeftOut(View):
    """A relation that an import did not take."""

    line: int
    """Its line of what was sent."""
    missing: MemoryId
    """An end of it that is neither there nor in what was sent."""


class Imported(View):
    """The result of an import."""

    model_config = ConfigDict(frozen=False)  # counted up while it goes on

    entities: int = 0
    relations: int = 0
    skipped: int = 0
    """Memories that were there already, as they are."""
    left_out: list[LeftOut] = []
    """Relations of which an end is not there."""
