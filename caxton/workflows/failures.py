"""Errors across Temporal: a :class:`CaxtonError` travels as an application error that carries its report."""

from datetime import timedelta

from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    ApplicationErrorCategory,
    ChildWorkflowError,
    FailureError,
)
from temporalio.exceptions import TimeoutError as TemporalTimeoutError

from caxton.domain.errors import CaxtonError, ErrorReport, StepTimedOut


def to_failure(error: CaxtonError | ErrorReport) -> ApplicationError:
    """The failure that stands for `error` in workflow history."""
    report = error.report() if isinstance(error, CaxtonError) else error
    return ApplicationError(
        report.message,
        report.model_dump(mode="json", exclude_none=True),
        type=report.code,
        non_retryable=not report.retryable,
        category=ApplicationErrorCategory.BENIGN,  # expected: no line in the worker's log
        next_retry_delay=None if report.retry_after is None else timedelta(seconds=report.retry_after),
    )


def report_of(error: BaseException) -> ErrorReport:
    """The report that a failure carries; a general one for failures that carry none."""
    cause: BaseException | None = error
    while isinstance(cause, ActivityError | ChildWorkflowError) and cause.cause is not None:
        cause = cause.cause
    if isinstance(cause, CaxtonError):
        return cause.report()
    if isinstance(cause, ApplicationError) and cause.details:
        return ErrorReport.model_validate(cause.details[0])
    if isinstance(cause, TemporalTimeoutError):
        return StepTimedOut(
            "a step of the work took longer than it may, or found no worker in time",
            "raise `timeout` in [model_settings] or `time` in [limits] of the agent, or start more workers",
            reason=f"{cause.type.name if cause.type else 'TIMEOUT'}: {cause}"[:500],
        ).report()
    kind = cause.type if isinstance(cause, ApplicationError) else type(cause).__name__
    text = str(cause) if isinstance(cause, FailureError) else type(cause).__name__
    return ErrorReport(code="internal", message="something went wrong inside Caxton", reason=f"{kind}: {text}"[:500])
