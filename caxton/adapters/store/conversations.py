"""Queries on conversations and messages."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Row, or_, select

from caxton.adapters.store import clock
from caxton.adapters.store.schema import conversations, executions, messages
from caxton.adapters.store.session import Session, from_json, in_scope, scoped, to_json
from caxton.domain.conversations import STATE_AFTER, Conversation, ConversationState, EndReason
from caxton.domain.ids import ConversationId, MessageId, Scope
from caxton.domain.messages import Content, Message

ACTIVE = (ConversationState.INITIATED, ConversationState.IN_PROGRESS)


class ConversationQueries(Session):
    """Conversations and messages."""

    def conversation(self, scope: Scope, conversation_id: ConversationId) -> Conversation | None:
        """The conversation of that id."""
        query = select(conversations).where(in_scope(conversations, scope), conversations.c.id == conversation_id)
        row = self.connection.execute(query).first()
        return _conversation(row) if row else None

    def conversations(
        self, scope: Scope, *, active: bool | None, agent: str | None, before: datetime | None, limit: int
    ) -> list[Conversation]:
        """Conversations, the latest activity first; `active` None for all; `before` pages on."""
        query = select(conversations).where(in_scope(conversations, scope))
        if active is not None:
            condition = conversations.c.state.in_(ACTIVE)
            query = query.where(condition if active else ~condition)
        if agent is not None:
            query = query.where(conversations.c.participants.contains(f'"{agent}"', autoescape=True))
        if before is not None:
            query = query.where(conversations.c.last_activity < clock.from_datetime(before))
        query = query.order_by(conversations.c.last_activity.desc()).limit(limit)
        return [_conversation(row) for row in self.connection.execute(query)]

    def add_conversation(self, scope: Scope, conversation: Conversation, *, one_shot: bool) -> bool:
        """Records the start; False when it is recorded already."""
        known = select(conversations.c.id).where(in_scope(conversations, scope), conversations.c.id == conversation.id)
        if self.connection.execute(known).first():
            return False
        row = scoped(
            scope,
            id=conversation.id,
            state=conversation.state,
            topic=conversation.topic,
            capability=conversation.capability,
            agent=conversation.agent,
            participants=to_json(conversation.participants),
            message_count=conversation.message_count,
            one_shot=one_shot,
            started_at=clock.from_datetime(conversation.started_at),
            last_activity=clock.from_datetime(conversation.last_activity),
            ended_at=clock.optional_from(conversation.ended_at),
            end_reason=conversation.end_reason,
            metadata=to_json(conversation.metadata),
        )
        self.insert(conversations, row)
        return True

    def touch_conversation(
        self, scope: Scope, conversation_id: ConversationId, *, messages: int, participants: Iterable[str]
    ) -> None:
        """Counts `messages` more, adds `participants`, and notes the activity."""
        self.flush()
        present = self.conversation(scope, conversation_id)
        if present is None:
            return
        everybody = present.participants + [name for name in participants if name not in present.participants]
        state = ConversationState.IN_PROGRESS if present.state is ConversationState.INITIATED else present.state
        self.connection.execute(
            conversations.update()
            .where(in_scope(conversations, scope), conversations.c.id == conversation_id)
            .values(
                message_count=conversations.c.message_count + messages,
                participants=to_json(everybody),
                last_activity=clock.now(),
                state=state,
            )
        )

    def end_conversation(self, scope: Scope, conversation_id: ConversationId, reason: EndReason) -> bool:
        """Records the end; False when it had ended."""
        self.flush()
        changed = self.connection.execute(
            conversations.update()
            .where(
                in_scope(conversations, scope),
                conversations.c.id == conversation_id,
                conversations.c.state.in_(ACTIVE),
            )
            .values(state=STATE_AFTER[reason], end_reason=reason, ended_at=clock.now())
        )
        return bool(changed.rowcount)

    def message(self, scope: Scope, message_id: MessageId) -> Message | None:
        """The message of that id."""
        query = select(messages).where(in_scope(messages, scope), messages.c.id == message_id)
        row = self.connection.execute(query).first()
        return _message(row) if row else None

    def messages(
        self,
        scope: Scope,
        *,
        conversation_id: ConversationId | None = None,
        agent: str | None = None,
        root_only: bool = False,
        before: datetime | None = None,
        limit: int,
    ) -> list[Message]:
        """The latest `limit` messages, oldest first; `root_only` leaves out what agents said to one another."""
        query = select(messages).where(in_scope(messages, scope))
        if conversation_id is not None:
            query = query.where(messages.c.conversation_id == conversation_id)
        if agent is not None:
            query = query.where(or_(messages.c.sender == agent, messages.c.receiver == agent))
        if before is not None:
            query = query.where(messages.c.created_at < clock.from_datetime(before))
        if root_only:
            root = (executions.c.id == messages.c.execution_id) & in_scope(executions, scope)
            query = query.join(executions, root).where(executions.c.depth == 0)
        query = query.order_by(messages.c.created_at.desc(), messages.c.id.desc()).limit(limit)
        return [_message(row) for row in reversed(self.connection.execute(query).all())]

    def add_message(self, scope: Scope, message: Message) -> None:
        """Records a message."""
        row = scoped(
            scope,
            id=message.id,
            conversation_id=message.conversation_id,
            execution_id=message.execution_id,
            type=message.type,
            sender=message.sender,
            receiver=message.receiver,
            reply_to=message.reply_to,
            text=message.content.text,
            digest=message.content.digest,
            size=message.content.size,
            artifacts=to_json(message.artifacts),
            metadata=to_json(message.metadata),
            trace_id=message.trace_id,
            span_id=message.span_id,
            created_at=clock.from_datetime(message.created_at),
        )
        self.insert(messages, row)


def _conversation(row: Row[tuple[object, ...]]) -> Conversation:
    return Conversation(
        id=row.id,
        state=row.state,
        topic=row.topic,
        capability=row.capability,
        agent=row.agent,
        participants=from_json(row.participants, []),
        message_count=row.message_count,
        started_at=clock.to_datetime(row.started_at),
        last_activity=clock.to_datetime(row.last_activity),
        ended_at=clock.optional_datetime(row.ended_at),
        end_reason=row.end_reason,
        metadata=from_json(row.metadata, {}),
    )


def _message(row: Row[tuple[object, ...]]) -> Message:
    return Message(
        id=row.id,
        conversation_id=row.conversation_id,
        execution_id=row.execution_id,
        type=row.type,
        sender=row.sender,
        receiver=row.receiver,
        reply_to=row.reply_to,
        content=Content(text=row.text, digest=row.digest, size=row.size),
        artifacts=from_json(row.artifacts, []),
        metadata=from_json(row.metadata, {}),
        trace_id=row.trace_id,
        span_id=row.span_id,
        created_at=clock.to_datetime(row.created_at),
    )
