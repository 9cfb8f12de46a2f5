"""Agents that are WebAssembly components: what their file says of them, what they keep, and what they answer."""

import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from caxton.domain.quantities import format_size, one_of
from caxton.domain.refusals import Refusals
from caxton.domain.tools import ToolLimits, ToolPermissions
from caxton.domain.usage import ToolUsage

MODEL: Final = "wasm"
"""What stands in the place of a model's name where such an agent has answered."""

FUNCTION: Final = "handle"
"""The function that an agent's component exports."""

MOST_CALLS: Final = 32
"""Calls that one step may ask for."""

MOST_KEYS: Final = 100
"""Texts that an agent may keep."""

LONGEST_KEY: Final = 128
"""Characters of a key."""

MOST_STATE: Final = 64 << 10
"""Bytes of all keys and texts together."""


_PRINTABLE: Final = r"^[^\x00-\x1f\x7f]+$"


class StateScope(StrEnum):
    """For whom an agent keeps what it keeps."""

    CONVERSATION = "conversation"
    AGENT = "agent"


class AgentModule(BaseModel):
    """`[wasm]` of an agent: its component, what it may use, and for whom it keeps its state."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    module: str = Field(
        min_length=1, description="The WebAssembly component, beside this file; of the world caxton:agent/agent."
    )
    state: Annotated[StateScope, one_of(StateScope)] = Field(
        default=StateScope.CONVERSATION,
        description="For whom its state is kept: each conversation has its own, or the agent has one for all.",
    )
    limits: ToolLimits = Field(default=ToolLimits(), description="What one call of the component may use.")
    permissions: ToolPermissions = Field(
        default=ToolPermissions(), description="What it asks for; an operator grants it as to a tool of its name."
    )

    @field_validator("module")
    @classmethod
    def _beside(cls, module: str) -> str:
        if "/" in module or "\\" in module or module.startswith("."):
            raise ValueError("the module lies beside the agent's file: give its file name only")
        return module

    @field_validator("permissions")
    @classmethod
    def _on_the_server(cls, permissions: ToolPermissions) -> ToolPermissions:
        if any(each.is_bundled for each in permissions.files):
            raise ValueError("an agent brings no folders along: name an absolute path on the server")
        return permissions

    @field_validator("limits")
    @classmethod
    def _of_a_call(cls, limits: ToolLimits) -> ToolLimits:
        if limits.max_in_flight is not None or limits.rate is not None:
            raise ValueError('how many calls there may be stands in the agent\'s own "limits"')
        return limits


@dataclass(slots=True)
class AgentState:
    """What an agent keeps, while a step of it runs."""

    values: dict[str, str] = field(default_factory=dict[str, str])
    revision: int = 0
    """Counts the changes before; 0 if there were none."""
    changed: bool = False
    """Whether the step has changed it."""

    def set(self, key: str, value: str) -> str | None:
        """Keeps `value` at `key`; why not, if it cannot be kept."""
        if not key or len(key) > LONGEST_KEY or not key.isprintable():
            return f"a key has 1 to {LONGEST_KEY} printable characters"
        if "\0" in value:
            return "a text must not have NUL characters"
        if key not in self.values and len(self.values) >= MOST_KEYS:
            return f"there are {MOST_KEYS} keys, as many as an agent may have; delete one"
        after = self.size - _size(key, self.values.get(key)) + _size(key, value)
        if after > MOST_STATE:
            return (
                f"all texts together would have {format_size(after)}, more than the {format_size(MOST_STATE)} allowed"
            )
        self.values[key] = value
        self.changed = True
        return None

    def delete(self, key: str) -> None:
        """Takes the text at `key` away."""
        self.changed = self.values.pop(key, None) is not None or self.changed

    def copy(self) -> "AgentState":
        """The same, to be changed for itself."""
        return AgentState(dict(self.values), self.revision, self.changed)

    @property
    def size(self) -> int:
        """Bytes of all keys and texts."""
        return sum(_size(key, value) for key, value in self.values.items())

    def to_json(self) -> str:
        """As it is stored."""
        return json.dumps(self.values, ensure_ascii=False, separators=(",", ":"))


def _size(key: str, value: str | None) -> int:
    return 0 if value is None else len(key.encode()) + len(value.encode())


class AskedCall(BaseModel):
    """A call that an agent's component asks for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tool: str | None = Field(default=None, min_length=1, max_length=200, pattern=_PRINTABLE)
    """"server.function"."""
    arguments: dict[str, Any] | None = None
    """Of the tool."""
    capability: str | None = Field(default=None, min_length=1, max_length=200, pattern=_PRINTABLE)
    content: str | None = None
    """What the capability is asked, as a text …"""
    input: dict[str, Any] | None = None
    """… or as the object that it takes."""

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        if (self.tool is None) == (self.capability is None):
            raise ValueError('a call has either "tool" or "capability"')
        if self.tool is not None and (self.content is not None or self.input is not None):
            raise ValueError('the call of a tool has "arguments"')
        if self.capability is not None and (
            self.arguments is not None or (self.content is None) == (self.input is None)
        ):
            raise ValueError('the call of a capability has either "content" or "input"')
        return self

    @property
    def given(self) -> dict[str, Any]:
        """What it is called with."""
        if self.tool is not None:
            return self.arguments or {}
        return {"content": self.content} if self.input is None else self.input


class ModuleAnswer(BaseModel):
    """What an agent's component answers to a step."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reply: str | None = None
    data: dict[str, Any] | None = None
    calls: list[AskedCall] | None = Field(default=None, min_length=1, max_length=MOST_CALLS)

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if sum(each is not None for each in (self.reply, self.data, self.calls)) != 1:
            raise ValueError('an answer has one of "reply", "data" and "calls"')
        return self

    @property
    def text(self) -> str:
        """The reply as a text."""
        return self.reply or "" if self.data is None else json.dumps(self.data, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Handled:
    """What came of a step of an agent's component."""

    answer: ModuleAnswer | None
    """None if the component says that it cannot do it."""
    refusal: str = ""
    """Why, then."""
    state: AgentState = field(default_factory=AgentState)
    usage: ToolUsage = field(default_factory=ToolUsage)
    log: list[str] = field(default_factory=list[str])
    refused: Refusals = field(default_factory=Refusals)
    """What it asked for and may not have."""
