"""The records of a step: messages and events, under ids derived from the fact that they record."""

import time
from datetime import UTC, datetime
from typing import Any

from caxton.domain.conversations import EndReason
from caxton.domain.errors import CaxtonError, ErrorReport, error_classes
from caxton.domain.events import SYSTEM, USER, Event, Payload, agent_actor, event_id, trusted_event
from caxton.domain.events.executions import ExecutionFailed
from caxton.domain.executions import Plan, StepInput
from caxton.domain.forks import REHEARSAL
from caxton.domain.ids import ConversationId, DeploymentId, ExecutionId, MessageId, Scope, id_near
from caxton.domain.messages import Content, Message, MessageType
from caxton.domain.origin import Origin, current_origin
from caxton.domain.records import Transaction
from caxton.domain.sealing import Unplaced
from caxton.domain.tools import Artifact
from caxton.domain.usage import Usage
from caxton.observability.tracing import current_trace


def now() -> datetime:
    """The present, in UTC."""
    return datetime.now(UTC)


def request_id(execution_id: ExecutionId) -> MessageId:
    """The message by which a hand-over asks."""
    return MessageId(id_near("m", execution_id, "request"))


def reply_id(execution_id: ExecutionId) -> MessageId:
    """The message that answers an execution."""
    return MessageId(id_near("m", execution_id, "reply"))


def sender_actor(sender: str) -> str:
    """The actor that a message's sender is."""
    return USER if sender == "user" else agent_actor(sender)


def note(
    scope: Scope,
    payload: Payload,
    *fact: str,
    actor: str = SYSTEM,
    agent: str | None = None,
    deployment_id: DeploymentId | None = None,
    origin: Origin | None = None,
    **envelope: Any,
) -> Event:
    """The event that tells `payload`, outside of an execution's steps.

    Args:
        scope: where it happened.
        payload: what happened.
        fact: what makes it this event and no other: the same words give the same id.
        actor: who did it.
        agent: the agent that it is about.
        deployment_id: the deployment that it belongs to.
        origin: from where it was asked for; if None, the request that is being answered.
        envelope: further fields of :class:`Event`.
    """
    origin = origin or payload.origin or current_origin()
    data = payload.as_data()
    if origin is not None:
        data["origin"] = origin.model_dump()
        envelope.setdefault("channel_type", origin.channel or None)
    return trusted_event(
        event_id=event_id(payload.event_type, scope.customer, scope.workspace, *fact, near=fact[0] if fact else None),
        event_type=payload.event_type,
        schema_version=payload.schema_version,
        timestamp=now(),
        customer_id=scope.customer,
        workspace=scope.workspace,
        actor=actor,
        agent=agent,
        deployment_id=deployment_id,
        payload=data,
        trace_id=current_trace()[0],
        **envelope,
    )


class Journal:
    """Writes events of one execution with what they have in common."""

    def __init__(
        self,
        step: StepInput,
        conversation_id: ConversationId,
        plan: Plan | None = None,
        *,
        capability: str | None = None,
        actor: str | None = None,
        channel: str | None = None,
    ) -> None:
        """Prepare for the events of `step`; `plan` says what is known once the execution is open, `channel` how it came in."""
        self.step = step
        self.conversation_id = conversation_id
        self.plan = plan
        self.capability = plan.capability if plan else capability
        self.actor = actor or (agent_actor(plan.agent) if plan else SYSTEM)
        rehearsal = REHEARSAL if plan is not None and plan.rehearses is not None else None
        self.channel = channel or rehearsal
        self.trace_id = current_trace()[0]
        self.events: list[Unplaced] = []
        self.moment: datetime | None = None
        """When what is told next happened; None: just now."""
        self._key = (step.execution_id, str(step.step), str(step.call))
        self._about = self._known(step.execution_id, plan, self.capability)

    def _known(self, execution_id: ExecutionId, plan: Plan | None, capability: str | None) -> tuple[Any, ...]:
        """The values from `deployment_id` to `approval_mode` (:data:`caxton.domain.sealing.COLUMNS`)."""
        if plan is None:
            return None, capability, None, execution_id, None, None, None
        return (
            plan.deployment_id,
            capability,
            plan.capability_version,
            execution_id,
            plan.agent,
            plan.risk_level and plan.risk_level.value,
            plan.approval_mode and plan.approval_mode.value,
        )

    def add(
        self,
        payload: Payload,
        *,
        part: str = "",
        actor: str | None = None,
        message_id: MessageId | None = None,
        error_code: str | None = None,
        latency_ms: float | None = None,
        execution_id: ExecutionId | None = None,
    ) -> None:
        """Notes that something happened; `part` tells apart several events of one type in one step.

        With `execution_id` it happened to another execution of the turn: the one that handed this one the work.
        """
        about = self._about if execution_id is None else self._known(execution_id, None, None)
        scope, kind = self.step.scope, payload.event_type
        identity = event_id(kind, scope.customer, scope.workspace, *self._key, part, near=self.step.root_id)
        # A turn tells ten events: a tuple of what is stored, and no model in between (:data:`caxton.domain.sealing.Unplaced`).
        entry = (
            (scope.workspace, identity, kind, payload.schema_version),
            time.time_ns() // 1000 if self.moment is None else round(self.moment.timestamp() * 1_000_000),
            (
                *about,
                actor or self.actor,
                payload.as_text(),
                self.step.root_id,
                self.conversation_id,
                message_id,
                self.channel,
                error_code,
                None if latency_ms is None else round(latency_ms, 3),
                self.trace_id,
            ),
        )
        self.events.append(entry)


def action_id(step: StepInput) -> str:
    """The action that a step's call is: "2.1" is the first call that the second model call asked for, "2.0" its reply."""
    return f"{step.step}.{step.call}"


def hand_over_id(step: StepInput) -> str:
    """The action by which the parent of `step`'s execution handed it the work."""
    return f"{step.parent_step}.{step.parent_call}"


def used(usage: Usage) -> dict[str, Any]:
    """What an execution used, as its last event tells it."""
    return usage.model_dump(exclude_none=True)


def title_of(error: ErrorReport) -> str:
    """What went wrong in general words. The error's own message may quote what a user, a model or a tool wrote."""
    return error_classes().get(error.code, CaxtonError).title


def failed(message_id: MessageId, error: ErrorReport, usage: Usage) -> ExecutionFailed:
    """How an execution's last event tells a failure."""
    return ExecutionFailed(
        message_id=message_id,
        reason=error.code,
        user_message=title_of(error),
        **used(usage),
    )


def end_turn(transaction: Transaction, step: StepInput, conversation_id: ConversationId) -> bool | None:
    """Notes that the turn has ended, if `step` ended its root execution.

    The record that holds a one-shot request ends with it. It was not a conversation, so the log tells none.

    Returns whether the conversation has other turns in progress; None if nobody has looked.
    """
    if step.execution_id != step.root_id:
        return None
    others_wait = transaction.remove_turn(step.scope, step.execution_id, conversation_id)
    if step.one_shot:
        transaction.end_conversation(step.scope, conversation_id, EndReason.COMPLETED)
    return others_wait


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
