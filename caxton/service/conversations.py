"""Conversations: start, write, end, look."""

import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from caxton.activities import journal
from caxton.activities.contents import hash_of
from caxton.activities.conversations import ended_event
from caxton.domain.conversations import ENDED, IDLE_TIMEOUT, Conversation, ConversationState, EndReason
from caxton.domain.errors import Hint, NotFound
from caxton.domain.events.conversations import ConversationStarted
from caxton.domain.events.executions import CancellationRequested
from caxton.domain.executions import ExecutionState, RoutingStrategy, Target, TurnRequest, TurnView
from caxton.domain.ids import ConversationId, ExecutionId, Scope, derived_id, new_id
from caxton.domain.messages import Message
from caxton.domain.records import Records, Transaction
from caxton.routing.decision import route
from caxton.routing.directory import Directory
from caxton.service.context import Caller, Role
from caxton.service.engine import Engine, WorkflowMissingError
from caxton.service.turns import Ask, Turns
from caxton.workflows.conversation import ConversationInput, ConversationWorkflow, EndInput
from caxton.workflows.names import conversation_workflow_id, search_attributes
from caxton.workflows.policies import TASK_TIMEOUT

MOST_ADDRESSES = 10_000
"""Conversations whose target is remembered."""


@dataclass(frozen=True, slots=True)
class Start:
    """A conversation as a caller wants it."""

    target: Target
    topic: str | None = None
    idle_timeout: float = IDLE_TIMEOUT
    strategy: RoutingStrategy = RoutingStrategy.LOAD_BALANCED
    metadata: dict[str, Any] | None = None
    idempotency_key: str | None = None


class Conversations:
    """Use cases on conversations."""

    def __init__(self, records: Records, directory: Directory, engine: Engine, turns: Turns) -> None:
        """Join what conversations need."""
        self.records = records
        self.directory = directory
        self.engine = engine
        self.turns = turns
        self._addresses: dict[tuple[Scope, ConversationId], tuple[Target, RoutingStrategy]] = {}

    async def start(self, caller: Caller, start: Start) -> Conversation:
        """Starts a conversation, or finds the one that the idempotency key stands for.

        Raises:
            RoutingFailed: nobody could answer in it.
        """
        caller.require(Role.DEVELOPER)
        scope, key = caller.scope, start.idempotency_key
        identity = derived_id("c", scope.customer, scope.workspace, key) if key else new_id("c")
        conversation_id = ConversationId(identity)

        def check(transaction: Transaction) -> Conversation | None:
            found = transaction.conversation(scope, conversation_id)
            if found is None:
                index = self.directory.registry(transaction, scope).index
                route(index, start.target, start.strategy, key=conversation_id)
            return found

        found = await self.records.read(check)
        if found is not None:
            return found
        moment = datetime.now(UTC)
        conversation = Conversation(
            id=conversation_id,
            state=ConversationState.INITIATED,
            topic=start.topic,
            capability=start.target.capability,
            agent=start.target.agent,
            participants=["user"],
            started_at=moment,
            last_activity=moment,
            metadata={
                **(start.metadata or {}),
                "routing": {"version_range": start.target.version_range, "strategy": start.strategy},
                "idle_timeout": start.idle_timeout,
            },
        )
        await self.engine.call(lambda: self._start_workflow(scope, conversation))
        await self.records.write(lambda transaction: _record_start(transaction, scope, conversation, caller.actor))
        return conversation

    async def send(self, caller: Caller, conversation_id: ConversationId, ask: Ask, *, wait: float | None) -> TurnView:
        """Sends a message into a conversation; its `target` is the conversation's.

        Args:
            caller: who writes.
            conversation_id: where.
            ask: what (its target does not count).
            wait: seconds to wait for the reply; None not to wait.

        Raises:
            NotFound: there is no such conversation.
            ConversationClosed: it has ended.
            IdempotencyConflict: the key was used for another message.
        """
        caller.require(Role.DEVELOPER)
        scope = caller.scope
        self.turns.inbox.admission.check(scope.customer)
        target, strategy = await self._address(scope, conversation_id)
        ask = Ask(target, ask.content, strategy, ask.variables, ask.idempotency_key, ask.traceparent)
        execution_id = self.turns.execution_id(scope, conversation_id, ask.idempotency_key)
        request = await self.turns.request(caller, ask, execution_id, conversation_id, one_shot=False)
        known = None
        if ask.idempotency_key is not None:
            known = await self.turns.find(scope, request, check_route=False)
        if known is None or known.execution.state is ExecutionState.RUNNING:
            # A running one is sent again: its steps are recorded, so that is harmless, and it may never have been accepted.
            # Whether the conversation has ended is seen where the turn is opened.
            view = await self.turns.submit(request)
            if view is not None:
                return view
            if ask.idempotency_key is not None and known is None:
                await self._refuse_other(request)
        return await self.turns.reply(scope, execution_id, conversation_id, wait)

    async def _refuse_other(self, request: TurnRequest) -> None:
        """Another message may have come with the same key, and wait for its turn: then this one was not taken.

        Raises:
            IdempotencyConflict: so it is.
        """
        waiting = await self.turns.inbox.waiting(request.scope, request.conversation_id, request.execution_id)
        if waiting is None:  # it has begun, or ended: the store has it
            await self.turns.find(request.scope, request, check_route=False)
        elif waiting not in ("", request.fingerprint):  # versions before kept none
            raise request.key_conflict()

    async def _address(self, scope: Scope, conversation_id: ConversationId) -> tuple[Target, RoutingStrategy]:
        """Whom a conversation's messages are for: settled by its start, so it is read once."""
        known = self._addresses.get((scope, conversation_id))
        if known is None:
            conversation = await self.show(scope, conversation_id)
            routing = conversation.metadata.get("routing", {})
            target = Target(
                capability=conversation.capability,
                agent=conversation.agent,
                version_range=routing.get("version_range", "*"),
            )
            known = target, RoutingStrategy(routing.get("strategy", RoutingStrategy.LOAD_BALANCED))
            if len(self._addresses) >= MOST_ADDRESSES:
                self._addresses.clear()
            self._addresses[scope, conversation_id] = known
        return known

    async def end(self, caller: Caller, conversation_id: ConversationId, reason: EndReason) -> Conversation:
        """Ends a conversation: after the turn in hand, or at once when `reason` is Cancelled.

        Raises:
            NotFound: there is no such conversation.
            ConversationClosed: it has ended.
        """
        caller.require(Role.DEVELOPER)
        conversation = await self.show(caller.scope, conversation_id)
        if conversation.state in ENDED:
            raise conversation.closed()
        request = EndInput(scope=caller.scope, conversation_id=conversation_id, reason=reason, actor=caller.actor)
        handle = self.engine.client.get_workflow_handle_for(
            ConversationWorkflow.run, conversation_workflow_id(caller.scope, conversation_id)
        )
        try:
            if reason is EndReason.CANCELLED:
                await self._tell_cancellation(caller, conversation_id, None)
            await self.engine.call(lambda: handle.signal(ConversationWorkflow.end, request))
            if reason is EndReason.CANCELLED or not await self._is_busy(conversation_id, caller.scope):
                await self.engine.call(lambda: handle.result(rpc_timeout=timedelta(seconds=10)))
        except WorkflowMissingError:
            await self.records.write(lambda transaction: _record_end(transaction, request))
        return await self.show(caller.scope, conversation_id)

    async def cancel_turn(
        self, caller: Caller, execution_id: ExecutionId, conversation_id: ConversationId | None = None
    ) -> TurnView:
        """Ends a turn; the conversation goes on. A turn that has ended stays as it is.

        One that waits behind others of its conversation is found when `conversation_id` names that.

        Raises:
            NotFound: there is no such turn.
        """
        caller.require(Role.DEVELOPER)
        turn = await self.turns.show(caller.scope, execution_id, conversation_id)
        if turn.state == "running":
            handle = self.engine.client.get_workflow_handle_for(
                ConversationWorkflow.run, conversation_workflow_id(caller.scope, turn.conversation_id)
            )
            await self._tell_cancellation(caller, turn.conversation_id, execution_id)
            with contextlib.suppress(WorkflowMissingError):  # a quick one, in an inbox: it ends by itself
                await self.engine.call(lambda: handle.signal(ConversationWorkflow.cancel_turn, execution_id))
            turn = await self.turns.reply(caller.scope, execution_id, turn.conversation_id, 10.0)
        return turn

    async def _tell_cancellation(
        self, caller: Caller, conversation_id: ConversationId, execution_id: ExecutionId | None
    ) -> None:
        """Says who wanted it before anything happens: an audit asks for that first."""
        told = CancellationRequested(conversation_ends=execution_id is None)
        event = journal.note(
            caller.scope,
            told,
            new_id("cancel"),
            actor=caller.actor,
            conversation_id=conversation_id,
            execution_id=execution_id,
            correlation_id=execution_id,
        )
        await self.records.write(lambda transaction: transaction.add_events(caller.scope, [event]))

    async def show(self, scope: Scope, conversation_id: ConversationId) -> Conversation:
        """A conversation.

        Raises:
            NotFound: there is none of that id.
        """
        found = await self.records.read(lambda transaction: transaction.conversation(scope, conversation_id))
        if found is None:
            raise NotFound(
                f'there is no conversation "{conversation_id}"',
                Hint(text="see which there are", command="caxton conversation list"),
                details={"conversation": conversation_id},
            )
        return found

    async def list_conversations(
        self, scope: Scope, *, active: bool | None, agent: str | None, before: datetime | None, limit: int
    ) -> list[Conversation]:
        """Conversations, the latest activity first."""
        return await self.records.read(
            lambda transaction: transaction.conversations(scope, active=active, agent=agent, before=before, limit=limit)
        )

    async def messages(
        self, scope: Scope, conversation_id: ConversationId, *, everything: bool, before: datetime | None, limit: int
    ) -> list[Message]:
        """The latest messages, oldest first; with `everything` also those between agents.

        Raises:
            NotFound: there is no such conversation.
        """
        await self.show(scope, conversation_id)
        return await self.records.read(
            lambda transaction: transaction.messages(
                scope, conversation_id=conversation_id, root_only=not everything, before=before, limit=limit
            )
        )

    async def messages_of(
        self, scope: Scope, agent: str | None, *, before: datetime | None, limit: int
    ) -> list[Message]:
        """The latest messages from and to an agent (of all, for None), oldest first."""
        return await self.records.read(
            lambda transaction: transaction.messages(scope, agent=agent, before=before, limit=limit)
        )

    async def _is_busy(self, conversation_id: ConversationId, scope: Scope) -> bool:
        handle = self.engine.client.get_workflow_handle_for(
            ConversationWorkflow.run, conversation_workflow_id(scope, conversation_id)
        )
        status = await self.engine.call(lambda: handle.query(ConversationWorkflow.status))
        return status.running is not None or status.waiting > 0

    async def _start_workflow(self, scope: Scope, conversation: Conversation) -> None:
        await self.engine.client.start_workflow(
            ConversationWorkflow.run,
            _input(scope, conversation),
            id=conversation_workflow_id(scope, conversation.id),
            task_queue=self.engine.task_queue,
            task_timeout=TASK_TIMEOUT,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            search_attributes=_attributes(scope, conversation),
            static_summary=_summary(conversation),
        )


def _input(scope: Scope, conversation: Conversation) -> ConversationInput:
    idle = float(conversation.metadata.get("idle_timeout", IDLE_TIMEOUT))
    return ConversationInput(scope=scope, conversation_id=conversation.id, idle_timeout=idle)


def _attributes(scope: Scope, conversation: Conversation) -> Any:
    return search_attributes(
        scope,
        agent=conversation.agent,
        capability=conversation.capability,
        state=ConversationState.IN_PROGRESS,
    )


def _summary(conversation: Conversation) -> str:
    return f"conversation about {conversation.capability or conversation.agent}"


def _record_start(transaction: Transaction, scope: Scope, conversation: Conversation, actor: str) -> None:
    if not transaction.add_conversation(scope, conversation, one_shot=False):
        return
    started = ConversationStarted(
        initiator="user",
        participants=conversation.participants,
        topic_hash=hash_of(conversation.topic) if conversation.topic else None,
    )
    transaction.add_events(
        scope,
        [
            journal.note(
                scope,
                started,
                conversation.id,
                actor=actor,
                conversation_id=conversation.id,
                skill_id=conversation.capability,
            )
        ],
    )


def _record_end(transaction: Transaction, request: EndInput) -> None:
    """For a conversation whose workflow is gone."""
    if not transaction.end_conversation(request.scope, request.conversation_id, request.reason):
        return
    present = transaction.conversation(request.scope, request.conversation_id)
    assert present is not None
    transaction.add_events(request.scope, [ended_event(request, present)])
