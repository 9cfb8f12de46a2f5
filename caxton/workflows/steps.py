"""Runs the steps of turns: fast ones together as one local activity, slow ones as activities of their own.

Whatever turns of one workflow want done at the same moment travels in one batch, so the cost of a step falls as load
rises (docs/architecture.md, "Natural batching").
"""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, TimeoutType, is_cancelled_exception
from temporalio.exceptions import TimeoutError as TemporalTimeoutError
from temporalio.workflow import ActivityCancellationType

from caxton.domain.errors import ErrorReport
from caxton.domain.executions import StepInput, StepKind, StepResult
from caxton.workflows.failures import report_of
from caxton.workflows.policies import (
    FAST_BATCH_TIMEOUT,
    HEARTBEAT_TIMEOUT,
    RECORDS_RETRY,
    STEP_POLICIES,
)

RUN_FAST_STEPS = "run_fast_steps"
OPEN_TURNS = "open_turns"
CALL_MODEL = "call_model"
CALL_TOOL = "call_tool"

BATCH_STEPS = 200
"""Steps in one batch at the most, so that history stays far below its limit of 2 MB a payload."""

CONCURRENT_BATCHES = 4
"""Batches of one workflow under way at once: a batch that takes long does not hold up the next."""


WORKER_STOPS = "worker_stops"
"""Type of the failure by which a stopping worker gives a step back."""

WORKERS_LOST = 50
"""How often a step is begun again because its worker died, over and above the attempts that its policy allows."""


class WorkerLostError(Exception):
    """Nothing was heard any more of the worker that had the step in hand."""


class NeedsOwnWorkflowError(Exception):
    """A turn reached a slow step in a workflow that only does fast ones."""


class StepRunner:
    """Does steps for all turns of one workflow."""

    def __init__(self, *, fast_only: bool = False) -> None:
        """Create the runner; with `fast_only` a slow step raises :class:`NeedsOwnWorkflowError`."""
        self.fast_only = fast_only
        self._waiting: list[tuple[StepInput, asyncio.Future[StepResult]]] = []
        self._batches = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, step: StepInput, *, fast: bool) -> StepResult:
        """Does a step, again as often as its policy allows while it fails in a way that may pass.

        Raises:
            NeedsOwnWorkflowError: the step is slow and this workflow does only fast ones.
        """
        if not fast:
            if self.fast_only:
                raise NeedsOwnWorkflowError
            return await self._run_alone(step)
        policy = STEP_POLICIES[step.kind]
        attempt = 1
        while True:
            result = await self._run_in_batch(step)
            if result.error is None or not result.error.retryable or attempt >= policy.attempts:
                return result
            wait = policy.wait(attempt)
            if result.error.retry_after is not None:
                wait = timedelta(seconds=result.error.retry_after)
            if wait:
                await workflow.sleep(wait)
            attempt += 1

    async def open_together(self, openings: list[StepInput]) -> list[StepResult]:
        """Does first steps as one batch, without a task for each: their results, also of those that may be tried again.

        The batch has to be small enough for one activity (:data:`BATCH_STEPS`).
        """
        return await self._send(openings, OPEN_TURNS)

    async def _run_in_batch(self, step: StepInput) -> StepResult:
        done: asyncio.Future[StepResult] = asyncio.get_running_loop().create_future()
        self._waiting.append((step, done))
        if self._batches < CONCURRENT_BATCHES:
            self._batches += 1
            # The new task runs after all turns that are ready now, so it finds the steps of all of them.
            task = asyncio.create_task(self._send_batches())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await done

    async def _send_batches(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:BATCH_STEPS], self._waiting[BATCH_STEPS:]
                try:
                    results = await self._send([step for step, _ in batch])
                except BaseException as error:
                    for _, done in batch:
                        if not done.done():
                            done.set_exception(error)
                    raise
                for (_, done), result in zip(batch, results, strict=True):
                    if not done.done():
                        done.set_result(result)
        finally:
            self._batches -= 1

    async def _send(self, batch: list[StepInput], name: str = RUN_FAST_STEPS) -> list[StepResult]:
        return await workflow.execute_local_activity(
            name,
            batch,
            result_type=list[StepResult],
            start_to_close_timeout=FAST_BATCH_TIMEOUT,
            retry_policy=RECORDS_RETRY,
            summary=_batch_summary(batch),
        )

    async def _run_alone(self, step: StepInput) -> StepResult:
        # A worker that dies is nobody's failed attempt: what it had in hand is begun again, however often that happens.
        for _ in range(WORKERS_LOST):
            try:
                return await self._attempt(step)
            except WorkerLostError:
                workflow.logger.info("a worker was lost; its step is begun again")
        return StepResult(error=ErrorReport(code="internal", message="workers died again and again at this step"))

    async def _attempt(self, step: StepInput) -> StepResult:
        plan = step.plan
        timeout = plan.model_timeout + 30 if plan and step.kind is StepKind.MODEL else 630
        try:
            return await workflow.execute_activity(
                CALL_MODEL if step.kind is StepKind.MODEL else CALL_TOOL,
                step,
                result_type=StepResult,
                start_to_close_timeout=timedelta(seconds=timeout),
                schedule_to_close_timeout=timedelta(seconds=max(plan.max_time, timeout)) if plan else None,
                heartbeat_timeout=HEARTBEAT_TIMEOUT,
                retry_policy=STEP_POLICIES[step.kind].retry_policy(),
                cancellation_type=_cancellation(step),
                summary=_summary(step),
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise asyncio.CancelledError from error
            if _worker_was_lost(error):
                raise WorkerLostError from error
            return StepResult(error=report_of(error))


def _worker_was_lost(error: ActivityError) -> bool:
    cause = error.cause
    if isinstance(cause, ApplicationError):
        return cause.type == WORKER_STOPS
    return isinstance(cause, TemporalTimeoutError) and cause.type is TimeoutType.HEARTBEAT


def _cancellation(step: StepInput) -> ActivityCancellationType:
    """A model call is given up at once: it changes nothing. A tool call is waited for, to record what it did."""
    if step.kind is StepKind.MODEL:
        return ActivityCancellationType.TRY_CANCEL
    return ActivityCancellationType.WAIT_CANCELLATION_COMPLETED


def _summary(step: StepInput) -> str:
    agent = step.plan.agent if step.plan else step.request and str(step.request.target)
    what = f"{step.kind} {step.step}" + (f".{step.call}" if step.call else "")
    return f"{agent or 'hand-over'}: {what}"


def _batch_summary(batch: list[StepInput]) -> str:
    return _summary(batch[0]) if len(batch) == 1 else f"{len(batch)} steps"
