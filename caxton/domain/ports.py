"""Ports: what the core needs of the world. Adapters provide them; `runtime` joins the two."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from caxton.domain.agents import AgentVersion, ModelSettings
from caxton.domain.executions import Usage
from caxton.domain.ids import Digest, ExecutionId, Scope
from caxton.domain.tools import ToolFunction, ToolManifest, ToolResult, ToolVersion

# --- models ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FunctionSpec:
    """A function that a model may call: a tool's, or the hand-over to a capability."""

    name: str
    """"server.function" for a tool, the capability's name for a hand-over."""
    kind: Literal["tool", "capability"]
    description: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A call that a model asks for."""

    id: str
    """The provider's id of the call; results go back under it."""
    name: str
    kind: Literal["tool", "capability"]
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FunctionResult:
    """What a call brought."""

    id: str
    name: str
    text: str
    structured: Any = None
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class PromptPart:
    """One entry of what a model sees after the system prompt, oldest first."""

    role: Literal["user", "assistant", "results"]
    text: str = ""
    calls: Sequence[FunctionCall] = ()
    results: Sequence[FunctionResult] = ()


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One model call."""

    agent: AgentVersion
    scope: Scope
    execution_id: ExecutionId
    step: int
    request: str
    """What was asked of the agent, before templates."""
    system_prompt: str
    parts: Sequence[PromptPart]
    """The conversation so far, the rendered request, then this execution's calls and results in turn."""
    functions: Sequence[FunctionSpec]
    settings: ModelSettings
    variables: Mapping[str, Any] = field(default_factory=dict[str, Any])
    memories: Sequence[Mapping[str, Any]] = ()
    """What was found in memory for this request: text, similarity, where and when it comes from."""


@dataclass(frozen=True, slots=True)
class ModelReply:
    """A model's answer: text, calls, or both."""

    text: str
    calls: Sequence[FunctionCall]
    model: str
    """Which model answered, such as "openai:gpt-5" or "scripted"."""
    usage: Usage
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Goes into the reply's metadata; a script puts `{"scripted": True, "rule": …}` here."""


DeltaSink = Callable[[str], None]
"""Gets each piece of text as it is made."""


class ModelGateway(Protocol):
    """All model providers behind one door."""

    def resolve(self, agent: AgentVersion) -> Sequence[str]:
        """The models that would be tried for the agent, in order, "auto" replaced by what it stands for.

        Raises:
            ModelNotConfigured: none of them can be used; hints say what to configure.
        """
        ...

    def is_scripted(self, agent: AgentVersion) -> bool:
        """Whether the first model tried is a script (fast and local)."""
        ...

    async def respond(self, request: ModelRequest, on_delta: DeltaSink) -> ModelReply:
        """Calls the model, falling back along the list on failures that another model may not have.

        Raises:
            ModelError: one of its subclasses, when no model answered.
        """
        ...


# --- tools -----------------------------------------------------------------------------------------------------------


class ToolSandbox(Protocol):
    """Runs tools, each call in a sandbox of its own."""

    async def describe(
        self, customer: str, manifest: ToolManifest, files: Mapping[str, Digest]
    ) -> Sequence[ToolFunction]:
        """Compiles the module (cached by content) and returns what the server offers.

        Args:
            customer: whose blobs `files` are.
            manifest: the tool.toml.
            files: every file of the tool's folder by its path, the module included.

        Raises:
            InvalidModule: not WebAssembly, not of the form that the manifest says, or its description is not valid.
        """
        ...

    async def call(
        self, customer: str, tool: ToolVersion, function: str, arguments: Mapping[str, Any], *, brief: bool = False
    ) -> ToolResult:
        """Checks the arguments against the schema, and runs one function.

        Args:
            customer: whose blobs the tool's files are.
            tool: the version to run.
            function: one that it described.
            arguments: a JSON object.
            brief: whether it is expected to end soon: such calls do not wait for those that take long.

        Raises:
            ToolInputInvalid: the arguments do not fit the schema.
            ToolError: a subclass for each limit, trap and protocol violation, with `usage` and `log` of the call. A
                failure that the tool itself reports is no exception: the result has `is_error` set.
        """
        ...


# --- content ---------------------------------------------------------------------------------------------------------


class BlobStore(Protocol):
    """Content by its address. Blobs are scoped to a customer, so that nobody can probe for another's content."""

    async def put(self, customer: str, content: bytes) -> Digest:
        """Stores `content` durably and returns its address. Storing it again changes nothing."""
        ...

    async def get(self, customer: str, digest: Digest) -> bytes:
        """The content.

        Raises:
            NotFound: there is none at that address for that customer.
        """
        ...

    async def missing(self, customer: str, digests: Sequence[Digest]) -> list[Digest]:
        """Those of `digests` that are not stored."""
        ...

    async def delete(self, customer: str, digests: Sequence[Digest]) -> None:
        """Removes content that nothing refers to any more; what is not there is removed already."""
        ...


# --- live deltas -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """Something a subscriber sees while a turn runs. Losing one never loses a message."""

    id: str
    kind: Literal["delta", "step", "reply", "error"]
    data: Mapping[str, Any]


class DeltaStream(Protocol):
    """Carries deltas of running turns to whoever listens, by the turn's root execution."""

    def publish(self, execution_id: ExecutionId, kind: str, data: Mapping[str, Any]) -> None:
        """Hands on an event; never blocks, never raises. A "reply" brings the finished turn as `turn`, as a TurnView."""
        ...

    def subscribe(self, execution_id: ExecutionId, on_event: Callable[[StreamEvent], None]) -> Callable[[], None]:
        """Calls `on_event` for what is published from now on; returns a function that ends it."""
        ...


Clock = Callable[[], float]
"""Seconds since the epoch."""

Awake = Callable[[float], Awaitable[None]]
"""Sleeps for seconds."""


class TemplateEngine(Protocol):
    """Renders templates in a sandbox."""

    def render(self, template: str, variables: Mapping[str, Any]) -> str:
        """The text.

        Raises:
            InvalidInput: a variable is missing, or the template does more than is allowed.
        """
        ...

    def evaluate(self, template: str, variables: Mapping[str, Any]) -> Any:
        """The value of a template that is one expression, such as `{{ results[0].json.rows }}`, as data; else the text.

        Raises:
            InvalidInput: as for `render`.
        """
        ...
