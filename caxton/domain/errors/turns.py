"""A turn that cannot be finished."""

from caxton.domain.errors.base import CaxtonError


class ExecutionFailed(CaxtonError):
    code = "execution_failed"
    status = 502
    exit_code = 8
    title = "The agent could not finish its work"


class ExecutionCancelled(ExecutionFailed):
    code = "execution_cancelled"
    status = 409
    title = "The work was cancelled"


class ExecutionInterrupted(ExecutionCancelled):
    code = "execution_interrupted"
    title = "Another message interrupted the work"


class ExecutionReplaced(ExecutionCancelled):
    code = "execution_replaced"
    title = "Another message replaced this one"


class RecordDeleted(CaxtonError):
    """It is needed to go on, and was deleted by hand or by retention."""

    code = "record_deleted"
    status = 410
    exit_code = 4
    title = "What was recorded has been deleted"


class ChannelFailed(CaxtonError):
    """Or it is not configured: another attempt would not help."""

    code = "channel_failed"
    status = 502
    exit_code = 5
    title = "A channel refused a notice"


class ChannelUnreachable(ChannelFailed):
    """It did not answer, or said that it cannot now."""

    code = "channel_unreachable"
    title = "A channel did not take a notice"
    retryable = True


class ApprovalRejected(ExecutionFailed):
    code = "approval_rejected"
    title = "A person refused the action"


class ApprovalTimedOut(ExecutionFailed):
    code = "approval_timeout"
    title = "Nobody decided on the action in time"


class ReplyPending(CaxtonError):
    """The work goes on, or waits for a person; `details` has `execution_id`, `response_id` and, for a person, `approval_id`."""

    code = "reply_pending"
    status = 409
    exit_code = 5
    title = "The reply is not there yet"


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


class StepTimedOut(ExecutionFailed):
    """The workflow engine gave it up: its own limits and the agent's were over."""

    code = "step_timed_out"
    status = 504
    title = "A step of the work took longer than it may"


class TimeLimitReached(LimitReached):
    code = "time_limit_reached"
    status = 504
    title = "The turn took longer than allowed"
