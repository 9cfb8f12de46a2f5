"""What the log tells of calls of tools, beside that they were made."""

from typing import Any

from caxton.domain.errors import (
    CaxtonError,
    ErrorReport,
    ToolError,
    ToolFuelExhausted,
    ToolMemoryExceeded,
    ToolMessageTooLarge,
    ToolTimeout,
)
from caxton.domain.events.tools import ResourceLimitExceeded, ToolQuestionDeclined, ToolSurfaceRefused
from caxton.domain.refusals import Refusals
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


def with_usage(error: ToolError) -> ErrorReport:
    """The error's report, with what the call used: it may have to cross the workflow before it is recorded."""
    report = error.report()
    more = {
        **({"used": error.usage.model_dump()} if error.usage is not None else {}),
        **({"refused": error.refused.model_dump()} if error.refused else {}),
    }
    return report.model_copy(update={"details": {**report.details, **more}}) if more else report


def usage_of(report: ErrorReport | None) -> ToolUsage | None:
    """What a failed call used, as its report has it."""
    used = report.details.get("used") if report else None
    return ToolUsage.model_validate(used) if used else None


def refusals_of(report: ErrorReport | None) -> Refusals:
    """What a failed call was refused, as its report has it."""
    refused = report.details.get("refused") if report else None
    return Refusals.model_validate(refused) if refused else Refusals()


class RetryableFailure(CaxtonError):
    """Carries another error's report, marked as retryable for this one call."""

    code = "retryable_failure"
    retryable = True

    def __init__(self, report: ErrorReport) -> None:
        """Wrap `report`."""
        super().__init__(report.message, *report.hints, details=report.details)
        self._report = report

    def report(self) -> ErrorReport:
        """The wrapped error's report."""
        return self._report
