"""Workers of other processes, as an API alone sees them: whether there is one that takes work."""

from datetime import UTC, datetime, timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest

from caxton.domain.errors import Hint, NoWorker
from caxton.domain.ids import ExecutionId, Scope
from caxton.domain.records import Records, Transaction
from caxton.service.engine import Engine

HEARD_WITHIN = timedelta(seconds=75)
"""A worker asks the engine for work at least once a minute."""

TAKEN_WITHIN = timedelta(seconds=10)
"""Every worker looks once a second for turns that are due. One that nobody has taken for so long says that there is none."""


class Workers:
    """Looks for workers: by what they ask of the engine, and by what they leave undone in the store."""

    def __init__(self, records: Records, engine: Engine) -> None:
        """Look for workers of `engine`'s task queue, on the store `records`."""
        self.records = records
        self.engine = engine

    async def check(self) -> str:
        """How many there are.

        Raises:
            NoWorker: none.
        """
        now = datetime.now(UTC)
        overdue = now - TAKEN_WITHIN
        if await self.records.read(lambda transaction: transaction.due_turns(overdue, 1)):
            raise _none("turns wait, and no worker takes them")
        client = self.engine.client
        request = DescribeTaskQueueRequest(
            namespace=client.namespace,
            task_queue=TaskQueue(name=self.engine.task_queue),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
        )
        found = await self.engine.call(lambda: client.workflow_service.describe_task_queue(request))
        heard = [poller.last_access_time.ToDatetime(UTC) for poller in found.pollers]
        alive = sum(now - moment < HEARD_WITHIN for moment in heard)
        if not alive:
            raise _none(f'no worker asks for work on the task queue "{self.engine.task_queue}"')
        return f"{alive} of them"

    async def check_taken(self, scope: Scope, execution_id: ExecutionId) -> None:
        """Checks that somebody works on a turn that has not ended.

        Raises:
            NoWorker: nobody has been told of it, though it has been due for a while.
        """

        def due_at(transaction: Transaction) -> datetime | None:
            found = transaction.turns_in_hand(scope, [execution_id]).get(execution_id)
            return found.due_at if found else None

        due = await self.records.read(due_at)
        if due is not None and datetime.now(UTC) - due > TAKEN_WITHIN:
            raise _none("the request is accepted, and no worker is there to do it", execution_id=execution_id)


def _none(message: str, **details: str) -> NoWorker:
    return NoWorker(
        message,
        Hint(text="start a worker; what is accepted is done as soon as there is one", command="caxton worker"),
        details=details,
        retry_after=5.0,
    )
