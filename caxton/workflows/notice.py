"""A notice: a channel is told of an SLA breach. It has a workflow of its own, so that no turn waits for it."""

from datetime import timedelta
from typing import Any, Literal

from pydantic import BaseModel
from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

from caxton.domain.ids import ExecutionId, Scope
from caxton.workflows.failures import report_of
from caxton.workflows.policies import RECORD_TIMEOUT, RECORDS_RETRY

DELIVER_NOTICE = "deliver_notice"
RECORD_NOTICE = "record_notice"

DELIVERY_TIMEOUT = timedelta(seconds=20)
"""For one attempt."""

DELIVERY_RETRY = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=2.0, maximum_interval=timedelta(minutes=5)
)

GIVE_UP_AFTER = timedelta(hours=24)
"""A channel that does not answer for so long is given up; the log says so."""


class Notice(BaseModel):
    """Whom to tell of what."""

    scope: Scope
    execution_id: ExecutionId
    cause: Literal["pressure", "breach", "suspension", "quarantine", "health"]
    level: int
    channel: str
    about: str | None = None
    """The agent or tool that an alert is about, which belongs to no execution: its id is the alert's own."""
    facts: dict[str, Any] = {}
    """What an alert tells."""


class NoticeOutcome(BaseModel):
    """How telling went."""

    notice: Notice
    attempts: int
    status: int | None = None
    """The HTTP status that the channel answered with."""
    reason: str | None = None
    """Why it could not be told."""


@workflow.defn(name="Notice")
class NoticeWorkflow:
    """Tells one channel once."""

    @workflow.run
    async def run(self, notice: Notice) -> NoticeOutcome:
        """Tries until the channel answers, then records how it went."""
        try:
            outcome = await workflow.execute_activity(
                DELIVER_NOTICE,
                notice,
                result_type=NoticeOutcome,
                start_to_close_timeout=DELIVERY_TIMEOUT,
                schedule_to_close_timeout=GIVE_UP_AFTER,
                retry_policy=DELIVERY_RETRY,
                summary=f"{notice.channel}: {notice.cause}",
            )
        except ActivityError as error:
            report = report_of(error)
            outcome = NoticeOutcome(
                notice=notice, attempts=int(report.details.get("attempts", 0)), reason=report.message
            )
        await workflow.execute_local_activity(
            RECORD_NOTICE,
            outcome,
            start_to_close_timeout=RECORD_TIMEOUT,
            retry_policy=RECORDS_RETRY,
        )
        return outcome
