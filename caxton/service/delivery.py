"""Telling workflows of the turns that the store has in progress.

The store is the queue: a turn is there, durably, from its acceptance to its end. A workflow is told of it right after it was
accepted; should that be lost with the process that was about to tell it, whoever finds the turn due tells it again. To be told
twice is harmless, for a workflow asks the store what there is to do.
"""

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from datetime import timedelta

from temporalio.client import WorkflowHandle
from temporalio.common import Priority, WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from caxton.domain.conversations import IDLE_TIMEOUT, Conversation, ConversationState
from caxton.domain.errors import CaxtonError
from caxton.domain.executions import Target, TurnRequest
from caxton.domain.flow import FlowCall
from caxton.domain.ids import ConversationId, ExecutionId, Scope
from caxton.domain.records import DueTurn, Records, Transaction
from caxton.observability.metrics import METRICS
from caxton.recording import journal
from caxton.service.engine import Engine, WorkflowMissingError
from caxton.turns.accept import DELIVERED_WITHIN
from caxton.workflows.conversation import ConversationInput, ConversationWorkflow
from caxton.workflows.names import conversation_workflow_id, search_attributes
from caxton.workflows.policies import TASK_TIMEOUT

log = logging.getLogger(__name__)

POLL_INTERVAL = 1.0
"""Seconds between looks for turns that are due."""

AT_A_TIME = 200
"""Due turns of one look."""

CONCURRENCY = 20
"""Workflows that are told at the same time of turns that are due."""

LONGEST_WAIT = timedelta(hours=1)
"""A turn that has been in progress for long, such as one that waits for a person, is told again after as
long as it has been, but after this at the latest."""


@dataclass(frozen=True, slots=True)
class ConversationRef:
    """What the workflow of a conversation is started with, should it not be there."""

    scope: Scope
    conversation_id: ConversationId
    one_shot: bool
    target: Target
    idle_timeout: float = IDLE_TIMEOUT

    @classmethod
    def of(cls, request: TurnRequest) -> "ConversationRef":
        """The conversation of `request`."""
        return cls(request.scope, request.conversation_id, request.one_shot, request.target)

    @classmethod
    def of_conversation(cls, scope: Scope, conversation: Conversation) -> "ConversationRef":
        """A conversation that is not a one-shot request."""
        idle = float(conversation.metadata.get("idle_timeout", IDLE_TIMEOUT))
        target = Target(capability=conversation.capability, agent=conversation.agent)
        return cls(scope, conversation.id, one_shot=False, target=target, idle_timeout=idle)


class Delivery:
    """Tells workflows."""

    def __init__(self, records: Records, engine: Engine) -> None:
        """Look for turns in `records`, and tell workflows of `engine`."""
        self.records = records
        self.engine = engine
        self._telling: dict[tuple[Scope, ConversationId], bool] = {}
        """Conversations whose workflows are being told; True if something has come since."""
        self._tasks: set[asyncio.Task[None]] = set()

    def notify(self, ref: ConversationRef) -> None:
        """Tells the workflow of a conversation that a turn is in progress, in the background."""
        key = (ref.scope, ref.conversation_id)
        if key in self._telling:
            self._telling[key] = True
            return
        self._telling[key] = False
        task = asyncio.create_task(self._notify(ref, key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def cancel(self, ref: ConversationRef, execution_id: ExecutionId) -> None:
        """Tells the workflow of a conversation, in the background, that a turn ends. Should that be lost, it is told again."""
        task = asyncio.create_task(self._cancel(ref, execution_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _cancel(self, ref: ConversationRef, execution_id: ExecutionId) -> None:
        handle = self._workflow(ref)
        try:
            await self.engine.call(lambda: handle.signal(ConversationWorkflow.cancel_turn, execution_id))
        except CaxtonError as error:
            log.warning("a workflow could not be told that a turn ends: %s", error.message)

    async def admit(self, call: FlowCall) -> bool:
        """Tells the workflow of a conversation that it is a call's turn. False if there is no such workflow.

        Raises:
            EngineUnavailable: it cannot be told now.
        """
        handle = self.engine.client.get_workflow_handle_for(
            ConversationWorkflow.run, conversation_workflow_id(call.scope, call.conversation_id)
        )
        arguments = [call.execution_id, call.step, call.call]
        try:
            await self.engine.call(lambda: handle.signal(ConversationWorkflow.call_admitted, args=arguments))
        except WorkflowMissingError:
            return False
        return True

    def _workflow(self, ref: ConversationRef) -> WorkflowHandle[ConversationWorkflow, str]:
        return self.engine.client.get_workflow_handle_for(
            ConversationWorkflow.run, conversation_workflow_id(ref.scope, ref.conversation_id)
        )

    async def _notify(self, ref: ConversationRef, key: tuple[Scope, ConversationId]) -> None:
        try:
            while True:
                self._telling[key] = False
                await self.start(ref) if ref.one_shot else await self._signal(ref)
                if not self._telling[key]:
                    return
        except CaxtonError as error:
            log.warning("a workflow could not be told of its turn, and is told again: %s", error.message)
        except Exception as error:
            log.error("a workflow could not be told of its turn", extra={"error": type(error).__name__})
        finally:
            self._telling.pop(key, None)

    async def _signal(self, ref: ConversationRef) -> None:
        handle = self._workflow(ref)
        try:
            await self.engine.call(lambda: handle.signal(ConversationWorkflow.turn_accepted))
        except WorkflowMissingError:
            await self.start(ref)

    async def start(self, ref: ConversationRef, *, restarted: bool = False) -> None:
        """Starts the workflow of a conversation, or tells it if it is there; with `restarted` also that all workers are new."""
        told = ConversationWorkflow.workers_restarted if restarted else ConversationWorkflow.turn_accepted
        await self.engine.call(
            lambda: self.engine.client.start_workflow(
                ConversationWorkflow.run,
                ConversationInput(
                    scope=ref.scope,
                    conversation_id=ref.conversation_id,
                    one_shot=ref.one_shot,
                    idle_timeout=ref.idle_timeout,
                ),
                id=conversation_workflow_id(ref.scope, ref.conversation_id),
                task_queue=self.engine.task_queue,
                task_timeout=TASK_TIMEOUT,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                # A fresh workflow looks for turns by itself, so only one that may be there has to be told.
                start_signal=told.__name__ if restarted or not ref.one_shot else None,
                search_attributes=search_attributes(
                    ref.scope,
                    agent=ref.target.agent,
                    capability=ref.target.capability,
                    state=ConversationState.IN_PROGRESS,
                ),
                static_summary=_summary(ref),
                # Where a Temporal service has `matching.enableFairness` on, customers take turns; others ignore it.
                priority=Priority(fairness_key=ref.scope.customer),
            )
        )

    async def run(self, *, restarted: bool) -> None:
        """Tells workflows of turns that are due, forever.

        Args:
            restarted: whether no worker but this process's can have anything in progress: then all that is in progress is due.
        """
        if restarted:
            await self._tell_all_again()
        while True:
            await asyncio.sleep(POLL_INTERVAL)
            try:
                while await self.look() == AT_A_TIME:
                    pass
            except CaxtonError as error:
                log.warning("turns in progress wait: %s", error.message)
            except Exception as error:
                log.exception(
                    "telling workflows of their turns failed, and goes on", extra={"error": type(error).__name__}
                )

    async def look(self) -> int:
        """Tells workflows of turns that are due now. Returns how many there were."""
        due = await self._take_due()
        for turn in due:
            ref = await self._ref(turn)
            self.notify(ref)
            if turn.cancelled:
                self.cancel(ref, turn.execution_id)
            METRICS.turn_redelivered()
        return len(due)

    async def _take_due(self) -> list[DueTurn]:
        """Turns that are due now, each put off: who takes one tells its workflow, and nobody else does for a while."""
        moment = journal.now()

        def take(transaction: Transaction) -> list[DueTurn]:
            found = transaction.due_turns(moment, AT_A_TIME)
            return [turn for turn in found if transaction.postpone_turn(turn, _wait(moment - turn.accepted_at))]

        if not await self.records.read(lambda transaction: transaction.due_turns(moment, 1)):
            return []
        return await self.records.write(take)

    async def _tell_all_again(self) -> None:
        """Has the workflows of all turns in progress go on at once, without waiting for what a process that is gone had begun."""
        slots = asyncio.Semaphore(CONCURRENCY)

        async def notify(turn: DueTurn) -> None:
            async with slots:
                with contextlib.suppress(Exception):  # it is due again soon
                    await self.start(await self._ref(turn), restarted=True)

        try:
            await self.records.write(lambda transaction: transaction.all_due())
            told: set[tuple[Scope, ConversationId]] = set()
            while due := await self._take_due():
                fresh = {(turn.scope, turn.conversation_id): turn for turn in due}
                await asyncio.gather(*(notify(turn) for key, turn in fresh.items() if key not in told))
                told |= fresh.keys()
        except CaxtonError as error:
            log.warning("turns in progress wait: %s", error.message)

    async def _ref(self, turn: DueTurn) -> ConversationRef:
        conversation = await self.records.read(
            lambda transaction: transaction.conversation(turn.scope, turn.conversation_id)
        )
        if conversation is not None and not turn.one_shot:
            return ConversationRef.of_conversation(turn.scope, conversation)
        target = Target(capability=conversation.capability, agent=conversation.agent) if conversation else Target()
        return ConversationRef(turn.scope, turn.conversation_id, turn.one_shot, target)


def _wait(in_hand: timedelta) -> timedelta:
    """Until when a turn is put off that has been in progress for so long."""
    return min(LONGEST_WAIT, max(in_hand, DELIVERED_WITHIN))


def _summary(ref: ConversationRef) -> str:
    what = "request for" if ref.one_shot else "conversation about"
    return f"{what} {ref.target.capability or ref.target.agent or '?'}"
