"""Schedules: when an agent is asked something by the clock, and what."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from caxton.domain.errors import Hint, InvalidInput, NotFound
from caxton.domain.ids import ExecutionId, Name, Scope, derived_id
from caxton.domain.quantities import Seconds, format_duration, one_of

SHORTEST_CATCH_UP = 10.0
"""Seconds: a shorter window the engine takes for this one."""

LONGEST = 366 * 86_400
"""Seconds of an interval, of jitter and of a catch-up window."""

MOST_SCHEDULES = 50
"""Of one agent."""

MOST_BACKFILLED = 1_000
"""Due times of one backfill."""


class Overlap(StrEnum):
    """What happens to a due time at which an earlier run is still at work."""

    SKIP = "skip"
    """It is left out."""
    BUFFER = "buffer"
    """It waits until the earlier run has ended."""
    CANCEL = "cancel"
    """The earlier run is cancelled."""


class Schedule(BaseModel):
    """`[[schedules]]`: when the agent is asked something, and what."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name = Field(description="Unique in the agent.")
    cron: str | None = Field(
        default=None,
        max_length=200,
        description='Five fields, such as "0 7 * * mon-fri" (minute, hour, day of the month, month, day of the week), or '
        "@hourly, @daily, @weekly, @monthly, @yearly.",
    )
    interval: Seconds | None = Field(
        default=None, ge=1, le=LONGEST, description='In place of `cron`: every so long, such as "15m"; whole seconds.'
    )
    time_zone: str = Field(
        default="UTC", max_length=64, description='Of `cron`: a name of the IANA database, such as "Europe/Berlin".'
    )
    jitter: Seconds = Field(default=0.0, ge=0, le=86_400, description="Each run begins up to so much later, at random.")
    overlap: Annotated[Overlap, one_of(Overlap)] = Field(
        default=Overlap.SKIP,
        description="What happens when an earlier run is still at work: skip, buffer (wait for its end) or cancel it.",
    )
    catch_up: Seconds = Field(
        default=600.0,
        ge=SHORTEST_CATCH_UP,
        le=LONGEST,
        description="Due times that a server missed which was off are made up for if they are no older than this.",
    )
    paused: bool = Field(default=False, description="Deployed, but not run until somebody resumes it.")
    capability: Name | None = Field(
        default=None, description="Which capability of this agent is asked for; the first one if left out."
    )
    content: str = Field(
        min_length=1, max_length=100_000, description="A template; what is asked. It sees {{ schedule.due_at }}."
    )
    variables: dict[str, Any] = Field(default={}, description="Values for the agent's templates: {{ variables.x }}.")

    @property
    def per_second(self) -> float:
        """How often it is due in a second, at most: a `cron` not more than once a minute."""
        return 1 / 60 if self.interval is None else 1 / self.interval

    @property
    def timing(self) -> str:
        """When it is due, for people."""
        if self.cron is None:
            return f"every {format_duration(self.interval or 0)}"
        return f"{self.cron} {self.time_zone}"


Cause = Literal["schedule", "hand", "backfill"]
"""Why a run was begun: its time had come, somebody asked for one, or for due times of the past."""

RunState = Literal["begun", "skipped", "failed"]


class Backfill(BaseModel):
    """A range of the past whose due times somebody wants to have run."""

    start: datetime
    end: datetime
    by: str
    requester: str | None = None
    """Who wants it, as where it matters that two are not the same; None: it was not kept."""
    asked_at: datetime


class DeployedSchedule(BaseModel):
    """A schedule as it is deployed, and how it is to be in the engine."""

    scope: Scope
    agent: str
    definition: Schedule
    paused: bool = False
    reason: str = ""
    """Why it is paused."""
    changed_by: str = ""
    """Who paused or resumed it last; empty for a deployment."""
    changed_at: datetime
    revision: int = 1
    """Counts what the engine has to be told."""
    applied: int = 0
    """The revision that the engine has been told."""
    removed: bool = False
    missed: int = 0
    """Due times older than the catch-up window, as the engine counted them when it was last asked."""
    backfills: list[Backfill] = []

    @property
    def name(self) -> str:
        return self.definition.name

    def backfill_of(self, due_at: datetime) -> Backfill | None:
        """The backfill that `due_at` belongs to, if it does. The engine takes jitter into account, and tells times without it."""
        early = timedelta(seconds=self.definition.jitter)
        return next((each for each in self.backfills if each.start - early <= due_at <= each.end), None)


class ScheduleRun(BaseModel):
    """What became of one due time."""

    due_at: datetime
    cause: Cause
    state: RunState
    execution_id: ExecutionId | None = None
    """begun: the execution. skipped: the one that was still at work."""
    reason: str | None = None
    """skipped: "overlap" or "paused". failed: the code of the error."""
    by: str | None = None
    """Who asked for it, where somebody did."""
    at: datetime


def scheduled_execution(scope: Scope, agent: str, name: str, due_at: datetime) -> ExecutionId:
    """The execution that a due time stands for: always the same one."""
    due = due_at.isoformat(timespec="microseconds")
    return ExecutionId(derived_id("x", scope.customer, scope.workspace, "schedule", agent, name, due))


def triggered_execution(scope: Scope, agent: str, name: str, key: str) -> ExecutionId:
    """The execution that a run by hand stands for, by its idempotency key."""
    return ExecutionId(derived_id("x", scope.customer, scope.workspace, "schedule by hand", agent, name, key))


def unknown_schedule(agent: str, name: str, similar: str | None = None) -> NotFound:
    """The error for a schedule that is not there."""
    hints = [Hint(text=f'did you mean "{similar}"?')] if similar else []
    return NotFound(
        f'agent "{agent}" has no schedule "{name}"',
        *hints,
        Hint(text="see which there are", command="caxton schedule list"),
        details={"agent": agent, "schedule": name},
    )


def wrong_range(message: str, hint: str) -> InvalidInput:
    """The error for a range of the past that cannot be run."""
    return InvalidInput(message, hint)
