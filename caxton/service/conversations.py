"""Conversations: start, write, end, look."""

import contextlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from caxton.activities.conversations import ended_event
from caxton.domain.conversations import ENDED, IDLE_TIMEOUT, Conversation, ConversationState, EndReason
from caxton.domain.errors import ConversationClosed, Hint, IdempotencyConflict, NotFound
from caxton.domain.events.conversations import ConversationStarted
from caxton.domain.events.executions import CancellationRequested
from caxton.domain.executions import RoutingStrategy, Target, TurnView, cancellation_of
from caxton.domain.ids import ConversationId, ExecutionId, Scope, derived_id, digest_of, new_id
from caxton.domain.json_text import compact_encoder
from caxton.domain.messages import Message
from caxton.domain.origin import current_origin
from caxton.domain.records import Records, Transaction
from caxton.recording import journal
from caxton.recording.contents import hash_of
from caxton.routing.decision import route
from caxton.routing.directory import Directory
from caxton.service.changes import request_change
from caxton.service.context import Caller
from caxton.service.deletion import Deletions, active
from caxton.service.delivery import ConversationRef
from caxton.service.engine import Engine, WorkflowMissingError
from caxton.service.turns import Ask, Turns
from caxton.views.deletion import Deletion
from caxton.workflows.conversation import ConversationWorkflow, EndInput
from caxton.workflows.names import conversation_workflow_id

MOST_ADDRESSES = 10_000
"""Conversations whose target is remembered."""

_sorted_json = compact_encoder(sort_keys=True)


@dataclass(frozen=True, slots=True)
class Start:
    """A conversation as a caller wants it."""

    target: Target
    topic: str | None = None
    idle_timeout: float = IDLE_TIMEOUT
    strategy: RoutingStrategy = RoutingStrategy.LOAD_BALANCED
    metadata: dict[str, Any] | None = None
    idempotency_key: str | None = None
    id: ConversationId | None = None
    """Where the caller chooses it."""


def identity_of(scope: Scope, key: str) -> ConversationId:
    """The conversation that an idempotency key stands for, whether it has begun or not."""
    return ConversationId(derived_id("c", scope.customer, scope.workspace, key))


class Conversations:
    """Use cases on conversations."""

    def __init__(
        self, records: Records, directory: Directory, engine: Engine, turns: Turns, deletions: Deletions
    ) -> None:
        """Join what conversations need."""
        self.deletions = deletions
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
        scope, key = caller.scope, start.idempotency_key
        chosen = identity_of(scope, key) if key else ConversationId(new_id("c"))
        conversation_id = start.id or chosen

        def check(transaction: Transaction) -> Conversation | None:
            found = transaction.conversation(scope, conversation_id)
            if found is None:
                index = self.directory.registry(transaction, scope).index
                route(index, start.target, start.strategy, key=conversation_id)
            return found

        fingerprint = _fingerprint(start)
        found = await self.records.read(check)
        if found is not None:
            return _same(found, fingerprint)
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
                "routing": {
                    "version_range": start.target.version_range,
                    "strategy": start.strategy,
                    "fingerprint": fingerprint,
                },
                "idle_timeout": start.idle_timeout,
            },
        )
        await self.turns.delivery.start(ConversationRef.of_conversation(scope, conversation))
        found = await self.records.write(
            lambda transaction: _record_start(transaction, scope, conversation, caller.actor)
        )
        return conversation if found is None else _same(found, fingerprint)

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
        scope = caller.scope
        self.turns.fast_path.check(scope.customer)
        target, strategy = await self.address(scope, conversation_id)
        ask = replace(ask, target=target, strategy=strategy)
        execution_id = self.turns.execution_id(scope, conversation_id, ask.idempotency_key)
        request = await self.turns.request(caller, ask, execution_id, conversation_id, one_shot=False)
        return await self.turns.submit(request, wait=wait)

    async def address(self, scope: Scope, conversation_id: ConversationId) -> tuple[Target, RoutingStrategy]:
        """Whom a conversation's messages are for: settled by its start, so it is read once.

        Raises:
            NotFound: there is no such conversation.
        """
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
        """Ends a conversation: after the turn in progress, or at once when `reason` is Cancelled.

        Raises:
            NotFound: there is no such conversation.
            ConversationClosed: it has ended.
        """
        conversation = await self.show(caller.scope, conversation_id)
        if conversation.state in ENDED:
            raise conversation.closed()
        request = EndInput(
            scope=caller.scope,
            conversation_id=conversation_id,
            reason=reason,
            actor=caller.actor,
            origin=current_origin(),
        )
        if reason is not EndReason.CANCELLED:  # that is told below
            await request_change(
                self.records, caller, "conversation.end", conversation_id, before=conversation.state, after=str(reason)
            )
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

    async def delete(self, caller: Caller, conversation_id: ConversationId, *, cancel: bool) -> Deletion:
        """Deletes a conversation with its messages, executions, steps, and all that it left in memory, content and engine.

        Args:
            caller: who wants it.
            conversation_id: which.
            cancel: end it first, if it goes on; the turn in progress is cancelled.

        Raises:
            NotFound: there is no such conversation.
            ConversationActive: it goes on.
        """
        conversation = await self.show(caller.scope, conversation_id)
        if conversation.state not in ENDED:
            if not cancel:
                raise active(conversation)
            with contextlib.suppress(ConversationClosed):
                conversation = await self.end(caller, conversation_id, EndReason.CANCELLED)
        done = await self.deletions.delete(caller, conversation)
        self._addresses.pop((caller.scope, conversation_id), None)
        return done

    async def cancel_turn(self, caller: Caller, execution_id: ExecutionId) -> TurnView:
        """Ends a turn, in progress or waiting; the conversation goes on. A turn that has ended stays as it is.

        Raises:
            NotFound: there is no such turn.
        """
        turn = await self.turns.show(caller.scope, execution_id)
        if turn.state == "running":
            handle = self.engine.client.get_workflow_handle_for(
                ConversationWorkflow.run, conversation_workflow_id(caller.scope, turn.conversation_id)
            )
            await self._tell_cancellation(caller, turn.conversation_id, execution_id)
            self.turns.stream.publish(cancellation_of(execution_id), "end", {})
            with contextlib.suppress(WorkflowMissingError):  # then it is due, and ends when it is told of again
                await self.engine.call(lambda: handle.signal(ConversationWorkflow.cancel_turn, execution_id))
            turn = await self.turns.reply(caller.scope, execution_id, 10.0)
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

        def tell(transaction: Transaction) -> None:
            transaction.add_events(caller.scope, [event])
            if execution_id is not None:
                transaction.cancel_turn(caller.scope, execution_id)

        await self.records.write(tell)

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
        return status.running is not None


def _fingerprint(start: Start) -> str:
    """What tells a start from another one under the same idempotency key."""
    facts = [start.target.model_dump(), start.topic, start.idle_timeout, start.strategy, start.metadata or {}]
    return digest_of(_sorted_json(facts).encode())


def _same(found: Conversation, fingerprint: str) -> Conversation:
    """The conversation that the idempotency key stands for.

    Raises:
        IdempotencyConflict: it was begun by another request.
    """
    if found.metadata.get("routing", {}).get("fingerprint") not in (None, fingerprint):
        raise IdempotencyConflict(
            "the idempotency key was used before, for another conversation",
            "use a new key for a new conversation",
            details={"conversation_id": found.id},
        )
    return found


def _record_start(
    transaction: Transaction, scope: Scope, conversation: Conversation, actor: str
) -> Conversation | None:
    """Records the start. If somebody else has with the same key, returns that conversation."""
    if not transaction.add_conversation(scope, conversation, one_shot=False):
        return transaction.conversation(scope, conversation.id)
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
    return None


def _record_end(transaction: Transaction, request: EndInput) -> None:
    """For a conversation whose workflow is gone."""
    if not transaction.end_conversation(request.scope, request.conversation_id, request.reason):
        return
    present = transaction.conversation(request.scope, request.conversation_id)
    assert present is not None
    transaction.add_events(request.scope, [ended_event(request, present)])
