"""Memory: what agents remember, as entities with observations, and relations between them."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, NewType, Self, cast

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from caxton.domain.errors import InvalidInput
from caxton.domain.ids import derived_id, digest_of

MemoryId = NewType("MemoryId", str)
RelationId = NewType("RelationId", str)

TEXT_LIMIT = 64 << 10
"""Bytes of one observation. The embedding reads the first 256 tokens; what is longer is found by its words."""

OBSERVATIONS = 100
"""Observations of one entity."""

METADATA_LIMIT = 8 << 10
"""Bytes of an entity's metadata as JSON."""

DEEPEST = 32
"""Levels of metadata."""

TYPE_PATTERN = r"^[\w.-]+$"
RELATION_PATTERN = r"^[\w .-]+$"
"""Types of relations, such as "caused by"."""

MOST_HOPS = 6

Text = Annotated[str, Field(min_length=1)]


class ScopeKind(StrEnum):
    """Who shares a memory (functional requirement 4.3)."""

    AGENT = "agent"
    WORKSPACE = "workspace"
    CONVERSATION = "conversation"
    GLOBAL = "global"
    """All workspaces of the customer."""


class MemoryScope(BaseModel):
    """Where a memory belongs, within a customer and, unless it is global, a workspace."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: ScopeKind = ScopeKind.WORKSPACE
    owner: str = Field(default="", max_length=64, pattern=r"^[A-Za-z0-9_-]*$")
    """The agent or the conversation; empty for the others."""

    @model_validator(mode="after")
    def _owned(self) -> Self:
        if (self.kind in (ScopeKind.AGENT, ScopeKind.CONVERSATION)) != bool(self.owner):
            raise ValueError("agent and conversation have an owner, workspace and global have none")
        return self

    def __str__(self) -> str:
        return f"{self.kind}:{self.owner}" if self.owner else str(self.kind)

    @classmethod
    def parse(cls, text: str) -> "MemoryScope":
        """The scope that "agent:NAME", "conversation:ID", "workspace" or "global" names.

        Raises:
            ValueError: it names none.
        """
        kind, _, owner = text.partition(":")
        return cls(kind=ScopeKind(kind), owner=owner)


class Provenance(BaseModel):
    """Where a memory comes from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    agent: str | None = None
    conversation_id: str | None = None
    execution_id: str | None = None
    actor: str | None = None


class Entity(BaseModel):
    """Something remembered."""

    id: MemoryId
    scope: MemoryScope
    name: str = Field(default="", max_length=200)
    type: str = Field(default="note", max_length=64)
    observations: list[Text] = Field(min_length=1, max_length=OBSERVATIONS)
    metadata: dict[str, Any] = {}
    provenance: Provenance = Provenance()
    created_at: datetime
    updated_at: datetime
    accessed: int = Field(default=0, ge=0, lt=2**62)
    last_accessed: datetime | None = None

    @property
    def text(self) -> str:
        """What is embedded and searched for words."""
        told = "\n".join(self.observations)
        return f"{self.name}\n{told}" if self.name else told

    @property
    def content_hash(self) -> str:
        """SHA-256 of the content: equal content in one scope is remembered once."""
        return digest_of(f"{self.scope}\x1f{self.type}\x1f{self.text}".encode())

    @property
    def state_hash(self) -> str:
        """SHA-256 of everything that people and agents can change."""
        return digest_of(self.model_dump_json(include={"scope", "name", "type", "observations", "metadata"}).encode())


class Relation(BaseModel):
    """That two entities have to do with each other."""

    id: RelationId
    source: MemoryId
    target: MemoryId
    type: Annotated[str, Field(min_length=1, max_length=64, pattern=RELATION_PATTERN)]
    properties: dict[str, Any] = {}
    created_at: datetime


SearchMode = Literal["vector", "text", "hybrid"]
Scalar = str | int | float | bool | None


MOST_SCOPES = 100
"""Scopes that one search looks into."""


class MemoryQuery(BaseModel):
    """What to look for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str = Field(min_length=1, max_length=10_000)
    mode: SearchMode = "hybrid"
    scopes: tuple[MemoryScope, ...] = Field(default=(MemoryScope(),), max_length=MOST_SCOPES)
    limit: int = Field(default=10, ge=1, le=200)
    min_similarity: float = Field(
        default=0.0, ge=0, le=1, description="Cosine that a match needs, unless its words are distinctive."
    )
    where: Mapping[str, Scalar] = Field(default={}, max_length=10, description="Metadata that must be equal.")
    type: str | None = Field(default=None, pattern=TYPE_PATTERN, max_length=64)
    half_life: float | None = Field(default=None, gt=0, description="Seconds after which a memory counts half.")

    @field_validator("where")
    @classmethod
    def _plain_names(cls, where: Mapping[str, Scalar]) -> Mapping[str, Scalar]:
        for name in where:
            if not name or len(name) > 64:
                raise ValueError("names of metadata have 1 to 64 characters")
        if any(isinstance(value, float) and not math.isfinite(value) for value in where.values()):
            raise ValueError("a number must be finite")
        return where


class Match(BaseModel):
    """An entity that was found."""

    entity: Entity
    score: float
    """Higher is better; comparable within one search only."""
    similarity: float | None = None
    """Cosine of the meanings; None in a search by words, and where its vector is not there yet."""


class MemoryPath(BaseModel):
    """How an entity is reached from another."""

    entity: Entity
    hops: int
    relations: list[Relation]
    """From the start to the entity."""


class Retention(BaseModel):
    """How long, and how much, a workspace remembers; what is None has no limit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_age: float | None = Field(
        default=None, gt=0, le=100 * 365 * 86_400, description="Seconds since a memory was changed last."
    )
    max_entities: int | None = Field(default=None, ge=1, description="The newest so many are kept.")

    def __bool__(self) -> bool:
        return self.max_age is not None or self.max_entities is not None


def memory_id(content_hash: str, attempt: int = 0) -> MemoryId:
    """The id of a memory with that content: the same for the same content in the same scope.

    A memory keeps its id when it is edited, so the id that its old content would have may be taken: then the next attempt's.
    """
    return MemoryId(derived_id("mem", content_hash, *([str(attempt)] if attempt else [])))


def check_entity(entity: Entity) -> None:
    """Refuses what cannot be stored, found, exported and imported again.

    Raises:
        InvalidInput: a text is empty or too long, the type is not a word, or the metadata is not plain JSON of a decent size.
    """
    for text in entity.observations:
        if not text.strip("\0 \t\r\n"):
            raise InvalidInput("there is nothing to remember: the text is empty")
        if len(_encoded(text)) > TEXT_LIMIT:
            raise InvalidInput(
                f"the text is longer than {TEXT_LIMIT >> 10} KB", "split it: a memory is found best when it is short"
            )
    for text in (entity.name, *entity.provenance.model_dump(exclude_none=True).values()):
        _encoded(text)
    if not re.fullmatch(TYPE_PATTERN, entity.type):
        raise InvalidInput("a type is a word of letters, digits, _, . and -")
    check_json(entity.metadata, "metadata")


def check_json(values: Mapping[str, Any], what: str) -> None:
    """Refuses values that are too large or too deep, or that are not JSON.

    Raises:
        InvalidInput: they are.
    """
    _check_depth(values, what, DEEPEST)
    try:
        text = json.dumps(values, ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise InvalidInput(f"the {what} has a number that is not finite") from None
    if len(_encoded(text)) > METADATA_LIMIT:
        raise InvalidInput(f"the {what} is larger than {METADATA_LIMIT >> 10} KB")


def _check_depth(value: Any, what: str, left: int) -> None:
    if left < 0:
        raise InvalidInput(f"the {what} is deeper than {DEEPEST} levels")
    inner: Iterable[Any] = ()
    if isinstance(value, Mapping):
        inner = cast("Mapping[str, Any]", value).values()
    elif isinstance(value, list):
        inner = cast("list[Any]", value)
    for each in inner:
        _check_depth(each, what, left - 1)


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise InvalidInput("a text has half of a character in it (a lone surrogate)") from None


def relation_id(source: MemoryId, relation_type: str, target: MemoryId) -> RelationId:
    """The id of a relation: there is one of each type between two entities in one direction."""
    return RelationId(derived_id("rel", source, relation_type, target))
