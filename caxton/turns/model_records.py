"""A model call as it is recorded, and as it is found recorded."""

from collections.abc import Mapping, Sequence
from typing import Any

from caxton.domain.agent_modules import Handled
from caxton.domain.executions import Plan, RequestedCall, StepInput, StepResult
from caxton.domain.ports import ModelReply
from caxton.domain.records import StepRecord
from caxton.domain.usage import Usage


def model_record(
    step: StepInput,
    plan: Plan,
    reply: ModelReply,
    calls: Sequence[RequestedCall],
    took_ms: float,
    handled: Handled | None,
    more: Mapping[str, Any],
) -> StepRecord:
    """The record of a call.

    Args:
        step: the step that it is.
        plan: of the execution.
        reply: what the model said.
        calls: what it asked for.
        took_ms: milliseconds that it took.
        handled: what the agent's component used and logged, if the agent is one.
        more: what else is kept with it.
    """
    payload: dict[str, Any] = {
        "model": reply.model,
        "text": reply.text if calls else "",
        "calls": [
            {
                **call.model_dump(),
                "id": asked.id,
                "arguments": dict(asked.arguments),
                **({"mistake": asked.mistake} if asked.mistake else {}),
                **({"called_as": asked.kind} if asked.mistake or plan.rehearses else {}),
            }
            for call, asked in zip(calls, reply.calls, strict=True)
        ],
        **({"given": dict(reply.given)} if reply.given else {}),
        "usage": reply.usage.model_dump(exclude_none=True),
        "metadata": dict(reply.metadata),
        **more,
    }
    if handled is not None and handled.log:
        payload["log"] = handled.log
    return StepRecord(
        execution_id=step.execution_id,
        step=step.step,
        call=0,
        kind="model",
        ok=True,
        agent=plan.agent,
        duration_ms=took_ms,
        cpu_ms=handled.usage.cpu_ms if handled else None,
        fuel=handled.usage.fuel if handled else None,
        memory=handled.usage.memory if handled else None,
        payload=payload,
    )


def result_of(known: StepRecord, usage: Usage) -> StepResult:
    """What a call brought that is recorded already."""
    calls = [RequestedCall.model_validate(call) for call in known.payload.get("calls", [])]
    return StepResult(calls=calls, usage=usage, needs_approval="draft" in known.payload)
