"""The memory port: what a back end has to do. `caxton.testing.memory` holds every back end to it.

A back end keeps entities with their vectors and relations of one workspace apart from those of any other; the place that every
method takes says whose they are. It blocks; callers run it in threads. One is made by a factory that stands in the entry points
of the group `caxton.memory`.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from caxton.domain.errors import InvalidInput
from caxton.domain.ids import is_name
from caxton.domain.memory import (
    Entity,
    Match,
    MemoryId,
    MemoryPath,
    MemoryQuery,
    MemoryScope,
    Relation,
    RelationId,
    Scalar,
    ScopeKind,
)

GLOBAL_PLACE = ".global"
"""The place of a customer's global memories: no workspace can have that name."""


def is_place(name: str) -> bool:
    """True if `name` is valid for a workspace, or for the scope that a customer's workspaces share."""
    return name == GLOBAL_PLACE or is_name(name)


@dataclass(frozen=True, slots=True)
class Place:
    """Whose memories: a customer's workspace, or all that the customer's workspaces share."""

    customer: str
    workspace: str

    def check(self) -> None:
        """Refuses what is not a customer's or no workspace's name. A back end calls it where names become a path or another name.

        Raises:
            InvalidInput: it is none.
        """
        if not is_name(self.customer) or not is_place(self.workspace):
            raise InvalidInput("memories belong to a customer and a workspace, and this is not a name of one")

    @classmethod
    def of(cls, customer: str, workspace: str, scope: MemoryScope) -> "Place":
        """Where memories of `scope` are."""
        return cls(customer, GLOBAL_PLACE if scope.kind is ScopeKind.GLOBAL else workspace)


def places_of(customer: str, workspace: str) -> tuple[Place, Place]:
    """The workspace's own place, and that of what all workspaces of the customer share."""
    return Place(customer, workspace), Place(customer, GLOBAL_PLACE)


@dataclass(frozen=True, slots=True)
class MemoryFilter:
    """Which entities are meant; what is None does not matter."""

    scope: MemoryScope | None = None
    type: str | None = None
    before: datetime | None = None
    """Not changed since then."""
    where: Mapping[str, Scalar] = field(default_factory=dict[str, Scalar])
    """Metadata that must be equal."""
    conversations: Sequence[str] = ()
    """Of these conversations: in their scope, or made from what was said in one of them."""
    beyond: int | None = None
    """All of those but the newest so many."""


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
    stale: int = 0
    """Entities whose vectors another embedder made: found by their words only, until they are embedded again."""


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

    def exists(self, place: Place) -> bool:
        """True if anything was ever stored there. Fast, so that agents without memories do not wait for an embedder."""
        ...

    def search(self, place: Place, query: MemoryQuery, vector: Sequence[float] | None) -> list[Match]:
        """The best matches, best first. `vector` is the query's, for modes that need it."""
        ...

    def ids(
        self, place: Place, wanted: MemoryFilter, *, after: MemoryId | None = None, limit: int | None = None
    ) -> list[MemoryId]:
        """Ids of the entities that are meant, sorted, from behind `after`."""
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
        """Memories within `hops` relations of `start`, the nearest first, each by one shortest path."""
        ...

    def statistics(self, place: Place) -> MemoryStatistics:
        """How much there is."""
        ...

    def unsettled(self) -> list[Place]:
        """Places that :meth:`maintain` should look after now."""
        ...

    def forget(self, place: Place) -> None:
        """Removes everything of a place, also from indices and old versions of files."""
        ...

    def maintain(self, place: Place) -> None:
        """Builds and merges indices, compacts files, takes deleted content out of them. Never blocks the other methods."""
        ...

    def lock(self, place: Place) -> AbstractContextManager[None]:
        """Nobody else writes to the place meanwhile, as far as the back end can see to that: for reading and then writing."""
        ...

    def stale_count(self, place: Place) -> int:
        """How many entities have vectors that another embedder made. Quick: every search asks."""
        ...

    def stale(self, place: Place, limit: int) -> list[Entity]:
        """Some entities whose vectors another embedder made."""
        ...

    def reembed(self, place: Place, entities: Sequence[Entity], vectors: Sequence[Sequence[float]]) -> None:
        """Gives entities new vectors; one that was changed or removed since it was read is left as it is."""
        ...

    def check(self) -> None:
        """Returns if it answers. Quick, for it is asked every 30 seconds, also where nothing is remembered.

        Raises:
            MemoryUnavailable: it does not.
        """
        ...

    def close(self) -> None:
        """Gives everything up."""
        ...


@dataclass(frozen=True, slots=True)
class MemoryConfig:
    """The configuration of a back end."""

    folder: Path
    """Below the data folder, for its own use; it may not exist yet."""
    embedder_id: str
    """Changes whenever the vectors do."""
    dimensions: int
    """Of the vectors."""
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The table `[memory.options]` of the server's settings."""


MemoryFactory = Callable[[MemoryConfig], MemoryBackend]
"""Makes a back end; raises InvalidSettings for options that it cannot use, and MemoryUnavailable."""

ENTRY_POINTS = "caxton.memory"
"""The group of entry points in which factories stand."""
