"""The workflow engine, as use cases see it: typed failures, and patience while the engine restarts."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from temporalio.client import (
    Client,
    WorkflowFailureError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from caxton.domain.errors import CaxtonError, EngineUnavailable
from caxton.workflows.failures import report_of

T = TypeVar("T")

PATIENCE = 30.0
"""Seconds that a request waits for an engine that restarts (after `kill -9` it is back in 1 to 4 s)."""

PASSING = (
    RPCStatusCode.UNAVAILABLE,
    RPCStatusCode.DEADLINE_EXCEEDED,
    RPCStatusCode.CANCELLED,
    RPCStatusCode.ABORTED,
    RPCStatusCode.INTERNAL,
    RPCStatusCode.UNKNOWN,
    RPCStatusCode.RESOURCE_EXHAUSTED,
)
"""What an engine answers while it stops, starts or is overrun; none of it says that the call was refused."""


class WorkflowMissingError(Exception):
    """There is no running workflow of that id."""


class Engine:
    """Calls the Temporal client."""

    def __init__(self, client: Client, task_queue: str) -> None:
        """Use `client`; workflows run on `task_queue`."""
        self.client = client
        self.task_queue = task_queue

    async def call(self, operation: Callable[[], Awaitable[T]], *, patience: float = PATIENCE) -> T:
        """Runs `operation`, again while the engine is away; it must be safe to repeat.

        Raises:
            EngineUnavailable: the engine stayed away for `patience` seconds.
            WorkflowMissingError: the workflow has ended or never was.
            WorkflowAlreadyStartedError: as Temporal raises it.
            CaxtonError: the workflow refused, or failed, with that error.
        """
        deadline = time.monotonic() + patience
        wait = 0.05
        while True:
            try:
                return await operation()
            except WorkflowAlreadyStartedError:
                raise
            except (WorkflowUpdateFailedError, WorkflowFailureError) as error:
                raise translate(error) from error
            except WorkflowUpdateRPCTimeoutOrCancelledError as error:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise asyncio.CancelledError from error  # Temporal's client makes an ordinary exception of it
                if time.monotonic() + wait > deadline:
                    raise _away(str(error)) from error
            except RPCError as error:
                if error.status is RPCStatusCode.NOT_FOUND:
                    raise WorkflowMissingError from error
                if error.status not in PASSING or time.monotonic() + wait > deadline:
                    raise _away(f"{error.status.name}: {error.message}") from error
            await asyncio.sleep(wait)
            wait = min(wait * 1.6, 1.0)


def _away(reason: str) -> EngineUnavailable:
    return EngineUnavailable(
        "the workflow engine does not answer",
        "try again in a moment; what was accepted is not lost",
        reason=reason[:300],
        retry_after=2.0,
    )


def translate(error: WorkflowUpdateFailedError | WorkflowFailureError) -> CaxtonError:
    """The error that a workflow's failure carries."""
    cause = error.cause
    if isinstance(cause, ApplicationError) and cause.type == "AcceptedUpdateCompletedWorkflow":
        raise WorkflowMissingError from error
    return CaxtonError.from_report(report_of(cause))
