"""What comes with an answer beside text and calls, kept so that its provider gets it back: reasoning, signatures of thoughts.

Imports pydantic-ai, so it is itself imported only when a provider is called.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError
from pydantic_ai.messages import (
    ModelMessagesTypeAdapter,
    ModelResponse,
    ModelResponsePart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
)

from caxton.adapters.models.function_names import wire_name
from caxton.domain.ports import FunctionCall, PromptPart

_RESPONSE = "response"

_KEPT = (TextPart, ThinkingPart, ToolCallPart)


def to_give_back(response: ModelResponse, from_chat: Mapping[str, Any]) -> dict[str, Any]:
    """What is to be kept of an answer with calls: fields of a Chat Completions answer, or parts of any other one."""
    if not response.tool_calls:
        return {}
    if from_chat:
        return dict(from_chat)
    if not any(_is_special(part) for part in response.parts):
        return {}
    kept = replace(response, parts=[part for part in response.parts if isinstance(part, _KEPT)])
    return {_RESPONSE: ModelMessagesTypeAdapter.dump_python([kept], mode="json")[0]}


def _is_special(part: object) -> bool:
    if isinstance(part, ThinkingPart):
        return True
    return isinstance(part, (TextPart, ToolCallPart)) and bool(part.provider_details or part.id)


def fields_to_give_back(part: PromptPart, model: str) -> Mapping[str, Any] | None:
    """The fields that go back with the calls of `part` in a Chat Completions request; None if `model` did not make them."""
    if part.model != model or _RESPONSE in part.given:
        return None
    return part.given


def earlier_answer(part: PromptPart, model: str) -> ModelResponse | None:
    """The answer of `part` with all that came with it; None if nothing did, or it is of another model."""
    if part.model != model or _RESPONSE not in part.given:
        return None
    try:
        [found] = ModelMessagesTypeAdapter.validate_python([part.given[_RESPONSE]])
    except (ValidationError, ValueError):  # kept by another version of pydantic-ai
        return None
    if not isinstance(found, ModelResponse) or len(found.tool_calls) != len(part.calls):
        return None
    return replace(found, parts=_with_calls(found.parts, part.calls))


def _with_calls(parts: Sequence[ModelResponsePart], calls: Sequence[FunctionCall]) -> list[ModelResponsePart]:
    """`parts` with their calls as they were understood: what could not be read is not sent again."""
    left = list(calls)
    return [_mended(part, left.pop(0)) if isinstance(part, ToolCallPart) else part for part in parts]


def _mended(part: ToolCallPart, call: FunctionCall) -> ToolCallPart:
    name = wire_name(call.name, call.kind)
    return replace(part, tool_name=name, args=dict(call.arguments), tool_call_id=call.id)
