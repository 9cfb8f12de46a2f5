"""Activities of schedules."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from temporalio import activity

from caxton.workflows.schedule import BEGIN_SCHEDULED_RUN, DueRun, RunBegun


@dataclass
class ScheduleActivities:
    """Runs of schedules."""

    begin: Callable[[DueRun], Awaitable[RunBegun]] = field(repr=False)
    """Has the request of a due time accepted, unless an earlier run is in its way."""

    @activity.defn(name=BEGIN_SCHEDULED_RUN)
    async def begin_scheduled_run(self, run: DueRun) -> RunBegun:
        """Begins a run, or finds that it has begun, is left out or has to wait."""
        return await self.begin(run)
