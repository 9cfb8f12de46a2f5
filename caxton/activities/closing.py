"""Closing an execution that failed: the one answer that it gets says why."""

from caxton.activities import journal
from caxton.activities.opening import outcome_of
from caxton.activities.step import StepPorts
from caxton.domain import events
from caxton.domain.conversations import Conversation, ConversationState
from caxton.domain.errors import CaxtonError, ErrorReport, RoutingFailed
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
        transaction.add_events(scope, self._events(execution, message.id))
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

    def _events(self, execution: Execution, message_id: MessageId) -> list[events.Event]:
        notes = journal.Journal(
            self.input,
            execution.conversation_id,
            capability=execution.capability,
            actor=execution.agent or "system",
            trace_id=current_trace()[0],
        )
        if execution.agent is None:
            notes.add(events.EXECUTION_TRIGGERED, {"target": str(self.request.target)}, actor="external_user")
            notes.add(
                events.ROUTING_FAILED,
                {"skill_requested": execution.capability, "reason": self.error.details.get("reason", self.error.code)},
                error_code=self.error.code,
            )
        took = (journal.now() - execution.started_at).total_seconds() * 1000
        notes.add(
            events.EXECUTION_FAILED,
            {"message_id": message_id, "reason": self.error.code},
            error_code=self.error.code,
            latency_ms=took,
        )
        return notes.events
