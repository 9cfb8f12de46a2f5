"""Views of schedules."""

from datetime import datetime

from caxton.domain.schedules import Overlap, ScheduleRun
from caxton.views.view import View


class ScheduleView(View):
    """A schedule of an agent."""

    agent: str
    name: str
    capability: str | None = None
    """The first one of the agent if None."""
    cron: str | None = None
    interval: float | None = None
    """Seconds."""
    time_zone: str
    timing: str
    """When it is due, for people."""
    jitter: float
    """Seconds."""
    overlap: Overlap | str
    catch_up: float
    """Seconds."""
    paused: bool
    reason: str = ""
    """Why it is paused."""
    next: list[datetime] = []
    """When it is due next, as the engine says; empty while it is paused."""
    missed: int = 0
    """Due times that passed while nothing ran and were older than the catch-up window."""
    last: ScheduleRun | None = None
    """The result of the latest due time."""
    in_engine: bool = True
    """False until the engine has been told, a moment after a deployment."""


class ScheduleDetails(ScheduleView):
    """A schedule with its latest runs."""

    runs: list[ScheduleRun] = []
    """The latest first."""


class BackfillView(View):
    """The result of a backfill."""

    start: datetime
    end: datetime
    due: int
    """Due times in the range."""
    known: int
    """Those of them that have been run before: they are not run again."""
