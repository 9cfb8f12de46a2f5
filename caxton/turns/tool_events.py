"""What the log tells of calls of tools, beside that they were made."""

from typing import Any

from caxton.domain.errors import ErrorReport, ToolFuelExhausted, ToolMemoryExceeded, ToolMessageTooLarge, ToolTimeout
from caxton.domain.events.tools import ResourceLimitExceeded, ToolQuestionDeclined, ToolSurfaceRefused
from caxton.domain.tools import ToolResult
from caxton.domain.usage import ToolUsage

EXCEEDED = {
    ToolMemoryExceeded.code: "Memory",
    ToolFuelExhausted.code: "Cpu",
    ToolTimeout.code: "Time",
    ToolMessageTooLarge.code: "MessageSize",
}
"""Which limit each error means (event model 2.0, ResourceLimitExceeded)."""


def limit_told(tool: str, function: str, failure: ErrorReport) -> ResourceLimitExceeded:
    """The event of a call that was stopped at a limit."""
    limit = failure.details.get("value")
    return ResourceLimitExceeded(tool=tool, function=function, limit_type=EXCEEDED[failure.code], limit=limit)


def surface_told(tool: str, function: str, failure: ErrorReport, action_id: str = "") -> ToolSurfaceRefused:
    """The event of a call that was not made because its server has changed."""
    known = {name: failure.details[name] for name in ("pinned", "found", "changes")}
    return ToolSurfaceRefused(tool=tool, function=function, action_id=action_id, **known)


def declined_told(tool: str, function: str, result: ToolResult, action_id: str = "") -> ToolQuestionDeclined:
    """The event of a call in which a server wanted to ask a person."""
    return ToolQuestionDeclined(tool=tool, function=function, action_id=action_id, kinds=result.declined[:20])


def resources(used: ToolUsage) -> dict[str, Any]:
    """What a call used, as events tell it."""
    memory = None if used.memory is None else round(used.memory / (1 << 20), 2)
    return {"memory_mb": memory, "cpu_ms": round(used.cpu_ms, 3), "fuel": used.fuel}
