"""One hierarchy of errors, and in it one table.

Each class says, as class attributes, how it appears at every edge: `code` in JSON, `status` over HTTP, `exit_code` on a
terminal, `retryable` to workflow policy. `message` is for people, `reason` is technical detail for logs, `hints` say what to
do next. None of them may carry prompt content or secrets.
"""

from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import BaseModel

if TYPE_CHECKING:
    from caxton.domain.tools import ToolUsage

DOCS = "https://github.com/caxton/caxton/blob/main/docs"
HELP_BASE = f"{DOCS}/reference/errors.md"


class Hint(BaseModel):
    """One thing to do next: a sentence, and the command that does it if there is one."""

    text: str
    command: str | None = None


class ErrorReport(BaseModel):
    """An error as data: the same shape in HTTP problems, workflow failures, stored executions and `--json` output."""

    code: str
    message: str
    reason: str | None = None
    hints: list[Hint] = []
    details: dict[str, Any] = {}
    retryable: bool = False
    retry_after: float | None = None
    help: str | None = None


class CaxtonError(Exception):
    """Base of every error that Caxton raises on purpose."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False
    title: ClassVar[str] = "Something went wrong inside Caxton"

    def __init__(
        self,
        message: str,
        *hints: Hint | str,
        reason: str | None = None,
        details: dict[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Create the error.

        Args:
            message: what went wrong, for the reader, without a full stop.
            hints: what to do next, a sentence or a :class:`Hint`.
            reason: technical detail for operators.
            details: machine-readable facts (names, limits, positions).
            retry_after: seconds after which another try may succeed.
        """
        super().__init__(message)
        self.message = message
        self.hints = [hint if isinstance(hint, Hint) else Hint(text=hint) for hint in hints]
        self.reason = reason
        self.details = details or {}
        self.retry_after = retry_after

    def report(self) -> ErrorReport:
        """This error as data."""
        return ErrorReport(
            code=self.code,
            message=self.message,
            reason=self.reason,
            hints=self.hints,
            details=self.details,
            retryable=self.retryable,
            retry_after=self.retry_after,
            help=f"{HELP_BASE}#{self.code}",
        )

    @classmethod
    def from_report(cls, report: ErrorReport) -> "CaxtonError":
        """The error of the class that `report.code` names; of the base class for a code that this version lacks."""
        error_class = error_classes().get(report.code, CaxtonError)
        error = error_class.__new__(error_class)
        CaxtonError.__init__(
            error,
            report.message,
            *report.hints,
            reason=report.reason,
            details=report.details,
            retry_after=report.retry_after,
        )
        return error

    def with_hint(self, text: str, command: str | None = None) -> Self:
        """Adds one thing to do next."""
        self.hints.append(Hint(text=text, command=command))
        return self


def error_classes() -> dict[str, type[CaxtonError]]:
    """The table: every error class by its code."""
    found: dict[str, type[CaxtonError]] = {}
    pending = [CaxtonError]
    while pending:
        error_class = pending.pop()
        if error_class.__module__ == __name__:  # not what carries an error within one process
            found.setdefault(error_class.code, error_class)
        pending.extend(error_class.__subclasses__())
    return dict(sorted(found.items()))


# --- input -----------------------------------------------------------------------------------------------------------


class InvalidInput(CaxtonError):
    code = "invalid_input"
    status = 400
    exit_code = 3
    title = "The request is not valid"


class InvalidDefinitions(CaxtonError):
    """Files of a workspace are wrong. `details["problems"]` lists every :class:`caxton.domain.problems.Problem`."""

    code = "invalid_definitions"
    status = 422
    exit_code = 3
    title = "An agent, script or tool definition is not valid"


class InvalidSettings(CaxtonError):
    code = "invalid_settings"
    status = 500
    exit_code = 3
    title = "A setting is not valid"


class MethodNotAllowed(InvalidInput):
    """The address exists, and does not take this HTTP method."""

    code = "method_not_allowed"
    status = 405
    title = "The address does not take this method"


class CursorInvalid(InvalidInput):
    """A cursor is not one that this list gave out."""

    code = "cursor_invalid"
    title = "The cursor is not valid here"


class PayloadTooLarge(CaxtonError):
    code = "payload_too_large"
    status = 413
    exit_code = 3
    title = "The request is larger than allowed"


# --- who and what ----------------------------------------------------------------------------------------------------


class NotAuthenticated(CaxtonError):
    code = "not_authenticated"
    status = 401
    exit_code = 6
    title = "The API key is missing or not valid"


class NotPermitted(CaxtonError):
    code = "not_permitted"
    status = 403
    exit_code = 6
    title = "The API key does not allow this"


class NotFound(CaxtonError):
    """Also the answer for what belongs to another customer: its existence is not told."""

    code = "not_found"
    status = 404
    exit_code = 4
    title = "There is no such thing"


class InvalidState(CaxtonError):
    code = "invalid_state"
    status = 409
    exit_code = 7
    title = "That cannot be done in the present state"


class ConversationClosed(InvalidState):
    code = "conversation_closed"
    title = "The conversation has ended"


class IdempotencyConflict(CaxtonError):
    code = "idempotency_conflict"
    status = 409
    exit_code = 7
    title = "The idempotency key was used for another request"


class Overloaded(CaxtonError):
    code = "overloaded"
    status = 429
    exit_code = 5
    retryable = True
    title = "Too much work is waiting"


# --- routing ---------------------------------------------------------------------------------------------------------


class BudgetUsedUp(CaxtonError):
    """A budget of tokens, cost or requests is used up."""

    code = "budget_exceeded"
    status = 429
    exit_code = 5
    title = "The budget is used up"


class RoutingFailed(CaxtonError):
    """No agent could be chosen. `details` has `capability`, `reason`, `similar` (capabilities that do exist)."""

    code = "routing_failed"
    status = 503
    exit_code = 4


class NoCapableAgent(RoutingFailed):
    code = "no_capable_agent"
    status = 404
    title = "No agent offers the capability"


class AllAgentsUnavailable(RoutingFailed):
    code = "all_agents_unavailable"
    status = 503
    retryable = True
    title = "Agents offer the capability, but none of them takes work now"


class CircuitBreakerOpen(RoutingFailed):
    code = "circuit_breaker_open"
    status = 503
    title = "The agents that offer the capability have failed too often and are resting"


# --- a turn ----------------------------------------------------------------------------------------------------------


class ExecutionFailed(CaxtonError):
    code = "execution_failed"
    status = 502
    exit_code = 8
    title = "The agent could not finish its work"


class ExecutionCancelled(ExecutionFailed):
    code = "execution_cancelled"
    status = 409
    title = "The work was cancelled"


class ExecutionAbandoned(ExecutionFailed):
    """The server was killed before the request was accepted, and nobody asked again."""

    code = "execution_abandoned"
    title = "The server was killed before it could accept the request"


class ChannelFailed(CaxtonError):
    """A channel refused a notice, or is not configured: telling it again would not help."""

    code = "channel_failed"
    status = 502
    exit_code = 5
    title = "A channel for notices refused"


class ChannelUnreachable(ChannelFailed):
    """A channel did not answer, or said that it cannot now."""

    code = "channel_unreachable"
    title = "A channel for notices did not answer"
    retryable = True


class ApprovalRejected(ExecutionFailed):
    """A person refused an action."""

    code = "approval_rejected"
    title = "A person refused the action"


class ApprovalTimedOut(ExecutionFailed):
    """Nobody decided on an action in time."""

    code = "approval_timeout"
    title = "Nobody decided on the action in time"


class LimitReached(ExecutionFailed):
    """A limit of the agent's `[limits]`. `details` has `limit` and `value`."""

    code = "limit_reached"
    status = 422
    exit_code = 8
    title = "A limit of the agent was reached"


class StepLimitReached(LimitReached):
    code = "step_limit_reached"
    title = "The agent took more steps than allowed"


class DepthLimitReached(LimitReached):
    code = "depth_limit_reached"
    title = "Work was handed over more levels deep than allowed"


class LoopDetected(LimitReached):
    code = "loop_detected"
    title = "Agents handed the same work round in a circle"


class TokenLimitReached(LimitReached):
    code = "token_limit_reached"
    title = "The agent used more tokens than allowed"


class TimeLimitReached(LimitReached):
    code = "time_limit_reached"
    status = 504
    title = "The turn took longer than allowed"


# --- models ----------------------------------------------------------------------------------------------------------


class ModelError(ExecutionFailed):
    code = "model_failed"
    title = "The model could not answer"


class ModelNotConfigured(ModelError):
    code = "model_not_configured"
    status = 422
    exit_code = 3
    title = "The model's provider is not configured"


class ModelRefusedRequest(ModelError):
    code = "model_refused_request"
    title = "The model's provider refused the request"


class ModelRateLimited(ModelError):
    code = "model_rate_limited"
    status = 503
    retryable = True
    title = "The model's provider asks for patience"


class ModelUnavailable(ModelError):
    code = "model_unavailable"
    status = 503
    retryable = True
    title = "The model's provider does not answer"


class ModelTimeout(ModelError):
    code = "model_timeout"
    status = 504
    retryable = True
    title = "The model took too long"


class ModelAnswerInvalid(ModelError):
    code = "model_answer_invalid"
    retryable = True
    title = "The model's answer could not be understood"


class NoScriptRule(ModelError):
    code = "no_script_rule"
    status = 422
    title = "No rule of the script matches"


# --- tools -----------------------------------------------------------------------------------------------------------


class ToolError(ExecutionFailed):
    """A tool call failed. `details` has `tool`, `function` and, for limits, `limit` and `value`."""

    code = "tool_failed"
    title = "The tool failed"

    usage: "ToolUsage | None" = None
    """What the call used until it failed, if it ran; not part of the report."""
    log: tuple[str, ...] = ()
    """What the tool logged until it failed; not part of the report, because it may hold a user's data."""


class ToolNotAllowed(ToolError):
    code = "tool_not_allowed"
    status = 403
    title = "The agent's allowlist does not name the tool"


class ToolUnavailable(ToolError):
    code = "tool_unavailable"
    status = 503
    title = "The tool is not deployed, or is stopped"


class ToolInputInvalid(ToolError):
    code = "tool_input_invalid"
    status = 422
    exit_code = 3
    title = "The arguments do not fit the tool's schema"


class ToolMemoryExceeded(ToolError):
    code = "tool_memory_exceeded"
    title = "The tool wanted more memory than allowed"


class ToolFuelExhausted(ToolError):
    code = "tool_fuel_exhausted"
    title = "The tool used more CPU than allowed"


class ToolTimeout(ToolError):
    code = "tool_timeout"
    status = 504
    title = "The tool ran longer than allowed"


class ToolMessageTooLarge(ToolError):
    code = "tool_message_too_large"
    title = "The tool's arguments or result are larger than allowed"


class ToolTrapped(ToolError):
    code = "tool_trapped"
    title = "The tool crashed in its sandbox"


class ToolAnswerInvalid(ToolError):
    code = "tool_answer_invalid"
    title = "The tool's answer is not a valid MCP result"


class InvalidModule(CaxtonError):
    code = "invalid_module"
    status = 422
    exit_code = 3
    title = "The file is not a WebAssembly module that Caxton can run as a tool"


# --- the machine -----------------------------------------------------------------------------------------------------


class EngineUnavailable(CaxtonError):
    code = "engine_unavailable"
    status = 503
    exit_code = 5
    retryable = True
    title = "The workflow engine does not answer"


class EngineMissing(CaxtonError):
    code = "engine_missing"
    status = 503
    exit_code = 5
    title = "No workflow engine was found"


class StoreUnavailable(CaxtonError):
    code = "store_unavailable"
    status = 503
    exit_code = 5
    retryable = True
    title = "The database cannot be used"


class MemoryUnavailable(CaxtonError):
    """The memory cannot be read or written. Agents go on without it and say so."""

    code = "memory_unavailable"
    status = 503
    exit_code = 5
    retryable = True
    title = "The memory cannot be reached"


class DiskFull(CaxtonError):
    code = "disk_full"
    status = 507
    exit_code = 5
    retryable = True
    title = "The disk is full"


class PortInUse(CaxtonError):
    code = "port_in_use"
    status = 500
    exit_code = 5
    title = "Another program uses the port"


class DataFolderNotWritable(CaxtonError):
    code = "data_folder_not_writable"
    status = 500
    exit_code = 5
    title = "The data folder cannot be written"


class DataFolderInUse(CaxtonError):
    code = "data_folder_in_use"
    status = 500
    exit_code = 7
    title = "Another server runs on the data folder"


class StartFailed(CaxtonError):
    code = "start_failed"
    status = 500
    exit_code = 5
    title = "The server could not start"


class ServerUnreachable(CaxtonError):
    code = "server_unreachable"
    status = 503
    exit_code = 5
    retryable = True
    title = "The Caxton server does not answer"


class UsageError(CaxtonError):
    code = "usage"
    status = 400
    exit_code = 2
    title = "The command was not understood"
