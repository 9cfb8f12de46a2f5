"""Schedules: deployed, paused, and what became of each due time."""

from datetime import datetime
from typing import ClassVar

from caxton.domain.events.payload import Category, Payload


class ScheduleEvent(Payload):
    """What happened to a schedule of an agent."""

    category: ClassVar[Category] = "schedule"
    schedule: str


class ScheduleDeployed(ScheduleEvent):
    """A deployment made a schedule live, or changed it."""

    sentence: ClassVar[str] = "{agent} has the schedule {schedule}: {timing}"
    timing: str
    overlap: str
    catch_up_s: float
    paused: bool = False


class ScheduleRemoved(ScheduleEvent):
    """A deployment removed a schedule, or the agent that had it."""

    sentence: ClassVar[str] = "{agent} no longer has the schedule {schedule}"


class SchedulePaused(ScheduleEvent):
    """Due times pass without a run from now on."""

    sentence: ClassVar[str] = "schedule {schedule} of {agent} is paused: {reason}"
    reason: str = ""


class ScheduleResumed(ScheduleEvent):
    """Due times are run again from now on."""

    sentence: ClassVar[str] = "schedule {schedule} of {agent} goes on: {reason}"
    reason: str = ""


class ScheduleBackfilled(ScheduleEvent):
    """A backfill was requested: runs of due times that have passed."""

    sentence: ClassVar[str] = "{count:due time} of {schedule} from {start} to {end} to be run"
    start: datetime
    end: datetime
    count: int


class ScheduleRunBegun(ScheduleEvent):
    """A request of the schedule was accepted. Each due time runs once."""

    sentence: ClassVar[str] = "schedule {schedule} asked {agent} for what was due at {due_at}"
    due_at: datetime
    cause: str
    """"schedule", "backfill" or "hand"."""
    late_s: float
    """Seconds from the due time to the request's acceptance."""


class ScheduleRunSkipped(ScheduleEvent):
    """A due time was skipped."""

    sentence: ClassVar[str] = "schedule {schedule} of {agent} left out what was due at {due_at}: {reason}"
    due_at: datetime
    reason: str
    """"overlap": an earlier run, the envelope's execution, was still at work. "paused": it was paused meanwhile."""


class ScheduleRunFailed(ScheduleEvent):
    """The request of a due time was refused."""

    sentence: ClassVar[str] = "schedule {schedule} could not ask {agent} for what was due at {due_at}: {reason}"
    due_at: datetime
    cause: str
    reason: str
    """The code of the error."""


class ScheduleRunsMissed(ScheduleEvent):
    """Due times passed while the server was off, and were older than the catch-up window when it came back."""

    sentence: ClassVar[str] = "{count:due time} of {schedule} of {agent} missed"
    count: int
