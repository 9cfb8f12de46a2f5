"""Agents elsewhere that are called over the A2A protocol: what an agent's file says of one, and what it answers."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Annotated, Final, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from caxton.domain.grants import Rights
from caxton.domain.mcp_servers import HeaderName, HeaderValue, McpServer, checked_url
from caxton.domain.quantities import Seconds
from caxton.domain.tools import ToolVersion

MODEL: Final = "a2a"
"""What stands in the place of a model's name where a remote agent has answered."""

FUNCTION: Final = "send"
"""The function that grants of a remote agent are about."""


class RemoteAgent(BaseModel):
    """`[a2a]` of an agent: where it is, and how it is called."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[str, AfterValidator(checked_url)] = Field(
        description="Where its card is (below this address, at /.well-known/agent-card.json), such as "
        '"https://agents.example.com/translator".'
    )
    headers: dict[HeaderName, HeaderValue] = Field(
        default={},
        max_length=20,
        description='Headers of requests; a secret as "env:NAME" or "Bearer env:NAME", a variable that has to be granted.',
    )
    skill: str | None = Field(
        default=None, min_length=1, max_length=200, description="The skill that messages are for, in their metadata."
    )
    timeout: Seconds = Field(
        default=300.0,
        gt=0,
        le=86_400,
        description='Time for an answer, such as "5m"; limits.time is the end in any case.',
    )
    request_timeout: Seconds = Field(
        default=30.0, gt=0, le=600, description='Time for one request over the network, such as "30s".'
    )

    @model_validator(mode="after")
    def _as_a_server(self) -> "RemoteAgent":
        _ = self.server  # the same rules for addresses and headers
        return self

    @property
    def server(self) -> McpServer:
        """The same as the rules of grants and headers know servers."""
        return McpServer(url=self.url, headers=self.headers)


@dataclass(frozen=True, slots=True)
class Remote:
    """A remote agent, and what a call of it may use."""

    customer: str
    agent: RemoteAgent
    version: ToolVersion
    """Names what it needs, as that of a tool does."""
    rights: Rights


@dataclass(frozen=True, slots=True)
class RemoteTask:
    """A task of a remote agent, as it stands."""

    id: str | None
    """None where it has answered with a message, without a task."""
    context: str | None
    state: str
    """As the protocol has it: `TASK_STATE_…`."""
    text: str = ""
    """What it has brought; else what it says of its state."""

    @property
    def goes_on(self) -> bool:
        """Whether it is at work."""
        return self.state in ("TASK_STATE_SUBMITTED", "TASK_STATE_WORKING")


@dataclass(frozen=True, slots=True)
class RemoteMessage:
    """A message to a remote agent."""

    id: str
    """The same each time it is sent."""
    text: str
    data: dict[str, object] | None = None
    """The object that it is, for capabilities with a schema."""
    context: str | None = None
    task: str | None = None
    """The task that waits for it."""


class RemoteSession(Protocol):
    """Calls one remote agent."""

    async def send(self, message: RemoteMessage) -> RemoteTask:
        """Sends a message, and returns without waiting for its task.

        Raises:
            ModelError: it cannot be sent.
        """
        ...

    async def get(self, task_id: str) -> RemoteTask:
        """A task as it stands.

        Raises:
            ModelError: it cannot be told.
        """
        ...

    async def cancel(self, task_id: str) -> None:
        """Asks to end a task; one that is over stays as it is."""
        ...


class RemoteAgents(Protocol):
    """Reaches remote agents."""

    def open(self, remote: Remote) -> AbstractAsyncContextManager[RemoteSession]:
        """A session with one of them.

        Raises:
            ToolError: nobody has granted what it needs.
            ModelError: it has no card that can be used.
        """
        ...


class NoRemoteAgents:
    """Where no remote agents are called."""

    def open(self, remote: Remote) -> AbstractAsyncContextManager[RemoteSession]:
        """Refuses."""
        raise NotImplementedError(f"{remote.version.manifest.name} is called by workers")
