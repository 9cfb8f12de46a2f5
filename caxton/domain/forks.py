"""Forks: a new execution that takes over what an old one recorded up to a step, and really does what follows."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from caxton.domain.ids import ConversationId, Digest, ExecutionId
from caxton.domain.messages import Content
from caxton.domain.tools import Artifact

EARLIER = "earlier"
"""In the metadata of a request: the exchange before it, where that is another conversation's."""

TAKEN_OVER = "taken_over"
"""In the payload of a step that another execution did. For a tool's, which function it was: the tool did not run again."""

REHEARSAL = "rehearsal"
"""The channel of events of rehearsals, which are nobody's work; likewise, in the metadata of their conversations."""

ANSWER = "answer"
"""In a call of a step that was taken over: what the other agent answered, for its execution is part of another turn."""


class Earlier(BaseModel):
    """The exchange that came before the request: messages of a conversation before a moment."""

    model_config = ConfigDict(frozen=True)

    conversation_id: ConversationId
    before: datetime


class Fork(BaseModel):
    """What a request takes over."""

    model_config = ConfigDict(frozen=True)

    execution_id: ExecutionId
    """Whose record."""
    step: int
    """The last step that is taken over; 0 for the request alone."""
    agent_digest: Digest
    """The version that goes on."""
    actor: str
    """Who forked it."""
    rehearsal: str | None = None
    """The rollout for which another version answers the same request: nobody gets the reply, and no tool runs."""
    earlier: Earlier | None = None
    """None where the request stood alone."""

    @property
    def rehearses(self) -> ExecutionId | None:
        """The execution whose request is answered in a rehearsal; None where what is done is meant."""
        return self.execution_id if self.rehearsal is not None else None


class HandedOver(BaseModel):
    """What another agent answered."""

    content: Content
    data: Any = None
    is_error: bool = False
    artifacts: list[Artifact] = []
    scripted: bool = False
