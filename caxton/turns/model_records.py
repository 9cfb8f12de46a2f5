"""A model call as it is recorded, and as it is found recorded."""

from collections.abc import Mapping, Sequence
from typing import Any

from caxton.domain.agent_modules import Handled
from caxton.domain.caller_context import CALLS
from caxton.domain.executions import Plan, RequestedCall, StepInput, StepResult
from caxton.domain.ports import ModelReply
from caxton.domain.records import StepRecord
from caxton.domain.usage import Usage
from caxton.turns.caller_functions import ASKED
from caxton.turns.prompt import Prompt


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
        "text": reply.text if calls or ASKED in more else "",  # a reply is a message
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


def reply_metadata(
    reply: ModelReply, usage: Usage, prompt: Prompt, asked: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Facts on how a reply came about, and the calls of the caller's functions that were `asked` for with it."""
    metadata = {
        **reply.metadata,
        "model": reply.model,
        "model_calls": usage.model_calls,
        "tool_calls": usage.tool_calls,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
    }
    if usage.cost_usd is not None:
        metadata["cost_usd"] = usage.cost_usd
    if asked:
        metadata[CALLS] = list(asked)
    if prompt.any_scripted:
        metadata["scripted"] = True
    if prompt.memories:
        metadata["memories"] = [memory["id"] for memory in prompt.memories]
    if prompt.memory_failed:
        metadata["memory"] = "unavailable"
    return metadata


def result_of(known: StepRecord, usage: Usage) -> StepResult:
    """What a call brought that is recorded already."""
    calls = [RequestedCall.model_validate(call) for call in known.payload.get("calls", [])]
    return StepResult(calls=calls, usage=usage, needs_approval="draft" in known.payload)
