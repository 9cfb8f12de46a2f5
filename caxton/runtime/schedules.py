"""What runs by the clock: Temporal schedules, made once and found again by their ids."""

import asyncio
import logging
from datetime import timedelta

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleCalendarSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
)
from temporalio.service import RPCError

from caxton.workflows.retention import MemoryRetentionWorkflow, RetentionInput

RETENTION_HOUR = 3
"""UTC."""


log = logging.getLogger(__name__)

AGAIN_AFTER = 30.0
"""Seconds, when the engine is away."""


async def keep_schedules(client: Client, task_queue: str) -> None:
    """Makes the schedules as soon as the engine lets it."""
    while True:
        try:
            return await ensure_schedules(client, task_queue)
        except RPCError as error:
            log.warning("schedules could not be made yet", extra={"status": error.status.name})
            await asyncio.sleep(AGAIN_AFTER)


async def ensure_schedules(client: Client, task_queue: str) -> None:
    """Makes the schedules that are not there yet; one that an operator changed stays as it is."""
    schedule = Schedule(
        action=ScheduleActionStartWorkflow(
            MemoryRetentionWorkflow.run,
            RetentionInput(),
            id=f"memory-retention/{task_queue}",
            task_queue=task_queue,
            execution_timeout=timedelta(hours=20),
            static_summary="memories that are no longer to be remembered",
        ),
        spec=ScheduleSpec(
            calendars=[ScheduleCalendarSpec(hour=[ScheduleRange(RETENTION_HOUR)], minute=[ScheduleRange(17)])],
            jitter=timedelta(minutes=10),
        ),
        # A server that was off at that hour does it when it is back.
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=timedelta(days=1)),
    )
    try:
        await client.create_schedule(retention_schedule_id(task_queue), schedule)
    except ScheduleAlreadyRunningError:
        return


def retention_schedule_id(task_queue: str) -> str:
    """The id of the schedule of memory's retention."""
    return f"{task_queue}-memory-retention"
