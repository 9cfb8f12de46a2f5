"""Ports: what the core needs of the world. Adapters provide them; `runtime` joins the two."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Literal, Protocol

from caxton.domain.agent_modules import AgentState, Handled
from caxton.domain.agents import AgentVersion, ModelSettings
from caxton.domain.flow import PlaceFor
from caxton.domain.grants import NOTHING, Rights
from caxton.domain.ids import Digest, ExecutionId, Scope
from caxton.domain.questions import Answer
from caxton.domain.refusals import Refusals
from caxton.domain.tool_texts import seen_by_model
from caxton.domain.tools import ToolFunction, ToolManifest, ToolResult, ToolVersion
from caxton.domain.usage import Usage

# --- models ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FunctionSpec:
    """A function that a model may call: a tool's, the hand-over to a capability, or one of the caller."""

    name: str
    """"server.function" for a tool, the capability's name for a hand-over, the caller's own name for its function."""
    kind: Literal["tool", "capability", "caller"]
    description: str
    schema: Mapping[str, Any]
    typed: bool = False
    """Whether a hand-over takes what the capability's own schema says, in place of a text."""


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A call that a model asks for."""

    id: str
    """The provider's id of the call; results go back under it."""
    name: str
    kind: Literal["tool", "capability", "caller", "unknown"]
    """"unknown" when the model made the name up."""
    arguments: Mapping[str, Any]
    mistake: str = ""
    """Why the call cannot be made, in words for the model; then it is its result."""


@dataclass(frozen=True, slots=True)
class PromptFile:
    """A file that a model is to see."""

    name: str
    media_type: str
    size: int
    load: Callable[[int], Awaitable[bytes]]
    """Gives its first bytes, so many at most. Whoever does not need them, such as a script, does not load them."""
    required: bool = False
    """Whether a model that does not take it refuses the request; else it is told only that there is the file."""
    data: bytes = b""
    """Its bytes, once they are loaded."""


@dataclass(frozen=True)  # without slots, for what is kept
class FunctionResult:
    """The result of a call."""

    id: str
    name: str
    text: str
    structured: Any = None
    is_error: bool = False
    files: Sequence[PromptFile] = ()
    """Images and other content that a tool returned for the model."""

    @cached_property
    def seen(self) -> str:
        """What a model gets of it as text. Kept, for every later model call of the turn sends it again."""
        return seen_by_model(self.text, self.structured, self.is_error)


@dataclass(frozen=True, slots=True)
class PromptPart:
    """One entry of what a model sees after the system prompt, oldest first."""

    role: Literal["user", "assistant", "results"]
    text: str = ""
    calls: Sequence[FunctionCall] = ()
    results: Sequence[FunctionResult] = ()
    model: str = ""
    """The model that made the calls, such as "openai:gpt-5"."""
    given: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Parts of an answer that its model expects back with the calls, such as reasoning."""
    files: Sequence[PromptFile] = ()
    """What goes along with a text of the user."""
    places: Sequence[int] = ()
    """Where each file stands in the text, in characters; empty: all behind it."""


@dataclass(frozen=True, slots=True)
class OutputSchema:
    """The object that an answer has to be."""

    name: str
    schema: Mapping[str, Any]
    """JSON Schema (2020-12)."""
    text: str
    """The same as JSON."""
    description: str = ""
    repairs: int = 1
    """How often the model may mend an answer that does not fit."""


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One model call."""

    agent: AgentVersion
    scope: Scope
    execution_id: ExecutionId
    step: int
    request: str
    """The request to the agent, before templates."""
    system_prompt: str
    parts: Sequence[PromptPart]
    """The conversation so far, the rendered request, then this execution's calls and results in turn."""
    functions: Sequence[FunctionSpec]
    settings: ModelSettings
    variables: Mapping[str, Any] = field(default_factory=dict[str, Any])
    memories: Sequence[Mapping[str, Any]] = ()
    """Memories that were found for this request: text, similarity, source and time."""
    input: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The request as the object that its capability's schema describes; empty where it has none."""
    output: OutputSchema | None = None
    """What the answer has to be; None where any text will do."""
    stop: Sequence[str] = ()
    """Texts before which the model stops."""
    choice: Literal["auto", "required"] | Sequence[str] = "auto"
    """Whether a function has to be called, or one of those of the caller that are named."""
    parallel: bool = True
    """Whether several functions may be called at a time."""
    files: Sequence[Mapping[str, Any]] = ()
    """Name, media type and size of the files that go with the request."""
    place: PlaceFor | None = None
    """Gives a place for each call of a model that takes its time; None where nothing limits calls."""


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
    waited: float = 0.0
    """Seconds that the call waited until its provider had room for it."""
    given: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What the provider may want back with the calls; see :class:`PromptPart`."""


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """A call of a model that brought no answer of use. It may have cost something all the same."""

    model: str
    code: str
    """Of the error; "cancelled" when the caller gave it up."""
    seconds: float
    usage: Usage | None = None
    """Its usage, if the provider reported it."""
    log: Sequence[str] = ()
    """What an agent's component logged until it failed."""
    refused: Refusals | None = None
    """What it asked for and may not have."""


DeltaSink = Callable[[str], None]
"""Gets each piece of text as it is made."""

FailureSink = Callable[[FailedAttempt], None]
"""Hears of each call that failed, before another one begins."""


class ModelGateway(Protocol):
    """All model providers behind one door."""

    def resolve(self, agent: AgentVersion) -> Sequence[str]:
        """The models that would be tried for the agent, in order, "auto" replaced by what it stands for.

        Raises:
            ModelNotConfigured: none of them can be used; hints say what to configure.
        """
        ...

    def unusable(self, agent: AgentVersion) -> Sequence[tuple[str, str]]:
        """Models that the agent should have used and cannot, each with why; "auto" stands for the default."""
        ...

    def default(self) -> str | None:
        """The default model, None if there is none.

        Raises:
            ModelNotConfigured: it cannot be used.
        """
        ...

    def is_scripted(self, agent: AgentVersion) -> bool:
        """True if the first model is a script (fast and local)."""
        ...

    async def respond(
        self, request: ModelRequest, on_delta: DeltaSink | None = None, on_failure: FailureSink | None = None
    ) -> ModelReply:
        """Calls the model, falling back along the list on failures that another model may not have.

        Args:
            request: what the model sees.
            on_delta: gets the text as it is made; without it the whole reply is asked for, at a fraction of the work.
            on_failure: hears of each call of a provider that failed: text that came of it counts no more.

        Raises:
            ModelError: one of its subclasses, when no model answered.
        """
        ...


# --- tools -----------------------------------------------------------------------------------------------------------


class ToolSandbox(Protocol):
    """Runs tools, each call in a sandbox of its own."""

    async def describe(
        self, customer: str, manifest: ToolManifest, files: Mapping[str, Digest], rights: Rights = NOTHING
    ) -> Sequence[ToolFunction]:
        """Compiles the module (cached by content) and returns what the server offers.

        Args:
            customer: whose blobs `files` are.
            manifest: the tool.toml.
            files: every file of the tool's folder by its path, the module included.
            rights: what is granted to the tool for all of its calls.

        Raises:
            InvalidModule: not WebAssembly, not of the form that the manifest says, or its description is not valid.
        """
        ...

    async def check(self, customer: str, tool: ToolVersion, function: str, arguments: Mapping[str, Any]) -> None:
        """Checks arguments against the function's schema, and calls nothing.

        Raises:
            ToolInputInvalid: they do not fit.
            ToolUnavailable: there is no such function.
        """
        ...

    async def call(
        self,
        customer: str,
        tool: ToolVersion,
        function: str,
        arguments: Mapping[str, Any],
        *,
        workspace: str = "",
        rights: Rights = NOTHING,
        brief: bool = False,
        answers: Sequence[Answer] | None = None,
    ) -> ToolResult:
        """Checks the arguments against the schema, and runs one function.

        Args:
            customer: whose blobs the tool's files are.
            tool: the version to run.
            function: one that it described.
            arguments: a JSON object.
            workspace: whose call it is; what is kept between calls is kept for one workspace.
            rights: what the call is granted; it gets what the manifest requests of that.
            brief: whether it is expected to end soon: such calls do not wait for those that take long.
            answers: to questions that the server of the tool asked in this call when it was made before; where there are
                more, the result is a question. None: nobody can be asked.

        Raises:
            ToolInputInvalid: the arguments do not fit the schema.
            ToolNotGranted: it failed, after it had asked for what its manifest requests and nobody has granted.
            ToolError: a subclass for each limit, trap and protocol violation, with `usage` and `log` of the call. A
                failure that the tool itself reports is not an exception: the result has `is_error` set.
        """
        ...


class AgentSandbox(Protocol):
    """Runs agents that are WebAssembly components, by the rules of tools."""

    async def inspect(self, customer: str, module: ToolVersion) -> None:
        """Compiles the component (cached by content).

        Raises:
            InvalidModule: it is not WebAssembly, or not of the world caxton:agent/agent.
        """
        ...

    async def handle(
        self,
        customer: str,
        module: ToolVersion,
        message: str,
        state: AgentState,
        *,
        rights: Rights = NOTHING,
        brief: bool = False,
    ) -> Handled:
        """Runs one step.

        Args:
            customer: whose blob the component is.
            module: what to run (:attr:`AgentVersion.module`).
            message: what the component gets, as JSON.
            state: what it kept; stays as it is.
            rights: what the call is granted; it gets what the agent's file requests of that.
            brief: whether it is expected to end soon: such calls do not wait for those that take long.

        Raises:
            AgentModuleError: a subclass for each limit, trap and bad answer, with `usage` and `log` of the call.
        """
        ...


class Sandbox(ToolSandbox, AgentSandbox, Protocol):
    """Runs all that comes from outside."""


class SchemaChecker(Protocol):
    """Checks values against schemas that somebody else wrote, at a bounded cost."""

    async def violations(self, customer: str, schema: str, value: Any) -> list[dict[str, str]]:
        """In what `value` does not fit `schema` (as JSON): `path` (JSON Pointer) and `message` of each violation.

        Raises:
            InvalidSchema: the schema cannot be used, or the check takes too long.
            Malformed: the value is nested too deeply.
        """
        ...


# --- content ---------------------------------------------------------------------------------------------------------


class BlobStore(Protocol):
    """Content by its address. Blobs are scoped to a customer, so that nobody can probe for another's content."""

    async def put(self, customer: str, content: bytes) -> Digest:
        """Stores `content` durably and returns its address. Storing it again changes nothing."""
        ...

    async def store(self, customer: str, digest: Digest, chunks: AsyncIterator[bytes]) -> None:
        """Stores durably what comes in `chunks`, which need not fit into memory.

        Raises:
            InvalidInput: it is not what its address says; nothing is kept.
        """
        ...

    async def read(self, customer: str, digest: Digest) -> tuple[int, AsyncGenerator[bytes, None]]:
        """The content's size, and the content a chunk at a time.

        Raises:
            NotFound: there is none at that address for that customer.
        """
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
        """Removes content that nothing refers to; what is not there is removed already."""
        ...

    async def discard(self, customer: str, digests: Sequence[Digest]) -> list[Digest]:
        """Removes content that nothing refers to. Returns what was stored a moment ago and stays: somebody may be about to."""
        ...


# --- live deltas -----------------------------------------------------------------------------------------------------


StreamKind = Literal["delta", "reset", "retry", "step", "end", "reply", "error"]


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """Something a subscriber sees while a turn runs. Losing one never loses a message."""

    id: str
    kind: StreamKind
    data: Mapping[str, Any]
    at: datetime | None = None
    """step: when it was recorded."""


class DeltaStream(Protocol):
    """Carries what happens in running turns to whoever listens, by the turn's root execution."""

    poll: float
    """Seconds after which a listener had better look into the store: a safety net for events that got lost."""

    def has_listeners(self, execution_id: ExecutionId) -> bool:
        """Whether somebody wants the turn's text as it is made, or is about to: then it is worth its price."""
        ...

    def expect(self, execution_id: ExecutionId) -> None:
        """Says that somebody is likely to listen in a moment, so that the text is made in pieces from the beginning."""
        ...

    def publish(self, execution_id: ExecutionId, kind: str, data: Mapping[str, Any]) -> None:
        """Hands on an event; never blocks, never raises.

        Args:
            execution_id: the turn.
            kind: "delta": a piece of text (`agent`, `text`, `step`, `attempt`, and `text_id`, another one for another text);
                "begin": a model call begins, and what came before was said in vain, so those who heard of it get a "reset";
                "step": something was recorded; "end": the turn has ended; "reply": likewise, with the finished `turn` as a
                TurnView.
            data: its facts.
        """
        ...

    def subscribe(
        self, execution_id: ExecutionId, on_event: Callable[[StreamEvent], None], *, only_end: bool = False
    ) -> Callable[[], None]:
        """Calls `on_event` for what is published from now on; returns a function that ends it.

        With `only_end` it hears of the turn's end alone, and does not count as a listener.
        """
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

    def new_budget(self) -> AbstractContextManager[object]:
        """What is rendered within has one budget of time and memory for all."""
        ...
