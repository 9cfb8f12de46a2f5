"""Closing an execution that failed: the one answer that it gets says why."""

from typing import Any

from caxton.activities import journal
from caxton.activities.approvals import withdraw
from caxton.activities.budgets import refused
from caxton.activities.contents import content_hash
from caxton.activities.opening import outcome_of
from caxton.activities.prompt import child_id
from caxton.activities.service_levels import record_end, service_level
from caxton.activities.step import StepPorts
from caxton.domain.agents import AgentVersion
from caxton.domain.conversations import Conversation, ConversationState
from caxton.domain.errors import BudgetUsedUp, CaxtonError, ErrorReport, RoutingFailed
from caxton.domain.events.conversations import MessageFailed, MessageSent
from caxton.domain.events.conversations import RoutingFailed as RoutingFailedEvent
from caxton.domain.events.executions import ActionFailed, ExecutionTriggered
from caxton.domain.executions import (
    Execution,
    ExecutionState,
    StepInput,
    StepResult,
    TurnOutcome,
    TurnRequest,
    Usage,
)
from caxton.domain.ids import MessageId
from caxton.domain.messages import Content, Message, MessageType
from caxton.domain.records import ExecutionRecord, Transaction
from caxton.domain.sealing import Unplaced
from caxton.observability.metrics import METRICS
from caxton.observability.tracing import current_trace


class Closing:
    """The last step of an execution that failed, also of one that could not be opened."""

    def __init__(self, step: StepInput, ports: StepPorts) -> None:
        """Prepare to close."""
        assert step.request is not None
        assert step.error is not None
        self.input = step
        self.ports = ports
        self.request: TurnRequest = step.request
        self.error: ErrorReport = step.error
        self.found: ExecutionRecord | None = None

    def load(self, transaction: Transaction) -> StepResult | None:
        """Finds the execution ended already."""
        self.found = transaction.executions(self.input.scope, [self.input.execution_id]).get(self.input.execution_id)
        if self.found is not None and self.found.execution.state is not ExecutionState.RUNNING:
            if self.error.code == "idempotency_conflict":
                # The execution of that id is somebody else's request: this one ends without touching it.
                return StepResult(outcome=self._outcome(None))
            return StepResult(outcome=outcome_of(self.found))
        if self.error.code == "idempotency_conflict":
            return StepResult(outcome=self._outcome(None))
        if self.found is not None:
            steps = transaction.steps(self.input.scope, [self.input.execution_id])[self.input.execution_id]
            self.found.execution.usage = self.found.usage_after(steps)
        return None

    async def act(self) -> None:
        """Nothing outside of the store."""

    def record(self, transaction: Transaction) -> StepResult:
        """Records the failure, and the message that tells it."""
        scope, step = self.input.scope, self.input
        execution = self.found.execution if self.found else self._open(transaction)
        agent = execution.agent or "caxton"
        message = journal.reply_message(
            step.plan,
            execution_id=step.execution_id,
            conversation_id=execution.conversation_id,
            sender=agent,
            receiver=step.chain[-1] if step.chain else self.request.sender,
            reply_to=execution.message_id,
            content=Content(text=self.error.message, size=len(self.error.message.encode())),
            error=True,
            metadata={"error_code": self.error.code},
            trace=current_trace(),
        )
        transaction.add_message(scope, message)
        transaction.finish_execution(
            scope,
            step.execution_id,
            ExecutionState.FAILED,
            reply_id=message.id,
            error=self.error,
            usage=execution.usage,
        )
        transaction.touch_conversation(scope, execution.conversation_id, messages=1, participants=())
        transaction.append_events(scope, self._events(transaction, execution, message))
        agent_version = self._agent(transaction, execution)
        if agent_version is not None:
            record_end(transaction, scope, execution, service_level(agent_version, execution.capability))
        journal.end_one_shot(transaction, step, execution.conversation_id)
        return StepResult(outcome=self._outcome(message.id))

    def after(self, _result: StepResult) -> None:
        """Counts the failure."""
        METRICS.execution(self.input.plan.agent if self.input.plan else "", "failed", None)
        if isinstance(CaxtonError.from_report(self.error), RoutingFailed):
            METRICS.routing_failed(self.error.code)
        self.ports.stream.publish(self.input.root_id, "step", {})

    def _outcome(self, reply_id: MessageId | None) -> TurnOutcome:
        return TurnOutcome(
            execution_id=self.input.execution_id,
            conversation_id=self.request.conversation_id,
            state="failed",
            reply_id=reply_id,
            error=self.error,
        )

    def _open(self, transaction: Transaction) -> Execution:
        """Records the execution that never began, so that its request is kept and its retry finds an answer."""
        step, started = self.input, journal.now()
        child = step.parent_id is not None
        execution = Execution(
            id=step.execution_id,
            parent_id=step.parent_id,
            root_id=step.root_id,
            conversation_id=self.request.conversation_id,
            message_id=journal.request_id(step.execution_id) if child else self.request.message_id,
            capability=self.request.target.capability if not child else None,
            state=ExecutionState.RUNNING,
            usage=Usage(),
            depth=len(step.chain),
            started_at=started,
        )
        if not child:
            conversation = Conversation(
                id=self.request.conversation_id,
                state=ConversationState.INITIATED,
                capability=self.request.target.capability,
                agent=self.request.target.agent,
                participants=[self.request.sender],
                started_at=started,
                last_activity=started,
            )
            transaction.add_conversation(step.scope, conversation, one_shot=self.request.one_shot)
            transaction.add_message(
                step.scope,
                Message(
                    id=self.request.message_id,
                    conversation_id=self.request.conversation_id,
                    execution_id=step.execution_id,
                    type=MessageType.REQUEST,
                    sender=self.request.sender,
                    receiver=str(self.request.target),
                    content=self.request.content,
                    trace_id=current_trace()[0],
                    span_id=current_trace()[1],
                    created_at=started,
                ),
            )
        fingerprint = "" if child else self.request.fingerprint
        transaction.add_execution(
            step.scope, ExecutionRecord(execution, fingerprint, None, dict(self.request.variables))
        )
        return execution

    def _agent(self, transaction: Transaction, execution: Execution) -> AgentVersion | None:
        if execution.agent_digest is None:
            return None
        return transaction.agent_versions(self.input.scope, [execution.agent_digest]).get(execution.agent_digest)

    def _events(self, transaction: Transaction, execution: Execution, message: Message) -> list[Unplaced]:
        step, error = self.input, self.error
        notes = journal.Journal(step, execution.conversation_id, step.plan, capability=execution.capability)
        if execution.agent is None:
            asker = journal.sender_actor(step.chain[-1] if step.chain else self.request.sender)
            triggered = ExecutionTriggered(
                target=str(self.request.target) if step.parent_id is None else "hand-over",
                parent_id=step.parent_id,
                depth=len(step.chain),
            )
            notes.add(triggered, actor=asker, message_id=execution.message_id)
            if isinstance(CaxtonError.from_report(error), RoutingFailed):
                notes.add(self._routing_failed(execution), message_id=execution.message_id, error_code=error.code)
            notes.add(
                MessageFailed(message_id=execution.message_id, reason=error.code),
                message_id=execution.message_id,
                error_code=error.code,
            )
            if step.parent_id is not None:
                handed = ActionFailed(
                    action_id=journal.hand_over_id(step),
                    action_type="capability",
                    name=str(error.details.get("capability") or "?"),
                    reason=error.code,
                )
                notes.add(handed, part="hand-over", execution_id=step.parent_id, error_code=error.code)
        else:
            withdraw(transaction, step.scope, execution, notes)
            self._fail_open_actions(transaction, notes)
        if error.code == BudgetUsedUp.code and "subject" in error.details:
            notes.add(refused(error), error_code=error.code)
        sent = MessageSent(
            message_id=message.id,
            sender=message.sender,
            receiver=message.receiver,
            performative=message.type,
            content_hash=content_hash(message.content),
            size_bytes=message.content.size,
            reply_to=message.reply_to,
        )
        notes.add(sent, part="reply", message_id=message.id)
        took = max(0.0, (journal.now() - execution.started_at).total_seconds() * 1000)
        notes.add(
            journal.failed(message.id, error, execution.usage),
            message_id=message.id,
            error_code=error.code,
            latency_ms=took,
        )
        return notes.events

    def _fail_open_actions(self, transaction: Transaction, notes: journal.Journal) -> None:
        """Actions that were prepared and will not be done any more."""
        scope, execution_id = self.input.scope, self.input.execution_id
        steps = transaction.steps(scope, [execution_id])[execution_id]
        done = {(step.step, step.call) for step in steps if step.kind == "tool"}
        for step in steps:
            calls: list[dict[str, Any]] = step.payload.get("calls", []) if step.kind == "model" else []
            for call in calls:
                number = call["call"]
                if call["kind"] == "capability":
                    child = child_id(execution_id, step.step, number)
                    if transaction.executions(scope, [child]):
                        continue
                elif (step.step, number) in done:
                    continue
                failed = ActionFailed(
                    action_id=f"{step.step}.{number}",
                    action_type=call.get("action_type", call["kind"]),
                    name=call["name"],
                    reason=self.error.code,
                )
                notes.add(failed, part=f"open {step.step}.{number}", error_code=self.error.code)
            if "draft" in step.payload:
                failed = ActionFailed(action_id=f"{step.step}.0", action_type="reply", reason=self.error.code)
                notes.add(failed, part=f"open {step.step}.0", error_code=self.error.code)

    def _routing_failed(self, execution: Execution) -> RoutingFailedEvent:
        details = self.error.details
        return RoutingFailedEvent(
            message_id=execution.message_id,
            from_agent=self.input.chain[-1] if self.input.chain else self.request.sender,
            skill_requested=details.get("capability") or execution.capability,
            reason=details.get("reason", self.error.code),
            user_message=self.error.message,
            suggested_actions=[hint.text for hint in self.error.hints],
            available_alternatives=[str(name) for name in details.get("similar", [])],
        )
