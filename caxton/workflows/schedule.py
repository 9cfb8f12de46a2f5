"""A due time of a schedule: the engine starts one of these, one at a time for each schedule and in the order of their due times.

It holds ids only. What is asked, and whether it is to be asked at all, an activity finds in the store.
"""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel
from temporalio import workflow
from temporalio.common import SearchAttributeKey

from caxton.domain.ids import Scope
from caxton.workflows.policies import CONTINUE_AS_NEW_EVENTS, RECORDS_RETRY, SHORT_STEP_TIMEOUT

BEGIN_SCHEDULED_RUN = "begin_scheduled_run"

DUE_AT = SearchAttributeKey.for_datetime("TemporalScheduledStartTime")
"""The engine's: the time for which a schedule has started a workflow."""


class ScheduledRunInput(BaseModel):
    """Which schedule."""

    scope: Scope
    agent: str
    schedule: str
    due_at: datetime | None = None
    """After a continue-as-new: its due time."""


class DueRun(BaseModel):
    """A due time, and whom to tell of the end of what it has to wait for."""

    scope: Scope
    agent: str
    schedule: str
    due_at: datetime
    workflow_id: str


class RunBegun(BaseModel):
    """What became of it."""

    state: Literal["settled", "waits"]
    """`waits`: an earlier run is still at work; the workflow is signalled when it has ended."""


@workflow.defn(name="ScheduledRun")
class ScheduledRunWorkflow:
    """Has one due time begun."""

    @workflow.init
    def __init__(self, run: ScheduledRunInput) -> None:
        self.told = False

    @workflow.run
    async def run(self, run: ScheduledRunInput) -> None:
        """Ends when the request is accepted, refused or left out: not when it is answered."""
        due_at = run.due_at or workflow.info().typed_search_attributes.get(DUE_AT) or workflow.info().start_time
        due = DueRun(
            scope=run.scope,
            agent=run.agent,
            schedule=run.schedule,
            due_at=due_at,
            workflow_id=workflow.info().workflow_id,
        )
        while True:
            self.told = False
            begun = await workflow.execute_local_activity(
                BEGIN_SCHEDULED_RUN,
                due,
                result_type=RunBegun,
                start_to_close_timeout=SHORT_STEP_TIMEOUT,
                retry_policy=RECORDS_RETRY,
                summary="begin the run",
            )
            if begun.state == "settled":
                return
            await workflow.wait_condition(lambda: self.told)
            if workflow.info().get_current_history_length() > CONTINUE_AS_NEW_EVENTS:
                workflow.continue_as_new(run.model_copy(update={"due_at": due_at}))

    @workflow.signal(name="turn_ended")
    def turn_ended(self) -> None:
        """What it waits for may have ended."""
        self.told = True
