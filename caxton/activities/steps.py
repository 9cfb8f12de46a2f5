"""The activities of a conversation's workflow: its turns, and their steps."""

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from typing import TypeVar
from weakref import WeakValueDictionary

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from caxton.activities.heartbeats import with_heartbeats
from caxton.domain.executions import NextTurn, Queue, StepDone, StepInput, StepKind, cancellation_of
from caxton.domain.flow import PlaceLost
from caxton.domain.ports import StreamEvent
from caxton.turns import perform
from caxton.turns.perform import TryAgainError
from caxton.turns.step import Attempt, StepPorts
from caxton.workflows.conversation import REFUSE_WAITING
from caxton.workflows.policies import STEP_POLICIES
from caxton.workflows.steps import (
    CALL_MODEL,
    CALL_TOOL,
    CLOSE_EXECUTION,
    NEXT_TURN,
    OPEN_EXECUTION,
    RUN_STEP,
    WORKER_STOPS,
)

T = TypeVar("T")


class StepActivities:
    """Does turns and their steps."""

    def __init__(self, ports: StepPorts) -> None:
        """Work through `ports`."""
        self.ports = ports
        self._at_work = WeakValueDictionary[tuple[str, int, int], asyncio.Lock]()

    @activity.defn(name=NEXT_TURN)
    async def next_turn(self, queue: Queue) -> NextTurn | None:
        """Begins the conversation's next turn."""
        return await _tried(perform.next_turn(self.ports, queue, _attempt(StepKind.OPEN)))

    @activity.defn(name=REFUSE_WAITING)
    async def refuse_waiting(self, queue: Queue, cancelled: bool) -> int:
        """Ends what a conversation that ends has in progress. Returns how many turns have begun and have to be finished."""
        return await perform.refuse_waiting(self.ports, queue, cancelled=cancelled)

    @activity.defn(name=OPEN_EXECUTION)
    async def open_execution(self, step: StepInput) -> StepDone:
        """Begins an execution below another one."""
        return await _tried(perform.open_child(self.ports, step, _attempt(step.kind)))

    @activity.defn(name=CLOSE_EXECUTION)
    async def close_execution(self, step: StepInput) -> StepDone:
        """Ends an execution with a failure."""
        return await perform.close(self.ports, step)

    @activity.defn(name=RUN_STEP)
    async def run_step(self, step: StepInput) -> StepDone:
        """Does a short step."""
        return await self._one_at_a_time(step, _attempt(step.kind))

    @activity.defn(name=CALL_MODEL)
    async def call_model(self, step: StepInput) -> StepDone:
        """Calls a model over the network."""
        return await self._call(step)

    @activity.defn(name=CALL_TOOL)
    async def call_tool(self, step: StepInput) -> StepDone:
        """Calls a tool that may take long or use the network."""
        return await self._call(step)

    async def _call(self, step: StepInput) -> StepDone:
        work = self._one_at_a_time(step, _attempt(step.kind))
        try:
            return await with_heartbeats(self._unless_cancelled(step, work))
        except PlaceLost:
            raise ApplicationError("the call lost its place", type=WORKER_STOPS, non_retryable=True) from None
        except asyncio.CancelledError:
            if not activity.is_worker_shutdown():
                raise
            # No attempt of the step's: the workflow has it begun again by another worker.
            raise ApplicationError("the worker stops", type=WORKER_STOPS, non_retryable=True) from None

    async def _one_at_a_time(self, step: StepInput, attempt: Attempt) -> StepDone:
        """Does a step once no other attempt of it is at work in this process, which may just be recording it.

        After a restart there may be two: the one that the dead worker left in the queue, and the one that began again.
        """
        key = (step.execution_id, step.step, step.call)
        lock = self._at_work.setdefault(key, asyncio.Lock())
        async with lock:
            return await _tried(perform.perform(self.ports, step, attempt))

    async def _unless_cancelled(self, step: StepInput, work: Awaitable[StepDone]) -> StepDone:
        """Awaits `work`; where its turn is cancelled meanwhile, the call is given up at once, and its execution ends."""
        task, told = asyncio.ensure_future(work), False

        def hear(_event: StreamEvent) -> None:
            nonlocal told
            told = True
            task.cancel()

        unsubscribe = self.ports.stream.subscribe(cancellation_of(step.root_id), hear, only_end=True)
        try:
            return await task
        except asyncio.CancelledError:
            if not told or activity.is_cancelled() or activity.is_worker_shutdown():
                raise
            return await perform.cancel(self.ports, step)
        finally:
            unsubscribe()
            if not task.done():
                task.cancel()


def _attempt(kind: StepKind) -> Attempt:
    number, policy = activity.info().attempt, STEP_POLICIES[kind]
    return Attempt(number, policy.attempts, policy.wait(number).total_seconds(), policy.largest_wait.total_seconds())


async def _tried(work: Awaitable[T]) -> T:
    try:
        return await work
    except TryAgainError as error:
        # Only the code: what the failure says is not for the engine's history.
        raise ApplicationError(
            error.code,
            type=error.code,
            category=ApplicationErrorCategory.BENIGN,  # expected: no line in the worker's log
            next_retry_delay=None if error.after is None else timedelta(seconds=error.after),
        ) from None
