"""The records port: turns that are accepted and have not ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from caxton.domain.conversations import WhenBusy
from caxton.domain.executions import TurnRequest
from caxton.domain.ids import ConversationId, Digest, ExecutionId, Scope


@dataclass(frozen=True, slots=True)
class TurnInHand:
    """A turn that is accepted and has not ended."""

    request: TurnRequest
    begun: bool
    """Whether its execution is recorded; else it waits behind others of its conversation."""
    cancelled: bool
    accepted_at: datetime
    due_at: datetime
    """When its workflow is told of it again."""
    given_way: WhenBusy | None = None
    """How a later message of its conversation has cancelled it, if one has."""
    waited: float = 0.0
    """Seconds that it has waited for places of its calls, which do not count as its time."""


@dataclass(frozen=True, slots=True)
class DueTurn:
    """A turn in progress whose workflow is to be told of it again."""

    scope: Scope
    conversation_id: ConversationId
    execution_id: ExecutionId
    one_shot: bool
    cancelled: bool
    accepted_at: datetime
    due_at: datetime


class RaceLost(Exception):
    """Somebody else's write came in between: what was read is no longer so. The transaction is undone, to be done again."""


@dataclass(frozen=True, slots=True)
class TurnsSoFar:
    """What the turns of a conversation so far settled for the next one."""

    agent: str | None = None
    """Who answered first: the conversation stays with it."""
    digest: Digest | None = None
    """In which version."""


class TurnRecords(Protocol):
    """Turns that are accepted and have not ended."""

    def turns_in_hand(self, scope: Scope, ids: Sequence[ExecutionId]) -> dict[ExecutionId, TurnInHand]: ...
    def turns_waiting(self, scope: Scope, ids: Sequence[ConversationId]) -> dict[ConversationId, int]: ...
    def next_turn(self, scope: Scope, conversation_id: ConversationId) -> TurnInHand | None: ...
    def turns_of(self, scope: Scope, conversation_id: ConversationId) -> list[TurnInHand]: ...
    def add_turn(self, scope: Scope, request: TurnRequest, *, begun: bool, due_at: datetime) -> None: ...
    def begin_turn(self, scope: Scope, execution_id: ExecutionId) -> None: ...
    def cancel_turn(self, scope: Scope, execution_id: ExecutionId) -> bool: ...
    def give_way(
        self, scope: Scope, conversation_id: ConversationId, how: WhenBusy, due_at: datetime
    ) -> list[ExecutionId]: ...
    def remove_turn(self, scope: Scope, execution_id: ExecutionId, conversation_id: ConversationId) -> bool | None: ...
    def due_turns(self, moment: datetime, limit: int) -> list[DueTurn]: ...
    def postpone_turn(self, due: DueTurn, wait: timedelta) -> bool: ...
    def all_due(self) -> None: ...
