"""The reply that ends an execution."""

from typing import Any

from pydantic import BaseModel

from caxton.domain.events.conversations import MessageSent
from caxton.domain.events.executions import ActionDispatched, ActionFailed, ExecutionCompleted
from caxton.domain.executions import Execution, ExecutionState, StepInput, TurnOutcome
from caxton.domain.governance import ServiceLevel
from caxton.domain.messages import Content, Message
from caxton.domain.records import Deadline, Transaction
from caxton.domain.tools import Artifact
from caxton.governance.service_levels import record_end
from caxton.observability.tracing import current_trace
from caxton.recording import journal
from caxton.recording.contents import content_hash
from caxton.turns.outcomes import note_outcome


class ReplyDraft(BaseModel):
    """A reply that is ready to go."""

    content: Content
    artifacts: list[Artifact] = []
    metadata: dict[str, Any] = {}


def send_reply(
    transaction: Transaction,
    step: StepInput,
    execution: Execution,
    receiver: str,
    draft: ReplyDraft,
    notes: journal.Journal,
    *,
    level: ServiceLevel | None,
    refused: str | None = None,
    auto_store: bool = False,
) -> tuple[TurnOutcome, Message]:
    """Records the reply and, with it, the end of the execution. Returns both.

    Args:
        transaction: the one that all of it belongs to.
        step: the step that ends the execution.
        execution: the execution, with all that it used.
        receiver: who asked.
        draft: what to answer.
        notes: takes the events; the caller writes them.
        level: what the capability promises.
        auto_store: whether request and reply are to be remembered.
        refused: how a person's approval ended where the agent's own reply was refused, and `draft` says so instead.
    """
    assert step.plan is not None
    scope, plan = step.scope, step.plan
    message = journal.reply_message(
        plan,
        execution_id=execution.id,
        conversation_id=execution.conversation_id,
        sender=plan.agent,
        receiver=receiver,
        reply_to=execution.message_id,
        content=draft.content,
        artifacts=draft.artifacts,
        metadata=draft.metadata,
        trace=current_trace(),
    )
    notes.moment = message.created_at
    transaction.add_message(scope, message)
    action, size, digest = f"{step.step}.0", draft.content.size, content_hash(draft.content)
    if refused is None:
        dispatched = ActionDispatched(
            action_id=action, action_type="reply", message_id=message.id, content_hash=digest, size_bytes=size
        )
        notes.add(dispatched, part="reply", message_id=message.id)
    else:
        code = f"approval_{refused}"
        notes.add(ActionFailed(action_id=action, action_type="reply", reason=code), part="reply", error_code=code)
    sent = MessageSent(
        message_id=message.id,
        sender=plan.agent,
        receiver=receiver,
        performative=message.type,
        content_hash=digest,
        size_bytes=size,
        reply_to=execution.message_id,
    )
    notes.add(sent, part="reply", message_id=message.id)
    took = max(0.0, (message.created_at - execution.started_at).total_seconds() * 1000)
    completed = ExecutionCompleted(
        message_id=message.id, content_hash=digest, size_bytes=size, approval=refused, **journal.used(execution.usage)
    )
    notes.add(completed, message_id=message.id, latency_ms=took)
    transaction.finish_execution(
        scope,
        execution.id,
        ExecutionState.COMPLETED,
        reply_id=message.id,
        error=None,
        usage=execution.usage,
        at=message.created_at,
    )
    transaction.touch_conversation(scope, execution.conversation_id, messages=1, participants=())
    record_end(transaction, scope, execution, level)
    note_outcome(transaction, scope, plan, execution)
    if auto_store and refused is None:
        # Remembered by the deadline worker, after the reply: no turn waits for its memory.
        transaction.add_deadlines(scope, [Deadline(scope, execution.id, "memory", 0, journal.now(), {})])
    others_wait = journal.end_turn(transaction, step, execution.conversation_id)
    outcome = TurnOutcome(
        execution_id=execution.id,
        conversation_id=execution.conversation_id,
        state="completed",
        reply_id=message.id,
        others_wait=others_wait,
    )
    return outcome, message
