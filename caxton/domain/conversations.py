"""Conversations: a user and one or more agents, over any number of turns."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, Field

from caxton.domain.errors import ConversationClosed
from caxton.domain.ids import ConversationId
from caxton.domain.lifecycle import StateMachine

IDLE_TIMEOUT = 24 * 3600.0
"""Seconds without a message after which a conversation expires, unless its start says otherwise."""


class ConversationState(StrEnum):
    """States of a conversation (architecture 1.0, "Message Flow State Machine")."""

    INITIATED = "Initiated"
    IN_PROGRESS = "InProgress"
    COMPLETED = "Completed"
    FAILED = "Failed"
    EXPIRED = "Expired"


ENDED = (ConversationState.COMPLETED, ConversationState.FAILED, ConversationState.EXPIRED)


class WhenBusy(StrEnum):
    """What happens to a message into a conversation that still works on earlier ones."""

    ENQUEUE = "enqueue"
    """It waits for its turn."""
    REJECT = "reject"
    """It is refused."""
    INTERRUPT = "interrupt"
    """It comes next: what is at work ends at its next step, and stays in the conversation."""
    REPLACE = "replace"
    """It comes next, as if what is at work had never been asked."""


class EndReason(StrEnum):
    """Why a conversation ended (event model 2.0, EndConversation)."""

    COMPLETED = "Completed"
    CANCELLED = "Cancelled"
    TIMEOUT = "Timeout"
    FAILED = "Failed"


CONVERSATION_LIFECYCLE = StateMachine(
    "conversation",
    ConversationState,
    {
        ConversationState.INITIATED: {
            ConversationState.IN_PROGRESS,
            ConversationState.COMPLETED,
            ConversationState.FAILED,
            ConversationState.EXPIRED,
        },
        ConversationState.IN_PROGRESS: {
            ConversationState.COMPLETED,
            ConversationState.FAILED,
            ConversationState.EXPIRED,
        },
    },
)

STATE_AFTER = {
    EndReason.COMPLETED: ConversationState.COMPLETED,
    EndReason.CANCELLED: ConversationState.COMPLETED,
    EndReason.TIMEOUT: ConversationState.EXPIRED,
    EndReason.FAILED: ConversationState.FAILED,
}


class Conversation(BaseModel):
    """A conversation as views show it."""

    id: ConversationId
    state: ConversationState
    topic: str | None = None
    capability: str | None = None
    agent: str | None = None
    participants: list[str] = []
    message_count: int = 0
    accepted: int = Field(default=0, exclude=True)
    """How many messages have been accepted in it: who accepts one says how many there were, so that two cannot at a time."""
    started_at: datetime
    last_activity: datetime
    ended_at: datetime | None = None
    end_reason: EndReason | None = None
    metadata: dict[str, Any] = {}

    def closed(self) -> ConversationClosed:
        """What who writes into it is told once it has ended."""
        return ConversationClosed(
            f'conversation "{self.id}" has ended ({self.end_reason})',
            "start a new one",
            details={"conversation": self.id, "reason": self.end_reason},
        )
