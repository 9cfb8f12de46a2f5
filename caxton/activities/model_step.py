"""A model call: the agent thinks once, and replies or asks for calls."""

import time
from typing import Any

from caxton.activities import journal
from caxton.activities.contents import pack
from caxton.activities.opening import outcome_of
from caxton.activities.prompt import Prompt, read_prompt
from caxton.activities.step import StepPorts
from caxton.domain import events
from caxton.domain.errors import ExecutionFailed
from caxton.domain.executions import (
    ExecutionState,
    RequestedCall,
    StepInput,
    StepResult,
    TurnOutcome,
    Usage,
)
from caxton.domain.messages import Content
from caxton.domain.ports import FunctionCall, ModelReply
from caxton.domain.records import StepRecord, Transaction
from caxton.observability.metrics import METRICS
from caxton.observability.tracing import current_trace, model_span


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
        self.prompt = read_prompt(transaction, self.ports.directory, self.input, record, steps)
        return None

    async def act(self) -> None:
        """Calls the model."""
        request = await self.prompt.request(self.ports)
        publish = self._publish if self.input.execution_id == self.input.root_id else _drop
        started = time.perf_counter()
        with model_span(self.plan.agent, request.agent.spec.models[0]) as span:
            self.reply = await self.ports.models.respond(request, publish)
            span.answered(self.reply)
        self.took_ms = (time.perf_counter() - started) * 1000
        if not self.reply.calls:
            self.content = await pack(self.ports.blobs, self.input.scope, self.reply.text)

    def record(self, transaction: Transaction) -> StepResult:
        """Records what the model said; a reply ends the execution."""
        usage = self.prompt.record.execution.usage.plus(self.reply.usage.model_copy(update={"model_calls": 1}))
        calls = [self._call(number, call) for number, call in enumerate(self.reply.calls, start=1)]
        notes = self._journal()
        notes.add(
            events.MODEL_CALLED,
            {
                "model": self.reply.model,
                "input_tokens": self.reply.usage.input_tokens,
                "output_tokens": self.reply.usage.output_tokens,
                "cost_usd": self.reply.usage.cost_usd,
                "calls": [call.name for call in calls],
                "scripted": bool(self.reply.metadata.get("scripted")),
            },
            latency_ms=self.took_ms,
        )
        transaction.add_step(self.input.scope, self._record(calls))
        if calls:
            for call in calls:
                notes.add(events.ACTION_PREPARED, {"action_type": call.kind, "name": call.name}, part=str(call.call))
            transaction.add_events(self.input.scope, notes.events)
            transaction.set_usage(self.input.scope, self.input.execution_id, usage)
            return StepResult(calls=calls, usage=usage)
        outcome = self._finish(transaction, usage, notes)
        transaction.add_events(self.input.scope, notes.events)
        journal.end_one_shot(transaction, self.input, self.plan.conversation_id)
        return StepResult(outcome=outcome, usage=usage)

    def after(self, result: StepResult) -> None:
        """Counts the call, and tells listeners that there is news."""
        METRICS.model_call(self.reply.model, self.took_ms / 1000, self.reply.usage)
        if result.outcome is not None:
            started = self.prompt.record.execution.started_at
            METRICS.execution(self.plan.agent, "completed", (journal.now() - started).total_seconds())
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
        fast = call.kind == "tool" and self.prompt.is_fast_tool(call.name)
        return RequestedCall(call=number, kind=call.kind, name=call.name, fast=fast)

    def _record(self, calls: list[RequestedCall]) -> StepRecord:
        arguments = [dict(call.arguments) for call in self.reply.calls]
        payload: dict[str, Any] = {
            "model": self.reply.model,
            "text": self.reply.text if calls else "",
            "calls": [
                {**call.model_dump(), "id": asked.id, "arguments": given}
                for call, asked, given in zip(calls, self.reply.calls, arguments, strict=True)
            ],
            "usage": self.reply.usage.model_dump(exclude_none=True),
            "metadata": dict(self.reply.metadata),
        }
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

    def _finish(self, transaction: Transaction, usage: Usage, notes: journal.Journal) -> TurnOutcome:
        scope, execution = self.input.scope, self.prompt.record.execution
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
        message = journal.reply_message(
            self.plan,
            execution_id=execution.id,
            conversation_id=execution.conversation_id,
            sender=self.plan.agent,
            receiver=self.prompt.asked_by,
            reply_to=execution.message_id,
            content=self.content,
            artifacts=self.prompt.artifacts,
            metadata=metadata,
            trace=current_trace(),
        )
        transaction.add_message(scope, message)
        notes.add(events.ACTION_PREPARED, {"action_type": "reply"}, part="reply")
        notes.add(
            events.ACTION_DISPATCHED,
            {"action_type": "reply", "message_id": message.id, "to": message.receiver, "size_bytes": self.content.size},
            part="reply",
        )
        took = (journal.now() - execution.started_at).total_seconds() * 1000
        notes.add(events.EXECUTION_COMPLETED, {"message_id": message.id}, latency_ms=took)
        transaction.finish_execution(
            scope, execution.id, ExecutionState.COMPLETED, reply_id=message.id, error=None, usage=usage
        )
        transaction.touch_conversation(scope, execution.conversation_id, messages=1, participants=())
        return TurnOutcome(
            execution_id=execution.id,
            conversation_id=execution.conversation_id,
            state="completed",
            reply_id=message.id,
        )

    def _journal(self) -> journal.Journal:
        execution = self.prompt.record.execution
        return journal.Journal(
            self.input,
            execution.conversation_id,
            capability=execution.capability,
            actor=self.plan.agent,
            trace_id=current_trace()[0],
        )


def _drop(_text: str) -> None:
    """Only what the user's own agent says is streamed."""


def _recorded(known: StepRecord, usage: Usage) -> StepResult:
    calls = [RequestedCall.model_validate(call) for call in known.payload.get("calls", [])]
    return StepResult(calls=calls, usage=usage)
