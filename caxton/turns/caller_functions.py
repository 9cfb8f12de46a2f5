"""Functions of the caller: the agent's model asks for them, the turn ends with the calls, and a next turn brings their results.

A turn does not wait for its caller, who may never come back. The next one takes over what the earlier one recorded, its own
calls of tools included, with the results in place: what was done is not done again.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from caxton.domain.agents import AgentVersion
from caxton.domain.caller_context import CallerContext, Said, call_id
from caxton.domain.errors import InvalidInput
from caxton.domain.ids import ExecutionId
from caxton.domain.ports import FunctionCall, FunctionResult, FunctionSpec, ModelReply, PromptPart

ASKED: Final = "asked"
"""In the payload of a model's step: calls of the caller's functions, with which the turn ended."""

AFTER_OTHERS: Final = (
    "not called yet: the other functions that you called at the same time were called first. "
    "If you still need it, call it again, on its own"
)
"""The result of a call of the caller's function beside calls of the agent's own tools, which nobody else can make."""


def functions_of(context: CallerContext) -> list[FunctionSpec]:
    """The caller's functions as a model is offered them."""
    return [FunctionSpec(each.name, "caller", each.description, each.parameters) for each in context.functions]


def check_functions(agent: AgentVersion, *, scripted: bool, param: str = "tools") -> None:
    """Checks that a model is there that can ask for functions of the caller.

    Raises:
        InvalidInput: something else answers in its place.
    """
    if agent.spec.has_model and not scripted:
        return
    what = "is a WebAssembly component" if agent.spec.wasm is not None else "is an agent elsewhere"
    what = "answers by a script" if agent.spec.has_model else what
    raise InvalidInput(
        f'agent "{agent.name}" {what}, and cannot ask for functions of its caller',
        "leave the tools out, or ask an agent with a model",
        details={"agent": agent.name, "param": param},
    )


def of_caller(reply: ModelReply, context: CallerContext) -> tuple[ModelReply, Sequence[FunctionCall]]:
    """A model's answer without the calls that its caller is to make, and those: then the turn ends with them.

    Calls of the agent's own come first. A mistake in a call is the model's to mend.
    """
    theirs = [call for call in reply.calls if call.kind == "caller" and not call.mistake]
    if not theirs:
        return reply, ()
    if len(theirs) == len(reply.calls):
        if context.parallel or len(theirs) == 1:
            return replace(reply, calls=[]), theirs
        return replace(reply, calls=[], given={}), theirs[:1]  # what comes with an answer goes back with all its calls
    calls = [replace(call, mistake=AFTER_OTHERS) if call in theirs else call for call in reply.calls]
    return replace(reply, calls=calls), ()


def recorded_calls(execution_id: ExecutionId, step: int, calls: Sequence[FunctionCall]) -> list[dict[str, Any]]:
    """The calls as they are recorded, and told to the caller: the id of each names the step that asked for it."""
    return [
        {"id": call_id(execution_id, step, number), "name": call.name, "arguments": dict(call.arguments)}
        for number, call in enumerate(calls, start=1)
    ]


def as_parts(said: Sequence[Said]) -> list[PromptPart]:
    """Entries of an exchange as a model sees them."""
    parts: list[PromptPart] = []
    names: dict[str, str] = {}
    for each in said:
        calls = [FunctionCall(call.id, call.name, "caller", call.arguments) for call in each.calls]
        names |= {call.id: call.name for call in each.calls}
        if each.role == "results":
            results = [FunctionResult(found.id, names.get(found.id, ""), found.text) for found in each.results]
            parts.append(PromptPart("results", results=results))
        else:
            parts.append(PromptPart(each.role, each.text, calls=calls))
    return parts
