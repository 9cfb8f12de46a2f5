"""Memory (Caxton event model, phase 6). The log holds hashes of what was remembered and asked, never the text."""

from typing import ClassVar, Literal

from caxton.domain.events.payload import Category, Payload


class MemoryEvent(Payload):
    """What happened to memories."""

    category: ClassVar[Category] = "memory"


class MemoryStored(MemoryEvent):
    """A memory was stored."""

    sentence: ClassVar[str] = "a memory was stored"
    memory_id: str
    scope: str
    content_hash: str | None = None
    embedding_generated: bool = True
    storage_time_ms: float = 0.0


class MemoriesFound(MemoryEvent):
    """Memories were searched."""

    sentence: ClassVar[str] = "{count:memory} found"
    query_hash: str
    results: list[str] = []
    count: int = 0
    search_time_ms: float = 0.0
    used_semantic: bool = True
    times: int = 1
    """Searches of one key within a minute; the other fields describe the last one."""


class MemoryChangeBegun(MemoryEvent):
    """A change of memories begins. An event with the outcome follows; without one, the outcome is unknown."""

    sentence: ClassVar[str] = "{operation} began"
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
    """A relation between memories was removed."""

    sentence: ClassVar[str] = "{relation_id} removed"
    relation_id: str


class MemoryFailed(MemoryEvent):
    """A request and its reply could not be stored as a memory."""

    sentence: ClassVar[str] = "could not be remembered, after {attempts:attempt}"
    execution_id: str
    attempts: int


class MemoryEdited(MemoryEvent):
    """A person corrected a memory."""

    sentence: ClassVar[str] = "{memory_id} was corrected"
    memory_id: str
    before_hash: str
    after_hash: str


class MemoriesChanged(MemoryEvent):
    """Many memories were edited, imported, restored or embedded again."""

    sentence: ClassVar[str] = "{operation}: {count:memory}"
    operation: Literal["edit", "import", "undo", "reembed"]
    scope: str
    count: int
    before_hash: str | None = None
    """Of the hashes of all that was changed, sorted by id."""
    after_hash: str | None = None


class RetentionSet(MemoryEvent):
    """The retention of memories was set."""

    sentence: ClassVar[str] = "the retention of memories was set"
    scope: str
    max_age_seconds: float | None = None
    max_entities: int | None = None
    max_age_seconds_before: float | None = None
    max_entities_before: int | None = None


class UndoExpired(MemoryEvent):
    """The copies that could undo the last operation on many memories were removed."""

    sentence: ClassVar[str] = "the last operation on many memories can no longer be undone"
    scope: str


class MemoryPurged(MemoryEvent):
    """Memories were removed."""

    sentence: ClassVar[str] = "{count_removed:memory} removed: {reason}"
    scope: str
    count_removed: int
    reason: str
