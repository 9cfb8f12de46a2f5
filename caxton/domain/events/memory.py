"""Memory (Caxton event model, phase 6). The log holds hashes of what was remembered and asked, never the text."""

from typing import ClassVar

from caxton.domain.events.payload import Category, Payload


class MemoryEvent(Payload):
    """What happened to memories."""

    category: ClassVar[Category] = "memory"
    reserved: ClassVar[str] = "memory"


class MemoryStored(MemoryEvent):
    """Something was remembered."""

    sentence: ClassVar[str] = "{agent} remembered something"
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


class MemoryPurged(MemoryEvent):
    """Memories were removed."""

    sentence: ClassVar[str] = "{count_removed} memories removed: {reason}"
    scope: str
    count_removed: int
    reason: str
