"""The records port: conversations and their messages."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from caxton.domain.conversations import Conversation, EndReason
from caxton.domain.ids import ConversationId, MessageId, Scope
from caxton.domain.messages import EarlierMessage, Message


@dataclass(frozen=True, slots=True)
class HistoryWanted:
    """So many of the latest messages of a conversation before a moment."""

    conversation_id: ConversationId
    before: datetime
    limit: int


class ConversationRecords(Protocol):
    """Conversations and their messages."""

    def conversation(self, scope: Scope, conversation_id: ConversationId) -> Conversation | None: ...
    def conversations_of(self, scope: Scope, ids: Sequence[ConversationId]) -> dict[ConversationId, Conversation]: ...
    def conversations(
        self, scope: Scope, *, active: bool | None, agent: str | None, before: datetime | None, limit: int
    ) -> list[Conversation]: ...
    def add_conversation(self, scope: Scope, conversation: Conversation, *, one_shot: bool) -> bool: ...
    def touch_conversation(
        self,
        scope: Scope,
        conversation_id: ConversationId,
        *,
        messages: int,
        participants: Collection[str],
        accepted: Conversation | None = None,
    ) -> bool: ...
    def stands_alone(self, scope: Scope, conversation_id: ConversationId) -> bool: ...
    def end_conversation(self, scope: Scope, conversation_id: ConversationId, reason: EndReason) -> bool: ...
    def message(self, scope: Scope, message_id: MessageId) -> Message | None: ...
    def messages(
        self,
        scope: Scope,
        *,
        conversation_id: ConversationId | None = None,
        agent: str | None = None,
        root_only: bool = False,
        before: datetime | None = None,
        limit: int,
    ) -> list[Message]: ...
    def histories(self, scope: Scope, wanted: Sequence[HistoryWanted]) -> list[list[EarlierMessage]]: ...
    def add_message(self, scope: Scope, message: Message) -> None: ...
