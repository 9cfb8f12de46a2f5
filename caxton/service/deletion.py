"""Deleting conversations, with what they left in memory, in content and in the workflow engine.

What a person or a rule deletes is gone from the store with one transaction, which tells it, and notes as rows with a due time
what is left to do elsewhere. Those are dealt with at once, and by the deadline worker should that fail.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from temporalio.api.common.v1 import WorkflowExecution as WorkflowRun
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import WorkflowExecution
from temporalio.service import RPCError, RPCStatusCode

from caxton.domain.conversations import ENDED, Conversation
from caxton.domain.errors import CaxtonError, ConversationActive, Hint
from caxton.domain.events.conversations import ConversationDeleted
from caxton.domain.ids import ConversationId, Digest, ExecutionId, Scope, new_id
from caxton.domain.ports import BlobStore
from caxton.domain.records import Deadline, Records, Removed, Transaction
from caxton.memory.bulk import BulkMemory
from caxton.memory.forgetting import forget_conversations
from caxton.memory.memories import Memories
from caxton.recording import journal
from caxton.service.context import Caller
from caxton.service.engine import Engine, WorkflowMissingError
from caxton.views.deletion import Deletion
from caxton.workflows.names import conversation_workflow_id

log = logging.getLogger(__name__)

BATCH = 200
"""Executions, with their messages and steps, that one transaction takes away: some ten milliseconds of the write lock."""

AT_ONCE = 3.0
"""Seconds in which whoever deletes a conversation waits for what is left of it elsewhere."""

A_PART = 10.0
"""Seconds after which one deadline's work goes on with the next look: well within what one may take."""

AFTERWARDS = timedelta(seconds=40)
"""When memory is looked through again, if something of the conversation was about to be remembered: longer than that may take."""

CONTENT_AGAIN = timedelta(minutes=10)
"""When content is looked at again that was stored a moment ago."""


@dataclass
class Deletions:
    """Takes away what was recorded of conversations."""

    records: Records
    engine: Engine
    blobs: BlobStore
    memories: Memories | None

    @property
    def handlers(self) -> Mapping[str, Any]:
        """What deals with the deadlines that deletions leave, by their kinds."""
        return {"deletion": self.go_on, "contents": self.discard}

    async def delete(self, caller: Caller, conversation: Conversation) -> Deletion:
        """Deletes a conversation that has ended.

        Raises:
            ConversationActive: it goes on.
        """
        scope, identity = caller.scope, conversation.id
        moment = max(journal.now(), conversation.last_activity)  # other machines' clocks may be ahead

        def begin(transaction: Transaction) -> tuple[tuple[int, int], list[Deadline]]:
            present = transaction.conversation(scope, identity)
            if present is not None and present.state not in ENDED:
                raise active(present)
            size = transaction.size_of_conversation(scope, identity)
            if not transaction.remove_conversation(scope, identity):
                return size, []  # somebody was quicker
            removed = transaction.remove_of_conversations(scope, [identity], moment, BATCH)
            told = ConversationDeleted(reason="UserInitiated", messages=size[0], executions=size[1])
            event = journal.note(scope, told, new_id("deletion"), actor=caller.actor, conversation_id=identity)
            transaction.add_events(scope, [event])
            return size, note_deletion(transaction, scope, [identity], removed, moment)

        (messages, executions), left = await self.records.write(begin)
        return Deletion(
            conversation_id=identity,
            messages=messages,
            executions=executions,
            complete=await self._finish(left),
        )

    async def _finish(self, left: Sequence[Deadline]) -> bool:
        """Deals with what is left at once, as far as that goes. Whether nothing is left."""
        complete = True
        for deadline in left:
            over = False
            with contextlib.suppress(CaxtonError, TimeoutError, OSError):  # then the deadline worker does it
                async with asyncio.timeout(AT_ONCE):
                    over = deadline.level == 0 and await self.handlers[deadline.kind](deadline) is None
            if over:
                await self.records.write(lambda transaction, each=deadline: transaction.remove_deadline(each))
            complete = complete and over
        return complete

    async def go_on(self, deadline: Deadline) -> datetime | None:
        """Takes away what is left of deleted conversations: further rows, memories, workflows."""
        scope, details = deadline.scope, deadline.details
        ids = [ConversationId(each) for each in details["conversations"]]
        before = datetime.fromisoformat(details["before"])
        until = time.monotonic() + A_PART
        while details["more"] and await self._remove_more(scope, ids, before):
            if time.monotonic() > until:
                return journal.now()
        if self.memories is not None:
            bulk = BulkMemory(self.memories, self.records, self.blobs)
            await forget_conversations(bulk, scope, ids, before)
        if deadline.level == 0:
            await self._delete_workflows(scope, ids, before)
        return None

    async def _remove_more(self, scope: Scope, ids: Sequence[ConversationId], before: datetime) -> bool:
        def remove(transaction: Transaction) -> bool:
            removed = transaction.remove_of_conversations(scope, ids, before, BATCH)
            note_contents(transaction, scope, removed.digests)
            return removed.more

        return await self.records.write(remove)

    async def _delete_workflows(self, scope: Scope, ids: Sequence[ConversationId], before: datetime) -> None:
        """Deletes the workflows' histories, where the engine lets us: they hold ids only, and it forgets them by itself later."""
        for identity in ids:
            workflow_id = conversation_workflow_id(scope, identity)
            for run in await self._runs(workflow_id):
                if run.start_time <= before:  # a later one is of a conversation that was started over under the same id
                    with contextlib.suppress(WorkflowMissingError):
                        await self.engine.call(partial(self._delete_run, workflow_id, run.run_id), patience=AT_ONCE)

    async def _runs(self, workflow_id: str) -> list[WorkflowExecution]:
        """The latest run, which the engine knows at once, and those before it, which it finds a little later."""
        client = self.engine.client
        try:
            latest = await self.engine.call(client.get_workflow_handle(workflow_id).describe, patience=AT_ONCE)
        except WorkflowMissingError:
            return []
        older = await self.engine.call(
            lambda: _all(client.list_workflows(f"WorkflowId = '{workflow_id}'")), patience=AT_ONCE
        )
        return [latest, *(run for run in older if run.run_id != latest.run_id)]

    async def _delete_run(self, workflow_id: str, run_id: str) -> None:
        client = self.engine.client
        execution = WorkflowRun(workflow_id=workflow_id, run_id=run_id)
        request = DeleteWorkflowExecutionRequest(namespace=client.namespace, workflow_execution=execution)
        try:
            await client.workflow_service.delete_workflow_execution(request)
        except RPCError as error:
            if error.status not in (RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED):
                raise
            log.warning("the engine does not let workflows be deleted, and keeps them for its own retention")

    async def discard(self, deadline: Deadline) -> datetime | None:
        """Removes content that nobody refers to."""
        customer, digests = deadline.scope.customer, [Digest(each) for each in deadline.details["digests"]]
        unused = await self.records.read(lambda transaction: transaction.unused_contents(customer, digests))
        young = await self.blobs.discard(customer, unused)
        return journal.now() + CONTENT_AGAIN if young else None


def active(conversation: Conversation) -> ConversationActive:
    """The error that says that a conversation goes on, and what to do."""
    return ConversationActive(
        f'conversation "{conversation.id}" has not ended ({conversation.state})',
        Hint(text="end it, and delete it", command=f"caxton conversation delete {conversation.id} --cancel"),
        details={"conversation": conversation.id, "state": conversation.state},
    )


def note_deletion(
    transaction: Transaction, scope: Scope, ids: Sequence[ConversationId], removed: Removed, moment: datetime
) -> list[Deadline]:
    """Notes what is left to do of conversations whose rows are `removed`. Returns it; it is due in a while, if it is left."""
    details = {"conversations": list(ids), "before": moment.isoformat(), "more": removed.more}
    soon, name = moment + timedelta(seconds=2 * AT_ONCE), ExecutionId(new_id("d"))
    left = [Deadline(scope, name, "deletion", 0, soon, details)]
    if removed.remembering:
        left.append(Deadline(scope, name, "deletion", 1, moment + AFTERWARDS, details))
    transaction.add_deadlines(scope, left)
    return left + note_contents(transaction, scope, removed.digests)


def note_contents(transaction: Transaction, scope: Scope, digests: set[Digest]) -> list[Deadline]:
    """Notes that content may have nobody left who refers to it."""
    if not digests:
        return []
    due = journal.now() + timedelta(seconds=2 * AT_ONCE)
    found = Deadline(scope, ExecutionId(new_id("d")), "contents", 0, due, {"digests": sorted(digests)})
    transaction.add_deadlines(scope, [found])
    return [found]


async def _all(found: AsyncIterator[WorkflowExecution]) -> list[WorkflowExecution]:
    return [each async for each in found]
