"""The memory port: what a back end has to do. `tests/conformance/test_memory.py` holds every back end to it.

A back end keeps entities with their vectors and relations of one workspace apart from those of any other; the place that every
method takes says whose they are. It blocks; callers run it in threads.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from caxton.domain.memory import (
    Entity,
    Match,
    MemoryId,
    MemoryPath,
    MemoryQuery,
    MemoryScope,
    Relation,
    RelationId,
    ScopeKind,
)

GLOBAL_PLACE = ".global"
"""The place of a customer's global memories: no workspace can have that name."""


@dataclass(frozen=True, slots=True)
class Place:
    """Whose memories: a customer's workspace, or all that the customer's workspaces share."""

    customer: str
    workspace: str

    @classmethod
    def of(cls, customer: str, workspace: str, scope: MemoryScope) -> "Place":
        """Where memories of `scope` are."""
        return cls(customer, GLOBAL_PLACE if scope.kind is ScopeKind.GLOBAL else workspace)


@dataclass(frozen=True, slots=True)
class MemoryFilter:
    """Which entities are meant; what is None does not matter."""

    scope: MemoryScope | None = None
    type: str | None = None
    before: datetime | None = None
    """Not touched since then."""


@dataclass(frozen=True, slots=True)
class MemoryStatistics:
    """How much there is."""

    entities: int
    relations: int
    by_scope: Mapping[str, int]
    bytes: int
    """On the disk, where the back end knows."""
    indexed: int
    """Entities in the vector index; the rest is searched one by one."""


class Embedder(Protocol):
    """Turns texts into vectors of equal meaning for equal sense."""

    id: str
    """Changes whenever the vectors do."""
    dimensions: int

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """A unit vector for each text, in their order.

        Raises:
            MemoryUnavailable: the embedder cannot be reached.
        """
        ...


@runtime_checkable
class MemoryBackend(Protocol):
    """Keeps and finds memories."""

    def put(self, place: Place, entities: Sequence[Entity], vectors: Sequence[Sequence[float]]) -> None:
        """Keeps entities, in place of those of the same ids. They can be found when this returns."""
        ...

    def get(self, place: Place, ids: Sequence[MemoryId]) -> list[Entity]:
        """Those of the entities that exist, in the order of `ids`."""
        ...

    def search(self, place: Place, query: MemoryQuery, vector: Sequence[float] | None) -> list[Match]:
        """The best matches, best first. `vector` is the query's, for modes that need it."""
        ...

    def entities(
        self, place: Place, wanted: MemoryFilter, *, after: MemoryId | None = None, limit: int
    ) -> list[Entity]:
        """Entities by id, from behind `after`: pages of a list that may change meanwhile."""
        ...

    def delete(self, place: Place, ids: Sequence[MemoryId]) -> int:
        """Removes entities with their relations. Returns how many there were."""
        ...

    def touch(self, place: Place, ids: Sequence[MemoryId], moment: datetime) -> None:
        """Counts an access. May be late, and may be lost in a crash."""
        ...

    def relate(self, place: Place, relations: Sequence[Relation]) -> None:
        """Keeps relations, in place of those of the same ids."""
        ...

    def relations(self, place: Place, ids: Sequence[MemoryId]) -> list[Relation]:
        """All relations from or to the entities."""
        ...

    def unrelate(self, place: Place, ids: Sequence[RelationId]) -> int:
        """Removes relations. Returns how many there were."""
        ...

    def traverse(
        self, place: Place, start: MemoryId, *, hops: int, direction: str, types: Sequence[str], limit: int
    ) -> list[MemoryPath]:
        """What is reached from `start` within so many hops, the nearest first, each by one shortest path."""
        ...

    def statistics(self, place: Place) -> MemoryStatistics:
        """How much there is."""
        ...

    def places(self, customer: str) -> list[Place]:
        """Where the customer has memories."""
        ...

    def all_places(self) -> list[Place]:
        """Where anybody has memories: for maintenance, which reads none of them."""
        ...

    def forget(self, place: Place) -> None:
        """Removes everything of a place, also from indices and old versions of files."""
        ...

    def maintain(self, place: Place) -> None:
        """Builds and merges indices, compacts files, takes deleted content out of them. Never blocks the other methods."""
        ...

    def vectors(self, place: Place, after: MemoryId | None, limit: int) -> Iterator[tuple[Entity, str]]:
        """Entities with the id of the embedder that made their vectors, for re-embedding."""
        ...

    def close(self) -> None:
        """Gives everything up."""
        ...
