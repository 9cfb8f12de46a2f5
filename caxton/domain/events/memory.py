"""Memory (Caxton event model, phase 6). The log holds hashes of what was remembered and asked, never the text."""

from typing import ClassVar

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


class RelationCreated(MemoryEvent):
    """Two memories were related."""

    sentence: ClassVar[str] = "{from_memory} {relation_type} {to_memory}"
    relation_id: str
    from_memory: str
    to_memory: str
    relation_type: str


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


class MemoryPurged(MemoryEvent):
    """Memories were removed."""

    sentence: ClassVar[str] = "{count_removed} memories removed: {reason}"
    scope: str
    count_removed: int
    reason: str
