"""The activities that do steps: a batch of fast ones, or one slow one."""

import asyncio
from collections.abc import Awaitable, Callable

from temporalio import activity
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from caxton.activities.batch import do_steps, do_steps_as_json
from caxton.activities.step import StepPorts
from caxton.domain.executions import StepInput, StepResult
from caxton.workflows.failures import to_failure
from caxton.workflows.policies import HEARTBEAT_EVERY
from caxton.workflows.steps import CALL_MODEL, CALL_TOOL, OPEN_TURNS, RUN_FAST_STEPS, WORKER_STOPS

OpenTurns = Callable[[bytes], Awaitable[bytes | None]]
"""Does steps that open turns, as JSON: their results as JSON, or None when it cannot."""


class StepActivities:
    """Does steps of executions."""

    def __init__(self, ports: StepPorts, opener: OpenTurns | None = None) -> None:
        """Work through `ports`; `opener` does first steps, where it can."""
        self.ports = ports
        self.opener = opener

    @activity.defn(name=RUN_FAST_STEPS)
    async def run_fast_steps(self, batch: list[StepInput]) -> list[StepResult]:
        """Does all steps of the batch: one read transaction, the work side by side, one write transaction."""
        return await do_steps(self.ports, batch)

    @activity.defn(name=OPEN_TURNS)
    async def open_turns(self, batch: RawValue) -> RawValue:
        """Like :meth:`run_fast_steps`, for steps that open turns: elsewhere where that is possible."""
        done = await self.opener(batch.payload.data) if self.opener is not None else None
        if done is None:
            done = await do_steps_as_json(self.ports, batch.payload.data)
        return RawValue(Payload(metadata={"encoding": b"json/plain"}, data=done))

    @activity.defn(name=CALL_MODEL)
    async def call_model(self, step: StepInput) -> StepResult:
        """Calls a model over the network. Heartbeats say that the worker lives."""
        return await _alone(self.ports, step)

    @activity.defn(name=CALL_TOOL)
    async def call_tool(self, step: StepInput) -> StepResult:
        """Calls a tool that may take long or use the network."""
        return await _alone(self.ports, step)


async def _alone(ports: StepPorts, step: StepInput) -> StepResult:
    try:
        [result] = await with_heartbeats(do_steps(ports, [step]))
    except asyncio.CancelledError:
        if not activity.is_worker_shutdown():
            raise
        # No attempt of the step's: the workflow has it begun again by another worker.
        raise ApplicationError("the worker stops", type=WORKER_STOPS, non_retryable=True) from None
    if result.error is not None:
        raise to_failure(result.error)
    return result


async def with_heartbeats(work: Awaitable[list[StepResult]]) -> list[StepResult]:
    """Awaits `work`, and tells the engine meanwhile that it goes on."""

    async def beat() -> None:
        while True:
            activity.heartbeat()
            await asyncio.sleep(HEARTBEAT_EVERY)

    beating = asyncio.create_task(beat())
    try:
        return await work
    finally:
        beating.cancel()
