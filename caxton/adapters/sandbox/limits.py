"""The errors of a call that its sandbox stopped: one function a limit, so that each is worded once."""

from dataclasses import dataclass
from typing import Any

from caxton.domain.errors import (
    Hint,
    ToolAnswerInvalid,
    ToolError,
    ToolFuelExhausted,
    ToolMemoryExceeded,
    ToolMessageTooLarge,
    ToolTimeout,
    ToolTrapped,
)
from caxton.domain.quantities import format_duration, format_size
from caxton.domain.tools import ToolLimits

_RAISE = "raise {where} and deploy it, or give the {noun} less to do at a time"


@dataclass(frozen=True, slots=True)
class Subject:
    """Which function of which tool an error is about, and the limits it ran under."""

    tool: str
    function: str
    limits: ToolLimits
    is_agent: bool = False
    """Whether it is the component of an agent, whose name is `tool`."""

    @property
    def name(self) -> str:
        """As agents call it: "server.function"; an agent as people do."""
        return f'agent "{self.tool}"' if self.is_agent else f"{self.tool}.{self.function}"

    @property
    def noun(self) -> str:
        """What it is."""
        return "agent" if self.is_agent else "tool"

    def where(self, limit: str) -> str:
        """Where the limit stands."""
        return f"{limit} in [wasm.limits] of the agent" if self.is_agent else f"limits.{limit} in the tool's tool.toml"

    def details(self, limit: str | None = None) -> dict[str, Any]:
        """The `details` of an error; with `limit`, the name of the limit and its value."""
        details: dict[str, Any] = (
            {"agent": self.tool} if self.is_agent else {"tool": self.tool, "function": self.function}
        )
        if limit:
            details |= {"limit": limit, "value": getattr(self.limits, limit)}
        return details


def _hint(subject: Subject, limit: str) -> Hint:
    return Hint(text=_RAISE.format(where=subject.where(limit), noun=subject.noun))


def memory_exceeded(subject: Subject, reason: str | None = None) -> ToolError:
    """The tool was refused memory and could not go on."""
    limit = format_size(subject.limits.memory)
    return ToolMemoryExceeded(
        f"{subject.name} needed more memory than the {limit} that it may use",
        _hint(subject, "memory"),
        reason=reason,
        details=subject.details("memory"),
    )


def fuel_exhausted(subject: Subject) -> ToolError:
    """The tool ran as many instructions as it may."""
    return ToolFuelExhausted(
        f"{subject.name} was stopped after the {subject.limits.fuel:,} instructions (fuel) that it may use",
        _hint(subject, "fuel"),
        details=subject.details("fuel"),
    )


def timed_out(subject: Subject) -> ToolError:
    """The tool ran as long as it may."""
    limit = format_duration(subject.limits.wall_time)
    return ToolTimeout(
        f"{subject.name} was stopped after the {limit} that it may take",
        _hint(subject, "wall_time"),
        details=subject.details("wall_time"),
    )


def message_too_large(subject: Subject, what: str, size: int | None = None) -> ToolError:
    """The arguments or the result of a call have more bytes than a message may.

    Args:
        subject: the call.
        what: "arguments", "message" or "result".
        size: bytes it has; None if it was cut off at the limit.
    """
    limit = format_size(subject.limits.message_size)
    has = f"{format_size(size)}, more than" if size is not None else "more than"
    verb = "have" if what == "arguments" else "has"
    return ToolMessageTooLarge(
        f"the {what} of {subject.name} {verb} {has} the {limit} that a message may have",
        _hint(subject, "message_size"),
        details={**subject.details("message_size"), "message": what},
    )


def trapped(subject: Subject, cause: str, reason: str | None = None) -> ToolError:
    """The tool crashed; `cause` is one line of WebAssembly's or the tool's own words, `reason` the backtrace."""
    error = ToolTrapped(
        f"{subject.name} crashed: {cause}", reason=reason, details={**subject.details(), "cause": cause}
    )
    if "unreachable" in cause or "exit code" in cause:
        size = format_size(subject.limits.memory)
        error.with_hint(
            f"the {subject.noun} gave up by itself (a panic, an abort or a failed assertion); its log may say why. "
            f"That also happens when it gets no more memory: limits.memory is {size}"
        )
    what = "message" if subject.is_agent else "arguments"
    return error.with_hint(f"report it to the {subject.noun}'s author with the {what} that it happens with")


def answer_invalid(subject: Subject, problem: str) -> ToolError:
    """The tool answered something that is not an MCP result, or an agent something that is no answer."""
    if subject.is_agent:
        return ToolAnswerInvalid(
            f"the answer of {subject.name} is none: {problem}",
            'its author should have `handle` return {"reply": "…"}, {"data": {…}} or {"calls": […]} as JSON',
            details=subject.details(),
        )
    return ToolAnswerInvalid(
        f"the answer of {subject.name} is not a valid MCP result: {problem}",
        "the tool's author should check what it returns against MCP's tools/call",
        details=subject.details(),
    )
