"""Queries on conversations and messages."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Boolean, CompoundSelect, Row, Select, Text, and_, bindparam, func, literal, or_, select

from caxton.adapters.store import clock
from caxton.adapters.store.schema import conversations, executions, messages
from caxton.adapters.store.session import Session, from_json, given, in_scope, scope_given, scoped, to_json
from caxton.adapters.store.several import chunks, each
from caxton.domain.caller_context import CALLS, CONTINUED, PLACES
from caxton.domain.conversations import STATE_AFTER, Conversation, ConversationState, EndReason
from caxton.domain.forks import REHEARSAL
from caxton.domain.ids import ConversationId, Digest, ExecutionId, MessageId, Scope
from caxton.domain.messages import APPROVAL, ERROR_CODE, Content, EarlierMessage, Message
from caxton.domain.records import HistoryWanted
from caxton.domain.tools import Artifact

ACTIVE = (ConversationState.INITIATED, ConversationState.IN_PROGRESS)


_CONVERSATION = select(conversations).where(scope_given(conversations), conversations.c.id == bindparam("id"))
_ONE_SHOT = select(conversations.c.one_shot).where(scope_given(conversations), conversations.c.id == bindparam("id"))
_MESSAGE = select(messages).where(scope_given(messages), messages.c.id == bindparam("id"))
_BY_ID = select(conversations).where(
    scope_given(conversations), conversations.c.id.in_(bindparam("ids", expanding=True))
)


_SPECIAL = [f'"{name}"' for name in (APPROVAL, ERROR_CODE, CALLS, CONTINUED, PLACES)]
"""In the metadata of a message, as JSON, whose metadata count for what a model is shown."""

_SHOWN = [messages.c[name] for name in ("execution_id", "type", "sender", "text", "digest", "artifacts", "metadata")]
"""What a model is shown of a message."""


@lru_cache(maxsize=16)
def _histories(count: int) -> CompoundSelect[Any]:
    """What a model is shown of `count` conversations, the latest first."""

    def query(number: int) -> Select[Any]:
        return (
            select(literal(number).label("number"), *_SHOWN)
            .join(
                executions,
                (executions.c.id == messages.c.execution_id)
                & (executions.c.customer == messages.c.customer)
                & (executions.c.workspace == messages.c.workspace),
            )
            .where(
                scope_given(messages),
                messages.c.conversation_id == bindparam(f"id_{number}"),
                messages.c.created_at < bindparam(f"before_{number}"),
                executions.c.depth == 0,
            )
            .order_by(messages.c.created_at.desc(), messages.c.id.desc())
            .limit(bindparam(f"most_{number}"))
        )

    return each(count, query)


_OF_CONVERSATION = (
    conversations.c.customer == bindparam("in_customer"),
    conversations.c.workspace == bindparam("in_workspace"),
    conversations.c.id == bindparam("in_id"),
)
_MAY_CHANGE = or_(
    bindparam("in_any_state", type_=Boolean),
    and_(conversations.c.state.in_(ACTIVE), conversations.c.accepted == bindparam("in_accepted")),
)
_TOUCH = (
    conversations.update()
    .where(*_OF_CONVERSATION, _MAY_CHANGE)
    .values(
        message_count=conversations.c.message_count + bindparam("new_messages"),
        accepted=conversations.c.accepted + bindparam("new_accepted"),
        last_activity=bindparam("new_last_activity"),
        participants=func.coalesce(bindparam("new_participants", type_=Text), conversations.c.participants),
        state=func.coalesce(bindparam("new_state", type_=Text), conversations.c.state),
    )
)
_END = (
    conversations.update()
    .where(*_OF_CONVERSATION, conversations.c.state.in_(ACTIVE))
    .values({name: bindparam(f"new_{name}") for name in ("state", "end_reason", "ended_at")})
)


def _key(scope: Scope, conversation_id: ConversationId) -> dict[str, str]:
    return {"in_customer": scope.customer, "in_workspace": scope.workspace, "in_id": conversation_id}


def _touched(
    messages: int, moment: int, accepted: int | None, participants: str | None = None, state: str | None = None
) -> dict[str, object]:
    return {
        "new_messages": messages,
        "new_last_activity": moment,
        "new_accepted": 0 if accepted is None else 1,
        "new_participants": participants,
        "new_state": state,
        "in_any_state": accepted is None,
        "in_accepted": accepted or 0,
    }


class ConversationQueries(Session):
    """Conversations and messages."""

    def conversation(self, scope: Scope, conversation_id: ConversationId) -> Conversation | None:
        """The conversation of that id."""
        row = self.connection.execute(_CONVERSATION, given(scope, id=conversation_id)).first()
        return _conversation(row) if row else None

    def conversations_of(self, scope: Scope, ids: Sequence[ConversationId]) -> dict[ConversationId, Conversation]:
        """Those of the conversations that exist."""
        rows = self.connection.execute(_BY_ID, given(scope, ids=list(ids))) if ids else ()
        return {row.id: _conversation(row) for row in rows}

    def conversations(
        self, scope: Scope, *, active: bool | None, agent: str | None, before: datetime | None, limit: int
    ) -> list[Conversation]:
        """Conversations, the latest activity first; `active` None for all; `before` pages on."""
        rehearsal = conversations.c.one_shot & conversations.c.metadata.contains(f'"{REHEARSAL}":')
        query = select(conversations).where(in_scope(conversations, scope), ~rehearsal)
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
        # A one-shot request's conversation has an id of its own: should it be there, the insert fails and comes again.
        is_new = one_shot and not self.retried
        if not is_new and self.connection.execute(_CONVERSATION, given(scope, id=conversation.id)).first():
            return False
        row = scoped(
            scope,
            id=conversation.id,
            state=conversation.state.value,
            topic=conversation.topic,
            capability=conversation.capability,
            agent=conversation.agent,
            participants=to_json(conversation.participants),
            message_count=conversation.message_count,
            accepted=conversation.accepted,
            one_shot=one_shot,
            started_at=clock.from_datetime(conversation.started_at),
            last_activity=clock.from_datetime(conversation.last_activity),
            ended_at=clock.optional_from(conversation.ended_at),
            end_reason=conversation.end_reason,
            metadata=to_json(conversation.metadata),
        )
        self.insert_keyed(conversations, scope, conversation.id, row)
        return True

    def touch_conversation(
        self,
        scope: Scope,
        conversation_id: ConversationId,
        *,
        messages: int,
        participants: Collection[str],
        accepted: Conversation | None = None,
    ) -> bool:
        """Counts `messages` more, adds `participants`, and notes the activity.

        With `accepted`, the conversation as it was read, a message is accepted: False, and nothing is changed, if it has ended
        or has accepted another message since. (While writes are only being prepared nobody knows; such a transaction is then
        not committed.) Nobody else can have joined then, for only messages in progress bring others in.
        """
        row = self.fresh(conversations, scope, conversation_id)
        if row is not None and not participants:
            row["message_count"] += messages
            row["last_activity"] = clock.now()
            return True
        number = None if accepted is None else accepted.accepted
        if self.prepared and (accepted is not None or not participants):
            key = (scope.customer, scope.workspace, conversation_id)
            before = self.counts.get(key)
            known, expected, everybody, state = (before[0], *before[5:]) if before else (0, None, None, None)
            if accepted is not None and participants:
                everybody, state = _joined(accepted, participants)
            expected = number if expected is None else expected
            self.counts[key] = (known + messages, clock.now(), *key, expected, everybody, state)
            return True
        self.flush()
        everybody = state = None
        if participants:
            present = accepted or self.conversation(scope, conversation_id)
            if present is None:
                return False
            everybody, state = _joined(present, participants)
        values = {**_key(scope, conversation_id), **_touched(messages, clock.now(), number, everybody, state)}
        return bool(self.connection.execute(_TOUCH, values).rowcount)

    def count_prepared(self) -> bool:
        """Counts the messages of prepared writes; False if one of the conversations has ended, or accepted another message."""
        for new, moment, customer, workspace, conversation_id, accepted, everybody, state in self.counts.values():
            key = _key(Scope(customer=customer, workspace=workspace), ConversationId(conversation_id))
            if not self.connection.execute(
                _TOUCH, {**key, **_touched(new, moment, accepted, everybody, state)}
            ).rowcount:
                return False
        return True

    def end_conversation(self, scope: Scope, conversation_id: ConversationId, reason: EndReason) -> bool:
        """Records the end; False when it had ended."""
        values = {"state": STATE_AFTER[reason].value, "end_reason": reason.value, "ended_at": clock.now()}
        row = self.fresh(conversations, scope, conversation_id)
        if row is not None:
            if row["state"] not in ACTIVE:
                return False
            row.update(values)
            return True
        self.flush()
        new = {f"new_{name}": value for name, value in values.items()}
        changed = self.connection.execute(_END, {**_key(scope, conversation_id), **new})
        return bool(changed.rowcount)

    def stands_alone(self, scope: Scope, conversation_id: ConversationId) -> bool:
        """Whether the conversation is that of a one-shot request."""
        return bool(self.connection.execute(_ONE_SHOT, given(scope, id=conversation_id)).scalar())

    def message(self, scope: Scope, message_id: MessageId) -> Message | None:
        """The message of that id."""
        row = self.connection.execute(_MESSAGE, given(scope, id=message_id)).first()
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

    def histories(self, scope: Scope, wanted: Sequence[HistoryWanted]) -> list[list[EarlierMessage]]:
        """For each: the latest messages between user and agents before a moment, oldest first: what a model is shown."""
        found: list[list[EarlierMessage]] = []
        for chunk in chunks(wanted, HistoryWanted(ConversationId(""), datetime.fromtimestamp(0, UTC), 0)):
            values: dict[str, Any] = {}
            for number, each_wanted in enumerate(chunk):
                values[f"id_{number}"] = each_wanted.conversation_id
                values[f"before_{number}"] = clock.from_datetime(each_wanted.before)
                values[f"most_{number}"] = each_wanted.limit
            histories: list[list[EarlierMessage]] = [[] for _ in chunk]
            for number, *shown in self.connection.execute(_histories(len(chunk)), given(scope, **values)):
                histories[number].append(_earlier_message(*shown))
            found += [history[::-1] for history in histories]
        return found[: len(wanted)]

    def add_message(self, scope: Scope, message: Message) -> None:
        """Records a message."""
        row = scoped(
            scope,
            id=message.id,
            conversation_id=message.conversation_id,
            execution_id=message.execution_id,
            type=message.type.value,
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
        if message.content.digest is not None or message.artifacts:
            digests = [artifact.digest for artifact in message.artifacts]
            own = [message.content.digest] if message.content.digest is not None else []
            self.insert_uses(scope, [*digests, *own], message.id)


def _joined(conversation: Conversation, names: Collection[str]) -> tuple[str, str]:
    """Participants and state of `conversation` once those of these names take part."""
    everybody = conversation.participants + [name for name in names if name not in conversation.participants]
    is_new = conversation.state is ConversationState.INITIATED
    return to_json(everybody), (ConversationState.IN_PROGRESS if is_new else conversation.state).value


def _conversation(row: Row[tuple[object, ...]]) -> Conversation:
    return Conversation(
        id=row.id,
        state=row.state,
        topic=row.topic,
        capability=row.capability,
        agent=row.agent,
        participants=from_json(row.participants, []),
        message_count=row.message_count,
        accepted=row.accepted,
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


def _earlier_message(
    execution_id: ExecutionId,
    type: str,
    sender: str,
    text: str | None,
    digest: Digest | None,
    artifacts: str | None,
    metadata: str | None,
) -> EarlierMessage:
    files = [] if artifacts in (None, "[]") else [Artifact.model_validate(each) for each in from_json(artifacts)]
    is_special = metadata is not None and any(name in metadata for name in _SPECIAL)
    facts: dict[str, Any] = from_json(metadata) if is_special else {}
    return EarlierMessage(execution_id, type, sender, text, digest, files, facts)
