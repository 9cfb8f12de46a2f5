"""What people ask of memories."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from caxton.domain.errors import InvalidInput
from caxton.domain.given import GivenText, GivenTime
from caxton.domain.memory import (
    TYPE_PATTERN,
    MemoryScope,
    Scalar,
    ScopeKind,
)


class NewMemory(BaseModel):
    """A memory to add."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(min_length=1, max_length=64 << 10)
    scope: MemoryScope = MemoryScope()
    name: GivenText = Field(default="", max_length=200)
    type: str = Field(default="note", min_length=1, max_length=64, pattern=TYPE_PATTERN)
    metadata: dict[str, Any] = {}


class Edit(BaseModel):
    """What to change of a memory; what is None stays."""

    model_config = ConfigDict(extra="forbid")

    name: GivenText | None = Field(default=None, max_length=200)
    observations: list[str] | None = Field(default=None, min_length=1, max_length=100)
    metadata: dict[str, Any] | None = Field(
        default=None, description="All of its metadata from now on: what is left out here is removed."
    )


class Selection(BaseModel):
    """Which memories are meant; all of the workspace's if nothing is given."""

    model_config = ConfigDict(extra="forbid")

    scope: GivenText | None = Field(
        default=None, min_length=1, max_length=90, description="Without it: everything of the workspace."
    )
    type: GivenText | None = Field(default=None, min_length=1, max_length=64)
    before: GivenTime | None = Field(default=None, description="Only what was not changed since then.")
    where: dict[str, Scalar] = Field(default={}, max_length=10, description="Metadata that must be equal.")

    @property
    def named_scope(self) -> MemoryScope | None:
        """The scope.

        Raises:
            InvalidInput: there is none of that name.
        """
        return scope_named(self.scope) if self.scope else None

    @property
    def is_everything(self) -> bool:
        """Whether it is everything of a place."""
        scope = self.named_scope
        everywhere = scope is None or scope.kind is ScopeKind.GLOBAL
        return everywhere and self.type is None and self.before is None and not self.where

    @property
    def scope_name(self) -> str:
        """For events."""
        return str(self.named_scope or MemoryScope())


class BulkChanges(BaseModel):
    """What to change of many memories."""

    model_config = ConfigDict(extra="forbid")

    set: dict[str, Any] = Field(default={}, description="Metadata to set.")
    unset: list[Annotated[GivenText, Field(max_length=200)]] = Field(
        default=[], max_length=50, description="Metadata to remove."
    )
    type: str | None = Field(default=None, min_length=1, max_length=64, pattern=r"^[\w.-]+$")


def scope_named(text: str) -> MemoryScope:
    """The scope of that name.

    Raises:
        InvalidInput: there is none.
    """
    try:
        return MemoryScope.parse(text)
    except ValueError:
        raise InvalidInput(
            f'"{text[:64]}" is not a scope', 'write "workspace", "global", "agent:NAME" or "conversation:ID"'
        ) from None
