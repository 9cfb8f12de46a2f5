"""Whose fault a failure is: what counts against an agent, a tool or a provider of models, and what does not.

What a caller can bring about does not: what a request says, budgets, limits, cancellations, decisions of people. Else anybody who
may ask could have an agent taken out of service.
"""

from caxton.domain.costly_work import STOPPED
from caxton.domain.errors import (
    CAUSE,
    ApprovalRejected,
    ApprovalTimedOut,
    CaxtonError,
    CircuitBreakerOpen,
    ErrorReport,
    ExecutionCancelled,
    ExecutionFailed,
    LimitReached,
    ModelAnswerCut,
    ModelBreakerOpen,
    ModelInputUnsupported,
    ModelRateLimited,
    ModelRefusedRequest,
    ModelTimeout,
    ModelUnavailable,
    NoScriptRule,
    ToolAnswerInvalid,
    ToolError,
    ToolFuelExhausted,
    ToolMemoryExceeded,
    ToolMessageTooLarge,
    ToolTimeout,
    ToolTrapped,
    ToolUnreachable,
    error_classes,
)
from caxton.domain.refusals import Refusals

NOT_ITS_OWN = (
    ExecutionCancelled,
    ApprovalRejected,
    ApprovalTimedOut,
    LimitReached,
    ModelAnswerCut,
    ModelInputUnsupported,
    NoScriptRule,
    ToolError,
)

OF_CONFIGURATION = (401, 402, 403, 404)
"""HTTP statuses by which a provider refuses whatever an agent asks: its key, credit, rights, or the name of the model."""

OF_THE_ACCOUNT = (401, 402)
"""Those by which it refuses whatever anybody asks."""


def is_agents_fault(report: ErrorReport) -> bool:
    """Whether a failed turn counts against its agent."""
    error = CaxtonError.from_report(report)
    if isinstance(error, ModelRefusedRequest):
        return error.details.get("status") in OF_CONFIGURATION
    if isinstance(error, NOT_ITS_OWN) or CAUSE in error.details or STOPPED in error.details:
        return False
    return isinstance(error, ExecutionFailed) or type(error) is CaxtonError


BEYOND_ITS_REACH = frozenset(
    error.code
    for error in error_classes().values()
    if issubclass(error, ModelUnavailable | ModelTimeout | ModelRateLimited | CircuitBreakerOpen)
)
"""Failures of a turn that no restart of its agent mends: its provider is away, or other agents are."""


def is_beyond_its_reach(code: str | None) -> bool:
    """Whether a restart of an agent cannot mend what its last turn failed with."""
    return code in BEYOND_ITS_REACH


def is_providers_fault(error: BaseException) -> bool:
    """Whether a failed call counts against the provider of its model. A rate limit is no failure."""
    if isinstance(error, ModelRefusedRequest):
        return error.details.get("status") in OF_THE_ACCOUNT
    return isinstance(error, ModelUnavailable | ModelTimeout) and not isinstance(error, ModelBreakerOpen)


VIOLATIONS = (ToolMemoryExceeded, ToolFuelExhausted, ToolTimeout, ToolMessageTooLarge)
"""A limit of its own manifest that a tool reached."""


def violation(error: ToolError | None, refused: Refusals, *, own_time: bool = True) -> str | None:
    """Why a call counts towards its tool's quarantine, as an error code; None if it does not.

    Args:
        error: how it failed.
        refused: what it asked for and may not have. What its manifest names and nobody has granted is no violation.
        own_time: whether it had all the time that its manifest gives it.
    """
    if isinstance(error, ToolTimeout) and not own_time:
        return None
    if isinstance(error, VIOLATIONS) and error.details.get("message") != "arguments":
        return error.code
    return "not_permitted" if any(each.why in ("not_requested", "never") for each in refused.told) else None


def is_tools_fault(error: BaseException, *, own_time: bool = True) -> bool:
    """Whether a failed call counts against its tool; `own_time`: it had all the time that its manifest gives it."""
    return isinstance(error, ToolTrapped | ToolAnswerInvalid | ToolUnreachable) or (
        own_time and isinstance(error, ToolTimeout)
    )
