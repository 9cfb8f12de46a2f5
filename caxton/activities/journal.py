"""What a step leaves behind: messages and events, under ids derived from the fact that they tell."""

from datetime import UTC, datetime
from typing import Any

from caxton.domain import events
from caxton.domain.conversations import EndReason
from caxton.domain.events import Event, event_id
from caxton.domain.executions import Plan, StepInput
from caxton.domain.ids import ConversationId, ExecutionId, MessageId, derived_id
from caxton.domain.messages import Content, Message, MessageType
from caxton.domain.records import Transaction
from caxton.domain.tools import Artifact
from caxton.observability.tracing import current_trace


def now() -> datetime:
    """The present, in UTC."""
    return datetime.now(UTC)


def request_id(execution_id: ExecutionId) -> MessageId:
    """The message by which a hand-over asks."""
    return MessageId(derived_id("m", execution_id, "request"))


def reply_id(execution_id: ExecutionId) -> MessageId:
    """The message that answers an execution."""
    return MessageId(derived_id("m", execution_id, "reply"))


class Journal:
    """Writes events of one execution with what they have in common."""

    def __init__(
        self,
        step: StepInput,
        conversation_id: ConversationId,
        *,
        capability: str | None = None,
        capability_version: str | None = None,
        actor: str = "system",
        trace_id: str | None = None,
    ) -> None:
        """Prepare for the events of `step`."""
        self.step = step
        self.conversation_id = conversation_id
        self.capability = capability
        self.capability_version = capability_version
        self.actor = actor
        self.trace_id = trace_id
        self.events: list[Event] = []

    def add(
        self,
        event_type: str,
        payload: dict[str, Any],
        *,
        part: str = "",
        actor: str | None = None,
        error_code: str | None = None,
        latency_ms: float | None = None,
    ) -> None:
        """Notes that something happened; `part` tells apart several events of one type in one step."""
        key = (self.step.execution_id, str(self.step.step), str(self.step.call), part)
        event = Event(
            event_id=event_id(event_type, self.step.scope.workspace, *key),
            event_type=event_type,
            timestamp=now(),
            customer_id=self.step.scope.customer,
            workspace=self.step.scope.workspace,
            skill_id=self.capability,
            skill_version=self.capability_version,
            execution_id=self.step.execution_id,
            actor=actor or self.actor,
            payload=payload,
            correlation_id=self.step.root_id,
            conversation_id=self.conversation_id,
            error_code=error_code,
            latency_ms=None if latency_ms is None else round(latency_ms, 3),
            trace_id=self.trace_id,
        )
        self.events.append(event)


def end_one_shot(transaction: Transaction, step: StepInput, conversation_id: ConversationId) -> None:
    """Ends the conversation that consisted of this one turn, in the transaction of its answer."""
    if not step.one_shot or step.parent_id is not None or step.execution_id != step.root_id:
        return
    if not transaction.end_conversation(step.scope, conversation_id, EndReason.COMPLETED):
        return
    ended = Event(
        event_id=event_id(events.CONVERSATION_ENDED, step.scope.workspace, conversation_id),
        event_type=events.CONVERSATION_ENDED,
        timestamp=now(),
        customer_id=step.scope.customer,
        workspace=step.scope.workspace,
        conversation_id=conversation_id,
        correlation_id=step.root_id,
        payload={"reason": EndReason.COMPLETED},
        trace_id=current_trace()[0],
    )
    transaction.add_events(step.scope, [ended])


def reply_message(
    plan: Plan | None,
    *,
    execution_id: ExecutionId,
    conversation_id: ConversationId,
    sender: str,
    receiver: str,
    reply_to: MessageId,
    content: Content,
    error: bool = False,
    artifacts: list[Artifact] | None = None,
    metadata: dict[str, Any] | None = None,
    trace: tuple[str | None, str | None] = (None, None),
) -> Message:
    """The one message that answers an execution."""
    facts = dict(metadata or {})
    if plan is not None:
        facts.setdefault("agent_version", plan.agent_version)
    return Message(
        id=reply_id(execution_id),
        conversation_id=conversation_id,
        execution_id=execution_id,
        type=MessageType.ERROR if error else MessageType.RESPONSE,
        sender=sender,
        receiver=receiver,
        reply_to=reply_to,
        content=content,
        artifacts=artifacts or [],
        metadata=facts,
        trace_id=trace[0],
        span_id=trace[1],
        created_at=now(),
    )
