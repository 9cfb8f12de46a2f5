"""A model call: the agent thinks once, and replies or asks for calls."""

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import Any

from caxton.activities import journal
from caxton.activities.budgets import Spending, model_use
from caxton.activities.contents import pack
from caxton.activities.opening import outcome_of
from caxton.activities.prompt import Prompt, read_prompt
from caxton.activities.replies import ReplyDraft, send_reply
from caxton.activities.service_levels import service_level
from caxton.activities.step import StepPorts
from caxton.domain.errors import ExecutionFailed
from caxton.domain.events import SYSTEM
from caxton.domain.events.executions import ActionPrepared, ModelCalled
from caxton.domain.executions import (
    ExecutionState,
    RequestedCall,
    StepInput,
    StepKind,
    StepResult,
    TurnView,
    Usage,
    step_of,
    turn_view,
)
from caxton.domain.governance import ApprovalMode
from caxton.domain.messages import Content, Message
from caxton.domain.ports import FunctionCall, ModelReply
from caxton.domain.records import ExecutionRecord, StepRecord, Transaction
from caxton.observability.metrics import METRICS
from caxton.observability.tracing import model_span


class ModelStep:
    """One model call of one execution."""

    def __init__(self, step: StepInput, ports: StepPorts) -> None:
        """Prepare to call."""
        assert step.plan is not None
        self.input = step
        self.ports = ports
        self.plan = step.plan
        self.prompt: Prompt
        self.reply: ModelReply
        self.content = Content()
        self.took_ms = 0.0
        self.answered_at: datetime
        self.spending: Spending | None = None
        self.begins = step.step == 1
        """Whether all of the execution so far is done in the same batch."""
        self.turn: TurnView | None = None
        """The whole turn, when it began and ended in one batch."""

    def load(self, transaction: Transaction) -> StepResult | None:
        """Finds the step recorded already, or reads what the model is to see."""
        scope, execution_id = self.input.scope, self.input.execution_id
        record = transaction.executions(scope, [execution_id])[execution_id]
        if record.execution.state is not ExecutionState.RUNNING:
            return StepResult(outcome=outcome_of(record))
        steps = transaction.steps(scope, [execution_id])[execution_id]
        for known in steps:
            if known.step == self.input.step and known.call == 0:
                return _recorded(known, record.execution.usage)
        self._check_running(transaction)
        message = transaction.message(scope, record.execution.message_id)
        assert message is not None, "an execution is recorded with its request"
        self.read(transaction, record, message, steps)
        return None

    def read(
        self, transaction: Transaction, record: ExecutionRecord, message: Message, steps: list[StepRecord]
    ) -> None:
        """Reads what the model is to see for the request `message`, behind the execution's `steps` so far.

        Raises:
            BudgetUsedUp: nothing is left of a budget.
        """
        self.prompt = read_prompt(transaction, self.ports.directory, self.input, record, message, steps)
        if self.ports.directory.registry(transaction, self.input.scope).has_budgets:
            self.spending = Spending(transaction, self.input.scope, self.plan.agent)
            self.spending.check("tokens", "cost_usd")

    async def act(self) -> None:
        """Calls the model."""
        request = await self.prompt.request(self.ports)
        publish = self._publish if self.input.execution_id == self.input.root_id else _drop
        started = time.perf_counter()
        with model_span(self.plan.agent, request.agent.spec.models[0]) as span:
            self.reply = await self.ports.models.respond(request, publish)
            span.answered(self.reply)
        self.took_ms = (time.perf_counter() - started) * 1000
        self.answered_at = journal.now()
        if not self.reply.calls:
            self.content = await pack(self.ports.blobs, self.input.scope, self.reply.text)

    def record(self, transaction: Transaction) -> StepResult:
        """Records what the model said; a reply ends the execution."""
        if not self.plan.fast:
            # A call over the network takes time, in which the work may have been cancelled.
            found = transaction.executions(self.input.scope, [self.input.execution_id])[self.input.execution_id]
            if found.execution.state is not ExecutionState.RUNNING:
                return StepResult(outcome=outcome_of(found))
        notes = journal.Journal(self.input, self.plan.conversation_id, self.plan)
        notes.moment = self.answered_at
        called = ModelCalled(
            model=self.reply.model,
            step=self.input.step,
            input_tokens=self.reply.usage.input_tokens,
            output_tokens=self.reply.usage.output_tokens,
            cost_usd=self.reply.usage.cost_usd,
            calls=[call.name for call in self.calls],
            scripted=bool(self.reply.metadata.get("scripted")),
        )
        notes.add(called, latency_ms=self.took_ms)
        if self.spending is not None:
            for told in self.spending.add(transaction, model_use(self.reply.usage)):
                notes.add(told, part=f"{told.subject} {told.resource} {told.period}", actor=SYSTEM)
        result = self._record_calls(transaction, notes) if self.calls else self._reply(transaction, notes)
        transaction.append_events(self.input.scope, notes.events)
        return result

    @property
    def ends(self) -> bool:
        """Whether the model has replied, and nobody has to agree: then recording it ends the execution."""
        return not self.reply.calls and not self.waits_for_approval

    @property
    def waits_for_approval(self) -> bool:
        """Whether a person has to agree with a reply before it goes out."""
        return self.plan.approval_mode not in (None, ApprovalMode.AUTO)

    @cached_property
    def usage(self) -> Usage:
        """What the execution has used, with this call."""
        return self.prompt.usage.plus(self.reply.usage, model_calls=1)

    @cached_property
    def calls(self) -> list[RequestedCall]:
        """What the model asked for."""
        return [self._call(number, call) for number, call in enumerate(self.reply.calls, start=1)]

    def next(self, tools: Sequence[StepRecord]) -> "ModelStep":
        """The call that follows in the same batch, after the `tools` that this one asked for."""
        step = ModelStep(step_of(StepKind.MODEL, self.input, self.plan, self.input.step + 1), self.ports)
        step.begins = self.begins
        step.prompt = self.prompt.after(step.input, [self.recorded(), *tools], self.usage)
        return step

    def _record_calls(self, transaction: Transaction, notes: journal.Journal) -> StepResult:
        transaction.add_step(self.input.scope, self.recorded())
        for call in self.calls:
            prepared = ActionPrepared(
                action_id=f"{self.input.step}.{call.call}", action_type=call.action_type, name=call.name
            )
            notes.add(prepared, part=str(call.call))
        transaction.set_usage(self.input.scope, self.input.execution_id, self.usage)
        return StepResult(calls=self.calls, usage=self.usage)

    def _reply(self, transaction: Transaction, notes: journal.Journal) -> StepResult:
        """A reply ends the execution, unless a person must agree with it first."""
        usage = self.usage
        notes.add(ActionPrepared(action_id=journal.action_id(self.input), action_type="reply"), part="reply")
        record = self.recorded()
        if self.waits_for_approval:
            draft = ReplyDraft(content=self.content, artifacts=self.prompt.artifacts, metadata=self._metadata(usage))
            record = replace(record, payload={**record.payload, "draft": draft.model_dump(mode="json")})
            transaction.add_step(self.input.scope, record)
            transaction.set_usage(self.input.scope, self.input.execution_id, usage)
            return StepResult(needs_approval=True, usage=usage)
        transaction.add_step(self.input.scope, record)
        execution = self.prompt.record.execution.model_copy(update={"usage": usage})
        outcome, message = send_reply(
            transaction,
            self.input,
            execution,
            self.prompt.asked_by,
            ReplyDraft(content=self.content, artifacts=self.prompt.artifacts, metadata=self._metadata(usage)),
            notes,
            level=service_level(self.prompt.agent, self.plan.capability),
            auto_store=self.prompt.agent.spec.memory.auto_store,
        )
        if self.begins and self.input.execution_id == self.input.root_id:
            # The turn is this one execution, so all of it is known here.
            ended = {"state": ExecutionState.COMPLETED, "finished_at": message.created_at}
            self.turn = turn_view(execution.model_copy(update=ended), message)
        return StepResult(outcome=outcome, usage=usage)

    def after(self, result: StepResult) -> None:
        """Counts the call, and tells listeners that there is news."""
        METRICS.model_call(self.reply.model, self.took_ms / 1000, self.reply.usage)
        if result.outcome is not None:
            started = self.prompt.record.execution.started_at
            METRICS.execution(self.plan.agent, "completed", (journal.now() - started).total_seconds())
        if self.turn is not None:
            self.ports.stream.publish(self.input.root_id, "reply", {"turn": self.turn})
        else:
            self.ports.stream.publish(self.input.root_id, "step", {})

    def _check_running(self, transaction: Transaction) -> None:
        component = transaction.component(self.input.scope, "agent", self.plan.agent)
        if component is not None and component.state == "Stopped":
            raise ExecutionFailed(
                f'agent "{self.plan.agent}" was stopped before it could finish',
                "start it and ask again",
                details={"agent": self.plan.agent, "state": component.state},
            )

    def _publish(self, text: str) -> None:
        self.ports.stream.publish(
            self.input.root_id, "delta", {"agent": self.plan.agent, "text": text, "step": self.input.step}
        )

    def _call(self, number: int, call: FunctionCall) -> RequestedCall:
        if call.kind == "capability":
            return RequestedCall(call=number, kind=call.kind, name=call.name, action_type="capability")
        policy = self.prompt.agent.spec.policy_for(*call.name.partition(".")[::2])
        return RequestedCall(
            call=number,
            kind=call.kind,
            name=call.name,
            fast=self.prompt.is_fast_tool(call.name),
            needs_approval=policy.needs_approval,
            action_type=policy.action_type,
        )

    def recorded(self) -> StepRecord:
        """The call and what the model said, as they are recorded."""
        arguments = [dict(call.arguments) for call in self.reply.calls]
        payload: dict[str, Any] = {
            "model": self.reply.model,
            "text": self.reply.text if self.calls else "",
            "calls": [
                {**call.model_dump(), "id": asked.id, "arguments": given}
                for call, asked, given in zip(self.calls, self.reply.calls, arguments, strict=True)
            ],
            "usage": self.reply.usage.model_dump(exclude_none=True),
            "metadata": dict(self.reply.metadata),
        }
        if self.input.step == 1 and self.prompt.agent.spec.memory.enabled:
            payload |= {"memories": self.prompt.memories, "memory_failed": self.prompt.memory_failed}
        return StepRecord(
            execution_id=self.input.execution_id,
            step=self.input.step,
            call=0,
            kind="model",
            ok=True,
            agent=self.plan.agent,
            duration_ms=self.took_ms,
            payload=payload,
        )

    def _metadata(self, usage: Usage) -> dict[str, Any]:
        metadata = {
            **self.reply.metadata,
            "model": self.reply.model,
            "model_calls": usage.model_calls,
            "tool_calls": usage.tool_calls,
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
        }
        if usage.cost_usd is not None:
            metadata["cost_usd"] = usage.cost_usd
        if self.prompt.any_scripted:
            metadata["scripted"] = True
        if self.prompt.memories:
            metadata["memories"] = [memory["id"] for memory in self.prompt.memories]
        if self.prompt.memory_failed:
            metadata["memory"] = "unavailable"
        return metadata


def _drop(_text: str) -> None:
    """Only what the user's own agent says is streamed."""


def _recorded(known: StepRecord, usage: Usage) -> StepResult:
    calls = [RequestedCall.model_validate(call) for call in known.payload.get("calls", [])]
    return StepResult(calls=calls, usage=usage, needs_approval="draft" in known.payload)
