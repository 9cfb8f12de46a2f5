"""A push notification: one receiver is told how a task stands. It has a workflow of its own, so that nothing waits for it."""

from datetime import timedelta

from pydantic import BaseModel
from temporalio import workflow
from temporalio.exceptions import ActivityError

from caxton.domain.ids import ExecutionId, Scope
from caxton.workflows.notice import DELIVERY_RETRY, GIVE_UP_AFTER
from caxton.workflows.policies import RECORD_TIMEOUT, RECORDS_RETRY

DELIVER_PUSH = "deliver_push"
GIVE_PUSH_UP = "give_push_up"

DELIVERY_TIMEOUT = timedelta(seconds=30)
"""For one attempt."""


class Push(BaseModel):
    """Whom to tell of which task. The store has the address, and how the task stands when it is told."""

    scope: Scope
    execution_id: ExecutionId
    config_id: str


@workflow.defn(name="Push")
class PushWorkflow:
    """Tells one receiver once."""

    @workflow.run
    async def run(self, push: Push) -> None:
        """Tries until the receiver has taken it; one that does not for a day, or refuses, is told nothing more."""
        try:
            await workflow.execute_activity(
                DELIVER_PUSH,
                push,
                start_to_close_timeout=DELIVERY_TIMEOUT,
                schedule_to_close_timeout=GIVE_UP_AFTER,
                retry_policy=DELIVERY_RETRY,
                summary=f"push {push.execution_id}",
            )
        except ActivityError:
            await workflow.execute_local_activity(
                GIVE_PUSH_UP, push, start_to_close_timeout=RECORD_TIMEOUT, retry_policy=RECORDS_RETRY
            )
