"""The engine's schedules: made, changed and removed after the store's, until both say the same."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.workflowservice.v1 import ListScheduleMatchingTimesRequest
from temporalio.client import (
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleBackfill,
    ScheduleDescription,
    ScheduleHandle,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleState,
    ScheduleUpdate,
    ScheduleUpdateInput,
)

from caxton.domain.errors import CaxtonError
from caxton.domain.ids import Scope
from caxton.domain.records import Records
from caxton.domain.schedules import DeployedSchedule
from caxton.service.engine import Engine, WorkflowMissingError
from caxton.workflows.names import schedule_id, scheduled_run_workflow_id, search_attributes
from caxton.workflows.policies import TASK_TIMEOUT
from caxton.workflows.schedule import ScheduledRunInput, ScheduledRunWorkflow

log = logging.getLogger(__name__)

POLL_INTERVAL = 2.0
"""Seconds between looks for schedules of which the engine has not been told."""

AT_A_TIME = 100

CONCURRENCY = 10
"""Schedules that are set in the engine at the same time."""

CALL_PATIENCE = 30.0
"""Seconds for which an engine that restarts is waited for."""


class ScheduleEngine:
    """Tells the engine of schedules. Every call may be repeated."""

    def __init__(self, records: Records, engine: Engine) -> None:
        """Bring schedules of `records` to `engine`."""
        self.records = records
        self.engine = engine

    async def apply_all(self, limit: int = AT_A_TIME) -> int:
        """Tells the engine of schedules of all customers that it does not know as they are. Returns how many there were.

        Raises:
            EngineUnavailable: the engine is away.
        """
        found = await self.records.read(lambda transaction: transaction.unapplied_schedules(limit))
        await self._apply(found)
        return len(found)

    async def apply(self, scope: Scope) -> None:
        """Likewise for the workspace `scope`.

        Raises:
            EngineUnavailable: the engine is away.
        """

        while found := await self.records.read(lambda transaction: transaction.unapplied_schedules(AT_A_TIME, scope)):
            await self._apply(found)

    async def _apply(self, found: list[DeployedSchedule]) -> None:
        slots = asyncio.Semaphore(CONCURRENCY)

        async def set_one(schedule: DeployedSchedule) -> None:
            async with slots:
                await (self._remove(schedule) if schedule.removed else self._set(schedule))
                await self.records.write(
                    lambda transaction: transaction.set_schedule_applied(schedule, schedule.revision)
                )

        await asyncio.gather(*(set_one(each) for each in found))

    async def keep_applied(self) -> None:
        """Tells the engine forever what it does not know, such as what a server that is gone was about to tell it."""
        checked = False
        while True:
            try:
                if not checked:
                    await self._look_for_lost()
                    checked = True
                while await self.apply_all() == AT_A_TIME:
                    pass
            except CaxtonError as error:
                log.warning("schedules wait for the engine: %s", error.message)
            except Exception as error:
                log.exception("setting schedules failed, and goes on", extra={"error": type(error).__name__})
            await asyncio.sleep(POLL_INTERVAL)

    async def _look_for_lost(self) -> None:
        """Finds schedules that the engine has forgotten, as one does whose database is new."""
        known = await self.records.read(lambda transaction: transaction.applied_schedules())
        if not known:
            return

        async def listed() -> set[str]:
            return {each.id async for each in await self.engine.client.list_schedules()}

        there = await self.engine.call(listed)
        lost = [each for each in known if schedule_id(each.scope, each.agent, each.name) not in there]
        for each in lost:
            await self.records.write(lambda transaction, lost=each: transaction.set_schedule_applied(lost, 0))

    async def describe(self, schedule: DeployedSchedule) -> ScheduleDescription | None:
        """The schedule as the engine has it; None where it has none."""
        try:
            return await self.engine.call(self._handle(schedule).describe, patience=CALL_PATIENCE)
        except WorkflowMissingError:
            return None

    async def due_times(self, schedule: DeployedSchedule, start: datetime, end: datetime) -> list[datetime]:
        """Due times from `start` to `end`; the engine gives 1,000 at most.

        Raises:
            WorkflowMissingError: the engine does not know the schedule.
        """
        client = self.engine.client
        request = ListScheduleMatchingTimesRequest(
            namespace=client.namespace,
            schedule_id=schedule_id(schedule.scope, schedule.agent, schedule.name),
            start_time=_timestamp(before(start)),
            end_time=_timestamp(end),
        )
        found = await self.engine.call(lambda: client.workflow_service.list_schedule_matching_times(request))
        return [each.ToDatetime(UTC) for each in found.start_time]

    async def backfill(self, schedule: DeployedSchedule, start: datetime, end: datetime) -> None:
        """Has the engine start what was due from `start` to `end`, one after another."""
        range_ = ScheduleBackfill(before(start), end, ScheduleOverlapPolicy.BUFFER_ALL)
        handle = self._handle(schedule)
        await self.engine.call(lambda: handle.backfill(range_))

    async def _set(self, schedule: DeployedSchedule) -> None:
        wanted = self._wanted(schedule)
        name = schedule_id(schedule.scope, schedule.agent, schedule.name)
        attributes = search_attributes(schedule.scope, agent=schedule.agent)

        async def create() -> None:
            try:
                await self.engine.client.create_schedule(name, wanted, search_attributes=attributes)
            except ScheduleAlreadyRunningError:
                await self._handle(schedule).update(update)

        async def update(_found: ScheduleUpdateInput) -> ScheduleUpdate:
            return ScheduleUpdate(schedule=wanted)

        await self.engine.call(create)

    async def _remove(self, schedule: DeployedSchedule) -> None:
        try:
            await self.engine.call(self._handle(schedule).delete)
        except WorkflowMissingError:
            return

    def _handle(self, schedule: DeployedSchedule) -> ScheduleHandle:
        return self.engine.client.get_schedule_handle(schedule_id(schedule.scope, schedule.agent, schedule.name))

    def _wanted(self, schedule: DeployedSchedule) -> Schedule:
        definition = schedule.definition
        jitter = timedelta(seconds=definition.jitter) if definition.jitter else None
        if definition.cron is not None:
            spec = ScheduleSpec(cron_expressions=[definition.cron], time_zone_name=definition.time_zone, jitter=jitter)
        else:
            every = ScheduleIntervalSpec(every=timedelta(seconds=definition.interval or 1))
            spec = ScheduleSpec(intervals=[every], jitter=jitter)
        return Schedule(
            action=ScheduleActionStartWorkflow(
                ScheduledRunWorkflow.run,
                ScheduledRunInput(scope=schedule.scope, agent=schedule.agent, schedule=schedule.name),
                id=scheduled_run_workflow_id(schedule.scope, schedule.agent, schedule.name),
                task_queue=self.engine.task_queue,
                task_timeout=TASK_TIMEOUT,
                typed_search_attributes=search_attributes(schedule.scope, agent=schedule.agent),
                static_summary=f"schedule {schedule.name} of {schedule.agent}",
            ),
            spec=spec,
            # Due times are begun one after another; what overlaps, the store decides, for it knows which turns are at work.
            policy=SchedulePolicy(
                overlap=ScheduleOverlapPolicy.BUFFER_ALL, catchup_window=timedelta(seconds=definition.catch_up)
            ),
            state=ScheduleState(paused=schedule.paused),
        )


def before(moment: datetime) -> datetime:
    """The engine leaves out the beginning of a range; so it begins a little earlier."""
    return moment - timedelta(milliseconds=1)


def _timestamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
