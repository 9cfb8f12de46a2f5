"""Closing an execution that failed: the one answer that it gets says why."""

from typing import Any

from caxton.domain.agents import AgentVersion
from caxton.domain.breakers import BreakerKind
from caxton.domain.conversations import Conversation, ConversationState
from caxton.domain.errors import (
    BudgetUsedUp,
    CaxtonError,
    ErrorReport,
    ExecutionCancelled,
    RoutingFailed,
    StepLimitReached,
    StepTimedOut,
    TimeLimitReached,
    TokenLimitReached,
)
from caxton.domain.events.conversations import MessageFailed, MessageSent
from caxton.domain.events.conversations import RoutingFailed as RoutingFailedEvent
from caxton.domain.events.executions import ActionFailed, ExecutionTriggered
from caxton.domain.executions import (
    Ending,
    Execution,
    ExecutionState,
    Plan,
    StepInput,
    StepResult,
    TurnOutcome,
    TurnRequest,
)
from caxton.domain.forks import ANSWER
from caxton.domain.ids import MessageId
from caxton.domain.messages import ERROR_CODE, Content, Message, MessageType
from caxton.domain.records import ExecutionRecord, Transaction
from caxton.domain.sealing import Unplaced
from caxton.domain.usage import Usage
from caxton.governance.budgets import refused
from caxton.governance.faults import is_agents_fault
from caxton.governance.service_levels import record_end, service_level
from caxton.observability.metrics import METRICS
from caxton.observability.tracing import current_trace
from caxton.recording import journal
from caxton.recording.contents import content_hash
from caxton.turns.approvals import withdraw
from caxton.turns.outcomes import note_outcome, outcome_of
from caxton.turns.prompt import child_id
from caxton.turns.step import StepPorts, publish_step


class Closing:
    """The last step of an execution that failed, also of one that could not be opened."""

    def __init__(self, step: StepInput, ports: StepPorts, request: TurnRequest, error: ErrorReport) -> None:
        """Prepare to close an execution of the turn that `request` began, with `error`."""
        self.input = step
        self.ports = ports
        self.request = request
        self.error = error
        self.rehearsed = request.fork is not None and request.fork.rehearses is not None
        """Whether nothing of it counts: it was a rehearsal."""
        self.found: ExecutionRecord | None = None
        self.agent: AgentVersion | None = None
        """Who did it, if it was begun."""
        self.is_live = False
        """Whether that is the version that is live."""

    def load(self, transaction: Transaction) -> StepResult | None:
        """Finds the execution ended already."""
        self.found = transaction.executions(self.input.scope, [self.input.execution_id]).get(self.input.execution_id)
        if self.found is not None and self.found.execution.state is not ExecutionState.RUNNING:
            return StepResult(outcome=outcome_of(self.found))
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
            metadata={ERROR_CODE: self.error.code},
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
        note_outcome(transaction, scope, step.plan, execution, self.error.code)
        transaction.touch_conversation(scope, execution.conversation_id, messages=1, participants=())
        transaction.append_events(scope, self._events(transaction, execution, message))
        self.agent = self._agent(transaction, execution)
        if self.agent is not None:
            registry = self.ports.directory.registry(transaction, scope)
            self.is_live = registry.is_live(self.agent.name, self.agent.digest)
            if not self.rehearsed:
                record_end(transaction, scope, execution, service_level(self.agent, execution.capability))
        transaction.remove_places_of(scope, step.execution_id)
        journal.end_turn(transaction, step, execution.conversation_id)
        return StepResult(outcome=self._outcome(message.id))

    def after(self, result: StepResult) -> None:
        """Counts the failure."""
        if not self.rehearsed:
            METRICS.execution(self.input.plan.agent if self.input.plan else "", "failed", None)
        if isinstance(CaxtonError.from_report(self.error), RoutingFailed):
            METRICS.routing_failed(self.error.code)
        if self.agent is not None and not self.rehearsed:
            # What a candidate does says nothing of the version that is live: its rollout compares the two.
            ok = False if self.is_live and is_agents_fault(self.error) else None
            spec, by = self.agent.spec, self.input.execution_id
            self.ports.breakers.tell(
                self.input.scope, BreakerKind.AGENT, spec.name, spec.breaker, by, ok, self.error.code
            )
        publish_step(self.ports, self.input, result)

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
                    artifacts=list(self.request.files),
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
        notes = journal.Journal(
            step,
            execution.conversation_id,
            step.plan,
            capability=execution.capability,
            channel=self.request.channel,
        )
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
        """Actions that were prepared and will not be carried out."""
        scope, execution_id = self.input.scope, self.input.execution_id
        steps = transaction.steps(scope, [execution_id])[execution_id]
        done = {(step.step, step.call) for step in steps if step.kind == "tool"}
        for step in steps:
            calls: list[dict[str, Any]] = step.payload.get("calls", []) if step.kind == "model" else []
            for call in calls:
                number = call["call"]
                if ANSWER in call:
                    continue
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


CALL_LOST = {
    "TimeoutError": "was given up: it took longer than its own limits and the agent's allow",
    "worker_lost": "was given up: each worker that made it ended in the middle of it",
}
"""What a workflow says of a call that came to no end, in words."""


def report_of_ending(ending: Ending, plan: Plan | None) -> ErrorReport:
    """The error of an execution that its workflow ends."""
    agent = plan.agent if plan else "?"
    details = {"limit": ending.code.removesuffix("_limit_reached"), "value": ending.value, "agent": agent}
    if ending.code == StepLimitReached.code:
        error: CaxtonError = StepLimitReached(
            f'agent "{agent}" did not finish within {ending.value:g} steps',
            f'raise `steps` in [limits] of agent "{agent}", or make its task smaller',
            details=details,
        )
    elif ending.code == TokenLimitReached.code:
        error = TokenLimitReached(
            f'agent "{agent}" used more tokens than the {ending.value:g} allowed',
            f'raise `tokens` in [limits] of agent "{agent}"',
            details=details,
        )
    elif ending.code == TimeLimitReached.code:
        error = TimeLimitReached(
            f'agent "{agent}" did not finish within {ending.value:g} s',
            f'raise `time` in [limits] of agent "{agent}"',
            details=details,
        )
    elif ending.code == ExecutionCancelled.code:
        error = ExecutionCancelled("the work was cancelled")
    elif ending.code in CALL_LOST:
        error = StepTimedOut(
            f'a call of agent "{agent}" {CALL_LOST[ending.code]}', "ask again", details={"agent": agent}
        )
    else:
        error = CaxtonError("the work ended without a result", "the server's log says more", reason=ending.code)
    return error.report()
