"""Sends alerts on their way: each is a notice, in a workflow of its own."""

import contextlib
from datetime import datetime, timedelta

from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from caxton.domain.records import Deadline
from caxton.service.engine import Engine
from caxton.workflows.names import notice_workflow_id, search_attributes
from caxton.workflows.notice import Notice, NoticeWorkflow
from caxton.workflows.policies import TASK_TIMEOUT


class Alerts:
    """Deals with alerts that are due."""

    def __init__(self, engine: Engine) -> None:
        """Start notices in `engine`."""
        self.engine = engine

    async def send(self, deadline: Deadline) -> datetime | None:
        """Starts the notice, once after any crash. There is nothing left to do for the deadline."""
        details = deadline.details
        notice = Notice(
            scope=deadline.scope,
            execution_id=deadline.execution_id,
            cause=details["cause"],
            level=deadline.level,
            channel=details["channel"],
            about=details["about"],
            facts=details["facts"],
        )
        with contextlib.suppress(WorkflowAlreadyStartedError):
            await self.engine.call(
                lambda: self.engine.client.start_workflow(
                    NoticeWorkflow.run,
                    notice,
                    id=notice_workflow_id(deadline.scope, deadline.execution_id, notice.cause, notice.level),
                    task_queue=self.engine.task_queue,
                    task_timeout=TASK_TIMEOUT,
                    execution_timeout=timedelta(days=2),
                    id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                    search_attributes=search_attributes(deadline.scope),
                    static_summary=f"tell {notice.channel}: {notice.cause}",
                )
            )
        return None
