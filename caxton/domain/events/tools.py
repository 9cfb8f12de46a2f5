"""Tools (Caxton event model, phase 4)."""

from typing import Any, ClassVar

from caxton.domain.events.payload import Category, Payload


class ToolEvent(Payload):
    """What happened to a tool, or to a call of it."""

    category: ClassVar[Category] = "tool"


class McpToolDeployed(ToolEvent):
    """A tool may be called."""

    sentence: ClassVar[str] = 'tool "{name}" {version} is deployed'
    name: str
    version: str
    wasm_hash: str
    max_memory_mb: float
    max_fuel: int
    max_execution_time_s: float
    capabilities: list[str] = []
    """Names of its functions."""
    network: list[str] = []
    environment: list[str] = []
    files: list[str] = []


class McpDeploymentFailed(ToolEvent):
    """A tool was not deployed."""

    sentence: ClassVar[str] = 'tool "{name}" was not deployed: {reason}'
    name: str
    reason: str


class McpToolUndeployed(ToolEvent):
    """A tool is no longer there."""

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


class ToolQuarantined(ToolEvent):
    """A tool that keeps exceeding its limits takes no more calls."""

    sentence: ClassVar[str] = 'tool "{tool}" is quarantined'
    reserved: ClassVar[str] = "tool quarantine"
    tool: str
    violations: int
