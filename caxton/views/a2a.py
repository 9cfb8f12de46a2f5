"""Tasks as the A2A protocol (https://a2a-protocol.org, version 1.0) names their states."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from caxton.domain.errors import (
    ApprovalRejected,
    ErrorReport,
    ExecutionCancelled,
    ExecutionInterrupted,
    ExecutionReplaced,
)
from caxton.domain.executions import Execution, ExecutionState
from caxton.domain.governance import Approval, ApprovalState

EXTENSION: Final = "urn:caxton:a2a:durable:1"
"""Caxton's extension: events are numbered and can be replayed, a message that is sent again is answered once."""


class TaskState(StrEnum):
    """States of a task."""

    SUBMITTED = "TASK_STATE_SUBMITTED"
    WORKING = "TASK_STATE_WORKING"
    COMPLETED = "TASK_STATE_COMPLETED"
    FAILED = "TASK_STATE_FAILED"
    CANCELED = "TASK_STATE_CANCELED"
    INPUT_REQUIRED = "TASK_STATE_INPUT_REQUIRED"
    """A person has to decide."""
    REJECTED = "TASK_STATE_REJECTED"
    """A person has refused."""
    AUTH_REQUIRED = "TASK_STATE_AUTH_REQUIRED"
    """Never Caxton's own, but remote agents have it."""


TERMINAL: Final = frozenset({TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELED, TaskState.REJECTED})
INTERRUPTED: Final = frozenset({TaskState.INPUT_REQUIRED, TaskState.AUTH_REQUIRED})

CANCELED_CODES: Final = frozenset(each.code for each in (ExecutionCancelled, ExecutionInterrupted, ExecutionReplaced))
REJECTED_CODES: Final = frozenset({ApprovalRejected.code})
"""Errors of turns that are not failures of the agent."""


def state_of(execution: Execution, waits_for: Approval | None) -> TaskState:
    """The state of the task that a turn's root execution is.

    Args:
        execution: the root.
        waits_for: the approval that the turn waits for.
    """
    if execution.state is ExecutionState.COMPLETED:
        return TaskState.COMPLETED
    if execution.state is ExecutionState.FAILED:
        return _failed(execution.error)
    return TaskState.WORKING if waits_for is None else TaskState.INPUT_REQUIRED


def _failed(error: ErrorReport | None) -> TaskState:
    code = error.code if error is not None else ""
    if code in CANCELED_CODES:
        return TaskState.CANCELED
    return TaskState.REJECTED if code in REJECTED_CODES else TaskState.FAILED


def since(execution: Execution, waits_for: Approval | None) -> datetime:
    """Since when the task is in its state."""
    if execution.finished_at is not None:
        return execution.finished_at
    return execution.started_at if waits_for is None else waits_for.requested_at


def first_pending(approvals: list[Approval]) -> Approval | None:
    """The approval that a turn waits for, of all that it has asked for."""
    return next((each for each in approvals if each.state is ApprovalState.PENDING), None)


def timestamp(moment: datetime) -> str:
    """A time as A2A writes it: UTC, in milliseconds."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def status_update(execution_id: str, conversation_id: str, status: dict[str, Any]) -> dict[str, Any]:
    """The event that tells a new status."""
    return {"statusUpdate": {"taskId": execution_id, "contextId": conversation_id, "status": status}}
