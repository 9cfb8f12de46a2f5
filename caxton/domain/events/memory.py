"""Memory (Caxton event model, phase 6). The log holds hashes of what was remembered and asked, never the text."""

from typing import ClassVar, Literal

from caxton.domain.events.payload import Category, Payload


class MemoryEvent(Payload):
    """What happened to memories."""

    category: ClassVar[Category] = "memory"


class MemoryStored(MemoryEvent):
    """Something was remembered."""

    sentence: ClassVar[str] = "remembered something"
    memory_id: str
    scope: str
    content_hash: str | None = None
    embedding_generated: bool = True
    storage_time_ms: float = 0.0


class MemoriesFound(MemoryEvent):
    """Memories were searched."""

    sentence: ClassVar[str] = "{count} memories found"
    query_hash: str
    results: list[str] = []
    count: int = 0
    search_time_ms: float = 0.0
    used_semantic: bool = True
    times: int = 1
    """How often a person's key searched within a minute; the rest tells of the last time."""


class MemoryChangeBegun(MemoryEvent):
    """Memories are about to be changed. What became of it follows; where nothing follows, nobody knows how far it came."""

    sentence: ClassVar[str] = "{operation} begins"
    operation: str
    subjects: list[str] = []
    """Ids or scopes."""
    count: int | None = None


class RelationCreated(MemoryEvent):
    """Two memories were related."""

    sentence: ClassVar[str] = "{from_memory} {relation_type} {to_memory}"
    relation_id: str
    from_memory: str
    to_memory: str
    relation_type: str


class RelationRemoved(MemoryEvent):
    """Somebody removed a relation."""

    sentence: ClassVar[str] = "{relation_id} removed"
    relation_id: str


class MemoryFailed(MemoryEvent):
    """A request and its reply could not be remembered; the agent went on without."""

    sentence: ClassVar[str] = "could not be remembered, after {attempts} attempts"
    execution_id: str
    attempts: int


class MemoryEdited(MemoryEvent):
    """A person corrected a memory."""

    sentence: ClassVar[str] = "{memory_id} was corrected"
    memory_id: str
    before_hash: str
    after_hash: str


class MemoriesChanged(MemoryEvent):
    """Many memories were changed, brought in, or brought back at once."""

    sentence: ClassVar[str] = "{operation}: {count} memories"
    operation: Literal["edit", "import", "undo", "reembed"]
    scope: str
    count: int
    before_hash: str | None = None
    """Of the hashes of all that was changed, sorted by id."""
    after_hash: str | None = None


class RetentionSet(MemoryEvent):
    """Somebody decided how long, and how much, is remembered."""

    sentence: ClassVar[str] = "what is remembered is limited"
    scope: str
    max_age_seconds: float | None = None
    max_entities: int | None = None
    max_age_seconds_before: float | None = None
    max_entities_before: int | None = None


class UndoExpired(MemoryEvent):
    """The copies by which the last operation on many memories could be undone were removed."""

    sentence: ClassVar[str] = "the last operation on many memories cannot be undone any more"
    scope: str


class MemoryPurged(MemoryEvent):
    """Memories were removed."""

    sentence: ClassVar[str] = "{count_removed} memories removed: {reason}"
    scope: str
    count_removed: int
    reason: str
