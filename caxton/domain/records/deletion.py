"""The records port: taking away what was recorded of conversations."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from caxton.domain.ids import ConversationId, Digest, Scope


@dataclass(slots=True)
class Removed:
    """What one batch took away."""

    messages: int = 0
    executions: int = 0
    steps: int = 0
    digests: set[Digest] = field(default_factory=set[Digest])
    """Content that it referred to."""
    remembering: bool = False
    """Whether something of it was about to be remembered."""
    more: bool = False
    """Whether there is more to take away."""


class DeletionRecords(Protocol):
    """Taking away what was recorded of conversations."""

    def size_of_conversation(self, scope: Scope, conversation_id: ConversationId) -> tuple[int, int]: ...
    def remove_conversation(self, scope: Scope, conversation_id: ConversationId) -> bool: ...
    def remove_of_conversations(
        self, scope: Scope, ids: Sequence[ConversationId], before: datetime, limit: int
    ) -> Removed: ...
