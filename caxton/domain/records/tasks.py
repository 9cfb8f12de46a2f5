"""The records port: turns as tasks, the latest change first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from caxton.domain.ids import ConversationId, ExecutionId, Scope
from caxton.domain.records.executions import ExecutionRecord
from caxton.domain.records.turns import TurnInHand


@dataclass(frozen=True, slots=True)
class EndedTurns:
    """Which turns that have ended are wanted."""

    completed: bool = True
    failed: bool = True
    codes: frozenset[str] = frozenset()
    """Of those that failed, only those with one of these errors."""
    other_codes: frozenset[str] = frozenset()
    """Of those that failed, none with one of these errors."""
    conversation_id: ConversationId | None = None
    since: datetime | None = None
    """Those that ended then or later."""


class TaskRecords(Protocol):
    """Turns as tasks."""

    def turns_in_progress(
        self, scope: Scope, conversation_id: ConversationId | None, limit: int
    ) -> Sequence[TurnInHand]: ...
    def ended_turns(
        self, scope: Scope, wanted: EndedTurns, before: tuple[datetime, ExecutionId] | None, limit: int
    ) -> list[ExecutionRecord]: ...
    def count_ended_turns(self, scope: Scope, wanted: EndedTurns) -> int: ...
