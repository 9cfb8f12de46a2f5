"""How a task stands, for those who are told by push; and that they are to be told."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from caxton.domain.ids import ConversationId, ExecutionId, Scope
from caxton.domain.records import Deadline, Transaction
from caxton.views.a2a import TERMINAL, TaskState, first_pending, since, state_of

KIND: Final = "push"
"""The kind of the deadline by which a task's changes are noticed: it is due at once when the task ends."""


@dataclass(frozen=True, slots=True)
class PushState:
    """What is told."""

    conversation_id: ConversationId
    state: TaskState
    since: datetime

    @property
    def has_ended(self) -> bool:
        """Whether nothing more comes."""
        return self.state in TERMINAL


def push_state(transaction: Transaction, scope: Scope, execution_id: ExecutionId) -> PushState | None:
    """How a task stands; None where there is no such turn."""
    executions = transaction.executions_of_turn(scope, execution_id)
    if not executions:
        waiting = transaction.turns_in_hand(scope, [execution_id]).get(execution_id)
        if waiting is None:
            return None
        return PushState(waiting.request.conversation_id, TaskState.SUBMITTED, waiting.accepted_at)
    root = executions[0].execution
    approvals = transaction.approvals_of(scope, [each.execution.id for each in executions])
    approval = first_pending(approvals) if root.finished_at is None else None
    return PushState(root.conversation_id, state_of(root, approval), since(root, approval))


def note_push_due(transaction: Transaction, scope: Scope, execution_id: ExecutionId, at: datetime) -> None:
    """Has somebody look, at that time, whether there is something to tell."""
    transaction.wait_for_turn(Deadline(scope, execution_id, KIND, 0, at, {}))
