"""Has activities do the steps of turns: short ones as local activities, calls over the network as activities of their own."""

import asyncio
import contextlib
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, TimeoutType, is_cancelled_exception
from temporalio.exceptions import TimeoutError as TemporalTimeoutError
from temporalio.workflow import ActivityCancellationType

from caxton.domain.executions import NextTurn, Queue, StepDone, StepInput, StepKind
from caxton.workflows.clock import TurnClock
from caxton.workflows.policies import (
    CALL_GRACE,
    HEARTBEAT_TIMEOUT,
    LONGEST_TOOL_CALL,
    QUEUED_AGAIN,
    SHORT_STEP_TIMEOUT,
    STEP_POLICIES,
    WORKERS_LOST,
)

NEXT_TURN = "next_turn"
OPEN_EXECUTION = "open_execution"
RUN_STEP = "run_step"
CLOSE_EXECUTION = "close_execution"
CALL_MODEL = "call_model"
CALL_TOOL = "call_tool"

Called = tuple[str, int, int]
"""Execution, step and call."""

WORKER_STOPS = "worker_stops"
"""Type of the failure by which a stopping worker gives a call back."""


class CallLostError(Exception):
    """A call came to no end that a step could record: workers died at it again and again, or it hung."""


class StepRunner:
    """Does steps for the turns of one workflow."""

    def __init__(self) -> None:
        """Create the runner."""
        self._restarts = 0
        self._told: set[Called] = set()
        """Calls of which it has been said that it is their turn."""

    def workers_restarted(self) -> None:
        """The workers of this workflow are gone, and others are there: what those had in progress is begun again at once."""
        self._restarts += 1

    def call_admitted(self, execution_id: str, step: int, call: int) -> None:
        """It is the turn of a call that has queued."""
        self._told.add((execution_id, step, call))

    async def next_turn(self, queue: Queue) -> NextTurn | None:
        """The conversation's next turn, begun; None if it has none in progress."""
        return await workflow.execute_local_activity(
            NEXT_TURN,
            queue,
            result_type=NextTurn | None,  # type: ignore[arg-type] # the SDK takes it, its stubs do not
            start_to_close_timeout=SHORT_STEP_TIMEOUT,
            retry_policy=STEP_POLICIES[StepKind.OPEN].retry_policy(),
            summary="next turn",
        )

    async def begin(self, step: StepInput) -> StepDone:
        """Opens an execution below another one."""
        return await self._short(OPEN_EXECUTION, step)

    async def close(self, step: StepInput) -> StepDone:
        """Ends an execution with a failure."""
        return await self._short(CLOSE_EXECUTION, step)

    async def run(self, step: StepInput, *, fast: bool, clock: TurnClock | None = None) -> StepDone:
        """Does a step. While a call waits until it is its turn, `clock` stands still.

        Raises:
            CallLostError: a call came to no end.
        """
        return await (self._short(RUN_STEP, step) if fast else self._call(step, clock))

    async def _short(self, name: str, step: StepInput) -> StepDone:
        try:
            return await workflow.execute_local_activity(
                name,
                step,
                result_type=StepDone,
                start_to_close_timeout=SHORT_STEP_TIMEOUT,
                retry_policy=STEP_POLICIES[step.kind].retry_policy(),
                summary=_summary(step),
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise asyncio.CancelledError from error
            raise CallLostError(_kind(error)) from error

    async def _call(self, step: StepInput, clock: TurnClock | None) -> StepDone:
        # A worker that dies is nobody's failed attempt: what it had in progress is begun again, however often that happens.
        lost = 0
        while lost < WORKERS_LOST:
            done = await self._attempt(step)
            if done is None:
                lost += 1
                workflow.logger.info("a worker was lost; its call is begun again")
                continue
            if clock is not None:
                clock.leave_out(done.waited)
            if done.queued:
                await self._wait_for_turn(step, clock)
            else:
                return done
        raise CallLostError("worker_lost")

    async def _wait_for_turn(self, step: StepInput, clock: TurnClock | None) -> None:
        """Waits until somebody says that it is the call's turn. The store knows; the time is for news that got lost."""
        key, restarts = (step.execution_id, step.step, step.call), self._restarts
        if clock is not None:
            clock.pause()
        try:
            with contextlib.suppress(TimeoutError):
                await workflow.wait_condition(
                    lambda: key in self._told or self._restarts != restarts,
                    timeout=QUEUED_AGAIN,
                    timeout_summary=f"queued: {_summary(step)}",
                )
        finally:
            self._told.discard(key)
            if clock is not None:
                clock.resume()

    async def _attempt(self, step: StepInput) -> StepDone | None:
        """Makes a call, as often as its policy allows; None if the worker that made it is gone."""
        restarts = self._restarts
        timeout = LONGEST_TOOL_CALL
        if step.plan is not None and step.kind is StepKind.MODEL:
            timeout = step.plan.model_timeout + CALL_GRACE
        total = timeout if step.time_left is None else max(step.time_left, 0.0) + CALL_GRACE
        call = workflow.start_activity(
            CALL_MODEL if step.kind is StepKind.MODEL else CALL_TOOL,
            step,
            result_type=StepDone,
            start_to_close_timeout=timedelta(seconds=timeout),
            schedule_to_close_timeout=timedelta(seconds=max(total, timeout)),
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=STEP_POLICIES[step.kind].retry_policy(),
            cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=_summary(step),
        )
        try:
            await workflow.wait_condition(lambda: call.done() or self._restarts != restarts)
        except asyncio.CancelledError:
            _let_go(call)
            if step.kind is StepKind.TOOL:  # it is waited for, to record what it did
                with contextlib.suppress(ActivityError):
                    await call
            raise
        if not call.done():
            _let_go(call)  # so that the engine does not begin it again as well
            return None
        try:
            return await call
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise asyncio.CancelledError from error
            if _worker_was_lost(error):
                return None
            raise CallLostError(_kind(error)) from error


def _let_go(call: "workflow.ActivityHandle[StepDone]") -> None:
    """Cancels a call for whose end nobody waits; how it ends is looked at, or the log would have it as an error."""
    call.cancel()
    call.add_done_callback(lambda done: None if done.cancelled() else done.exception())


def _worker_was_lost(error: ActivityError) -> bool:
    cause = error.cause
    if isinstance(cause, ApplicationError):
        return cause.type == WORKER_STOPS
    return isinstance(cause, TemporalTimeoutError) and cause.type is TimeoutType.HEARTBEAT


def _kind(error: ActivityError) -> str:
    cause = error.cause
    return (cause.type if isinstance(cause, ApplicationError) else None) or type(cause).__name__


def _summary(step: StepInput) -> str:
    what = f"{step.kind} {step.step}" + (f".{step.call}" if step.call else "")
    return f"{step.plan.agent if step.plan else 'hand-over'}: {what}"
