"""Notices: the workflows that tell channels of escalations and alerts."""

import contextlib
from datetime import timedelta

from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from caxton.service.engine import Engine
from caxton.workflows.names import notice_workflow_id, search_attributes
from caxton.workflows.notice import Notice, NoticeWorkflow
from caxton.workflows.policies import TASK_TIMEOUT


async def start_notice(engine: Engine, notice: Notice) -> None:
    """Starts a notice under an id of its own, so it is sent once, however often this is asked for."""
    with contextlib.suppress(WorkflowAlreadyStartedError):
        await engine.call(
            lambda: engine.client.start_workflow(
                NoticeWorkflow.run,
                notice,
                id=notice_workflow_id(notice.scope, notice.execution_id, notice.cause, notice.level),
                task_queue=engine.task_queue,
                task_timeout=TASK_TIMEOUT,
                execution_timeout=timedelta(days=2),
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                search_attributes=search_attributes(notice.scope),
                static_summary=f"tell {notice.channel}: {notice.cause}",
            )
        )
