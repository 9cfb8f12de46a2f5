"""Every time-out and retry in one place.

Sources: the event model's retry strategies (message delivery 100 ms → 10 s, 3 attempts; tools immediately, 2 attempts) and
the measurements in docs/explanation (short histories recover fast; the task time-out must stay far above the replay time).
"""

from dataclasses import dataclass
from datetime import timedelta

from temporalio.common import RetryPolicy

from caxton.domain.executions import StepKind

CONTINUE_AS_NEW_EVENTS = 400
"""History events after which a workflow continues as new: a replay after a kill then stays under a second or so."""

TASK_TIMEOUT = timedelta(seconds=5)
"""How long a workflow stands still whose worker was killed in the middle of a task. Near the replay time of 400 events, about
half a second, replays would be thrown away and begun again."""

SHORT_STEP_TIMEOUT = timedelta(minutes=10)
"""For one attempt of a short step. It ends far sooner, unless it waits for a store that is away."""

CALL_GRACE = 120.0
"""Seconds that a call may take beyond its own limits, which hold inside: to wait for its place, and to record what came of it."""

QUEUED_AGAIN = timedelta(minutes=30)
"""A call that has queued for so long asks again whether it is its turn, should it not have heard so."""

LONGEST_TOOL_CALL = 600.0 + CALL_GRACE
"""Seconds: the longest that a manifest may allow, and the same grace."""

WORKERS_LOST = 50
"""How often a call is begun again because its worker died, over and above the attempts that its policy allows."""

RECORD_TIMEOUT = timedelta(seconds=30)
"""For activities that only read or write records."""

HEARTBEAT_TIMEOUT = timedelta(seconds=15)
"""A worker that died is noticed after this much silence; workers beat three times as often."""

HEARTBEAT_EVERY = 4.0
"""Seconds between heartbeats. Each costs the engine a write, so a call that ends sooner makes none."""

DEPLOY_TIMEOUT = timedelta(minutes=10)
"""For validating a deployment: compiling a large module takes half a minute of CPU."""


@dataclass(frozen=True, slots=True)
class StepPolicy:
    """How often a step is tried, and how long to wait between."""

    attempts: int
    first_wait: timedelta
    largest_wait: timedelta
    backoff: float = 2.0

    def wait(self, attempt: int) -> timedelta:
        """The wait after the failure of `attempt`, which counts from 1."""
        return min(self.largest_wait, self.first_wait * self.backoff ** (attempt - 1))

    def retry_policy(self) -> RetryPolicy:
        """The same for an activity of its own."""
        return RetryPolicy(
            initial_interval=max(self.first_wait, timedelta(milliseconds=1)),
            maximum_interval=max(self.largest_wait, timedelta(milliseconds=1)),
            backoff_coefficient=self.backoff,
            maximum_attempts=self.attempts,
        )


DELIVERY = StepPolicy(3, timedelta(milliseconds=100), timedelta(seconds=10))
TOOL = StepPolicy(2, timedelta(0), timedelta(0), 1.0)
MODEL = StepPolicy(5, timedelta(milliseconds=500), timedelta(seconds=30))
RECORDS = StepPolicy(1_000_000, timedelta(milliseconds=100), timedelta(seconds=10))

STEP_POLICIES = {
    StepKind.OPEN: DELIVERY,
    StepKind.MODEL: MODEL,
    StepKind.TOOL: TOOL,
    StepKind.CLOSE: RECORDS,
    StepKind.APPROVAL: RECORDS,
    StepKind.DECISION: RECORDS,
    StepKind.REPLY: RECORDS,
}

RECORDS_RETRY = RetryPolicy(
    initial_interval=timedelta(milliseconds=100), maximum_interval=timedelta(seconds=10), backoff_coefficient=2.0
)
"""Writing records is tried until it works: a full disk or a database that restarts must not lose what was accepted."""

STICKY_TIMEOUT = timedelta(seconds=1)
"""How long a task waits for the worker that has the workflow in memory, before any worker may replay it: short, so that work
goes on quickly after a worker was killed."""

GRACEFUL_STOP = timedelta(seconds=6)
"""What a stopping worker gives activities to finish: as long as a call of a local tool may take, and a little more. What does not
finish is done again by the next worker."""
