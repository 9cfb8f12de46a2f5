"""Executions that nobody works on: begun by a worker that was killed before the engine heard of their request.

Their caller was never told that they were accepted, and would go on with them by asking again. Who does not ask again leaves
them behind; here they get their end, so that every execution has one.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from temporalio.client import WorkflowExecutionStatus

from caxton.activities import journal
from caxton.domain.errors import ExecutionAbandoned
from caxton.domain.executions import Execution, ExecutionState, StepInput, StepKind, StepResult, Target, TurnRequest
from caxton.domain.ids import Scope
from caxton.domain.messages import Content
from caxton.domain.records import ExecutionRecord, Records
from caxton.service.engine import Engine, WorkflowMissingError
from caxton.workflows.conversation import ConversationWorkflow
from caxton.workflows.inbox import InboxWorkflow
from caxton.workflows.names import INBOXES, conversation_workflow_id, inbox_workflow_id

log = logging.getLogger(__name__)

AGE = timedelta(minutes=1)
"""How old an execution must be before anybody asks whether it is still being worked on."""

AT_ONCE = 100

DoSteps = Callable[[Sequence[StepInput]], Awaitable[list[StepResult]]]


@dataclass
class Forsaken:
    """Finds and ends them."""

    records: Records
    engine: Engine
    do_steps: DoSteps = field(repr=False)
    age: timedelta = AGE

    async def sweep(self) -> int:
        """Ends those that no workflow has. Returns how many."""
        before = journal.now() - self.age
        candidates = await self.records.read(lambda transaction: transaction.running_turns(before, AT_ONCE))
        ended = 0
        for scope, record in candidates:
            if not await self._is_at_work(scope, record.execution):
                await self._end(scope, record)
                ended += 1
        if ended:
            log.info("%d executions that were never acknowledged were ended", ended)
        return ended

    async def _is_at_work(self, scope: Scope, execution: Execution) -> bool:
        own = self.engine.client.get_workflow_handle_for(
            ConversationWorkflow.run, conversation_workflow_id(scope, execution.conversation_id)
        )
        try:
            # One that was terminated still says what it had.
            is_running = (await self.engine.call(own.describe)).status is WorkflowExecutionStatus.RUNNING
            if is_running and await self.engine.call(lambda: own.query(ConversationWorkflow.has, execution.id)):
                return True
        except WorkflowMissingError:
            pass
        for shard in range(INBOXES):
            inbox = self.engine.client.get_workflow_handle_for(
                InboxWorkflow.run, inbox_workflow_id(scope.customer, shard)
            )
            try:
                has = await self.engine.call(lambda inbox=inbox: inbox.query(InboxWorkflow.has, execution.id))
            except WorkflowMissingError:
                continue
            if has:
                return True
        return False

    async def _end(self, scope: Scope, record: ExecutionRecord) -> None:
        root = record.execution
        turn, one_shot = await self.records.read(
            lambda transaction: (
                transaction.executions_of_turn(scope, root.id),
                transaction.stands_alone(scope, root.conversation_id),
            )
        )
        by_id = {found.execution.id: found.execution for found in turn}
        error = ExecutionAbandoned(
            "the server was killed before it could accept the request; what it had begun by then is in the trace",
            "ask again",
        ).report()
        for found in sorted(turn, key=lambda found: -found.execution.depth):
            execution = found.execution
            if execution.state is not ExecutionState.RUNNING:
                continue
            chain: list[str] = []
            above = execution
            while above.parent_id is not None and above.parent_id in by_id:
                above = by_id[above.parent_id]
                chain.insert(0, above.agent or "?")
            request = TurnRequest(
                scope=scope,
                conversation_id=root.conversation_id,
                execution_id=root.id,
                message_id=root.message_id,
                content=Content(),
                target=Target(capability=root.capability, agent=None if root.capability else root.agent),
                one_shot=one_shot,
            )
            step = StepInput(
                kind=StepKind.CLOSE,
                scope=scope,
                execution_id=execution.id,
                root_id=root.id,
                request=request,
                parent_id=execution.parent_id,
                chain=chain,
                error=error,
                one_shot=one_shot and execution.id == root.id,
            )
            await self.do_steps([step])
