"""Retention: once a day, each place of memory forgets what it is no longer to remember."""

import asyncio
from datetime import timedelta

from pydantic import BaseModel
from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

from caxton.workflows.policies import RECORD_TIMEOUT, RECORDS_RETRY

LIST_RETENTIONS = "list_memory_retentions"
APPLY_RETENTION = "apply_memory_retention"
EXPIRE_UNDO = "expire_memory_undo"

PLACES_A_RUN = 200
"""After which the workflow continues as new: histories stay short."""

CONCURRENCY = 4

APPLY_TIMEOUT = timedelta(hours=1)
APPLY_RETRY = RetryPolicy(
    initial_interval=timedelta(seconds=10), maximum_interval=timedelta(minutes=10), maximum_attempts=5
)
"""A place that fails so often is tried again the next day."""


class RetentionPlace(BaseModel):
    """A place that has a retention."""

    customer: str
    workspace: str


class RetentionOutcome(BaseModel):
    """What a day's run did."""

    places: int = 0
    removed: int = 0
    failed: int = 0


class RetentionInput(BaseModel):
    """Where to go on."""

    after: RetentionPlace | None = None
    outcome: RetentionOutcome = RetentionOutcome()


@workflow.defn(name="MemoryRetention")
class MemoryRetentionWorkflow:
    """Applies all retentions. A place that fails holds up no other."""

    @workflow.run
    async def run(self, state: RetentionInput) -> RetentionOutcome:
        """Returns what was done."""
        places: list[RetentionPlace] = await workflow.execute_activity(
            LIST_RETENTIONS,
            args=[state.after, PLACES_A_RUN],
            result_type=list[RetentionPlace],
            start_to_close_timeout=RECORD_TIMEOUT,
            retry_policy=RECORDS_RETRY,
        )
        outcome = state.outcome.model_copy()
        for start in range(0, len(places), CONCURRENCY):
            counts = await asyncio.gather(*(self._apply(place) for place in places[start : start + CONCURRENCY]))
            outcome.places += len(counts)
            outcome.failed += counts.count(None)
            outcome.removed += sum(filter(None, counts))
        if len(places) == PLACES_A_RUN:
            workflow.continue_as_new(RetentionInput(after=places[-1], outcome=outcome))
        await workflow.execute_activity(
            EXPIRE_UNDO, start_to_close_timeout=APPLY_TIMEOUT, retry_policy=APPLY_RETRY, result_type=int
        )
        return outcome

    async def _apply(self, place: RetentionPlace) -> int | None:
        try:
            return await workflow.execute_activity(
                APPLY_RETENTION,
                place,
                result_type=int,
                start_to_close_timeout=APPLY_TIMEOUT,
                retry_policy=APPLY_RETRY,
                summary=f"{place.customer}/{place.workspace}",
            )
        except ActivityError:
            return None
