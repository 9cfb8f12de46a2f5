"""Tools (Caxton event model, phase 4)."""

from typing import Any, ClassVar

from caxton.domain.events.payload import Category, Payload


class ToolEvent(Payload):
    """What happened to a tool, or to a call of it."""

    category: ClassVar[Category] = "tool"


class McpToolDeployed(ToolEvent):
    """A tool can be called."""

    sentence: ClassVar[str] = 'tool "{name}" {version} is deployed'
    name: str
    version: str
    wasm_hash: str | None = None
    """Of its module; an ordinary MCP server has none."""
    max_memory_mb: float
    max_fuel: int
    max_execution_time_s: float
    capabilities: list[str] = []
    """Names of its functions."""
    network: list[str] = []
    environment: list[str] = []
    files: list[str] = []
    ungranted: list[str] = []
    """What it requests and nobody has granted: it runs without."""
    sandboxed: bool = True
    """False for an ordinary MCP server, which runs outside of the sandbox."""
    server: str | None = None
    """Where that is: a URL or a command line."""
    surface: str | None = None
    """The hash of its functions as they were when it was deployed."""


class McpDeploymentFailed(ToolEvent):
    """A tool was not deployed."""

    sentence: ClassVar[str] = 'tool "{name}" was not deployed: {reason}'
    name: str
    reason: str


class McpToolUndeployed(ToolEvent):
    """A tool was removed."""

    sentence: ClassVar[str] = 'tool "{name}" was removed'
    name: str
    version: str | None = None


class ToolCallEvent(ToolEvent):
    """A call of a tool."""

    tool: str
    function: str
    action_id: str = ""
    memory_mb: float | None = None
    cpu_ms: float | None = None
    fuel: int | None = None


class ToolExecuted(ToolCallEvent):
    """A tool answered, perhaps with an error of its own (`is_error`)."""

    sentence: ClassVar[str] = "{tool}.{function} answered"
    is_error: bool = False
    result_hash: str | None = None
    result_bytes: int = 0
    artifacts: list[str] = []
    """Content addresses of files that it made."""


class ToolExecutionFailed(ToolCallEvent):
    """A call ended without an answer."""

    sentence: ClassVar[str] = "{tool}.{function} failed: {details}"
    reason: str
    """PermissionDenied, ResourceExhausted, Timeout or RuntimeError."""
    details: str = ""


class ToolAccessDenied(ToolCallEvent):
    """An agent asked for a tool that it may not use."""

    sentence: ClassVar[str] = "{agent} may not use {tool}.{function}"


class ResourceLimitExceeded(ToolEvent):
    """A call was stopped at a limit."""

    sentence: ClassVar[str] = "{tool}.{function} reached its limit: {limit_type}"
    tool: str
    function: str
    limit_type: str
    """Memory, Cpu, Time or MessageSize."""
    requested: Any = None
    limit: Any = None


class ToolSurfaceRefused(ToolEvent):
    """A call was not made, for the tool's server offers something else than when it was deployed."""

    sentence: ClassVar[str] = "{tool}.{function} was not called: its server has changed"
    tool: str
    function: str
    action_id: str = ""
    pinned: str
    """The hash of what it offered when it was deployed, or somebody accepted it."""
    found: str
    """The hash of what it offers now."""
    changes: list[str] = []
    """Functions that are new, gone or different, and in what."""


class ToolSurfaceAccepted(ToolEvent):
    """An operator accepted what a tool's server offers now."""

    sentence: ClassVar[str] = 'what the server of tool "{tool}" offers now is accepted'
    tool: str
    pinned: str
    """The hash of what it offered before."""
    accepted: str
    """The hash of what it offers now."""
    changes: list[str] = []


class ToolQuestionDeclined(ToolEvent):
    """A tool's server wanted to ask a person during a call. Nobody was asked."""

    sentence: ClassVar[str] = "{tool}.{function} wanted to ask a person, and nobody was asked"
    tool: str
    function: str
    action_id: str = ""
    kinds: list[str] = []
    """form or url, one for each question."""


class ToolRightsRefused(ToolEvent):
    """A call asked for rights that it does not have: one event per call, however often it asked."""

    sentence: ClassVar[str] = "{tool}.{function} was refused {refused}"
    tool: str
    function: str
    action_id: str = ""
    refused: list[dict[str, Any]] = []
    """Each with its `kind` (network, environment, files), `what` (an origin, a variable's name, a path), `why` (not_requested,
    not_granted, never) and how many times (`count`)."""
    others: int = 0
    """Refusals beyond those that are listed."""


class ToolGrantEvent(ToolEvent):
    """What happened to a grant."""

    grant_id: str
    tool: str


class ToolGrantCreated(ToolGrantEvent):
    """An operator granted rights to a tool."""

    sentence: ClassVar[str] = 'tool "{tool}" was granted {rights}'
    rights: list[str]
    for_agent: str | None = None
    function: str | None = None
    arguments: list[str] = []
    """Names of arguments that must fit a pattern."""
    expires_at: str | None = None
    count: int | None = None
    reason: str = ""
    digest: str | None = None
    """The one version that it is for."""


class ToolGrantRevoked(ToolGrantEvent):
    """An operator took a grant back."""

    sentence: ClassVar[str] = 'tool "{tool}" is no longer granted {rights}'
    rights: list[str]


class ToolGrantUsed(ToolGrantEvent):
    """A call took one use of a grant that counts."""

    sentence: ClassVar[str] = "{tool}.{function} used {used} of {count} of a grant"
    function: str
    used: int
    count: int


class ToolGrantRefused(ToolEvent):
    """A grant was refused because no tool can have these rights."""

    sentence: ClassVar[str] = 'tool "{tool}" cannot be granted {rights}'
    tool: str
    rights: list[str]
    problems: list[str] = []


class ToolQuarantined(ToolEvent):
    """A tool that keeps exceeding its limits, or asking for what its manifest does not name, takes no more calls."""

    sentence: ClassVar[str] = 'tool "{tool}" is quarantined after {violations:violation}, the last: {reason}'
    tool: str
    violations: int
    calls: int = 0
    """In the window of its settings; 0 where only violations in a row were counted."""
    reason: str = ""
    """Code of the last violation."""


class ToolReleased(ToolEvent):
    """An administrator let a quarantined tool take calls again."""

    sentence: ClassVar[str] = 'tool "{tool}" is released from quarantine'
    tool: str
    reason: str = ""
