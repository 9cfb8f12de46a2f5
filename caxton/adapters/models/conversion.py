"""Between Caxton's requests and replies and the messages of pydantic-ai.

Imports pydantic-ai, so it is itself imported only when a provider is called.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequestPart,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.messages import ModelRequest as ProviderRequest
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.settings import ModelSettings as ProviderModelSettings
from pydantic_ai.tools import ToolDefinition

from caxton.adapters.models.function_names import wire_name
from caxton.domain.agents import ModelSettings
from caxton.domain.errors import ModelAnswerInvalid, ModelRefusedRequest
from caxton.domain.ports import FunctionCall, FunctionResult, FunctionSpec, ModelRequest, PromptPart

_SHOWN = 80
"""Characters of a name made up by a model that an error shows."""


def to_messages(request: ModelRequest) -> list[ModelMessage]:
    """The conversation as pydantic-ai has it.

    What precedes the first entry of the user is left out: a window of a conversation may begin in the middle of an
    exchange, and providers refuse results without their calls.
    """
    names = {call.id: wire_name(call.name, call.kind) for part in request.parts for call in part.calls}
    messages: list[ModelMessage] = []
    first: list[ModelRequestPart] = [SystemPromptPart(request.system_prompt)] if request.system_prompt else []
    for part in _from_user_on(request.parts):
        if part.role == "assistant":
            messages.append(ModelResponse(parts=_answer_parts(part)))
        elif part.role == "user":
            messages.append(ProviderRequest(parts=[*first, UserPromptPart(part.text)]))
            first = []
        else:
            returned: list[ModelRequestPart] = [_returned(result, names) for result in part.results]
            messages.append(ProviderRequest(parts=returned))
    return messages


def _from_user_on(parts: Sequence[PromptPart]) -> Sequence[PromptPart]:
    start = next((position for position, part in enumerate(parts) if part.role == "user"), len(parts))
    return parts[start:]


def _answer_parts(part: PromptPart) -> list[TextPart | ToolCallPart]:
    texts = [TextPart(part.text)] if part.text or not part.calls else []
    return [*texts, *(_called(call) for call in part.calls)]


def _called(call: FunctionCall) -> ToolCallPart:
    return ToolCallPart(wire_name(call.name, call.kind), dict(call.arguments), tool_call_id=call.id)


def _returned(result: FunctionResult, names: Mapping[str, str]) -> ToolReturnPart:
    return ToolReturnPart(
        tool_name=names.get(result.id) or wire_name(result.name, "tool" if "." in result.name else "capability"),
        content=result.text,
        tool_call_id=result.id,
        outcome="failed" if result.is_error else "success",
    )


def to_parameters(functions: Sequence[FunctionSpec]) -> ModelRequestParameters:
    """The functions that the model may call."""
    return ModelRequestParameters(
        function_tools=[
            ToolDefinition(
                name=wire_name(function.name, function.kind),
                description=function.description,
                parameters_json_schema={"type": "object", "properties": {}, **function.schema},
                strict=False,  # the schema goes out as the tool wrote it
            )
            for function in functions
        ],
        allow_text_output=True,
    )


def to_settings(settings: ModelSettings, headers: Mapping[str, str], model: Model) -> ProviderModelSettings:
    """The agent's settings for `model`; the time limit holds for the whole call, streaming included.

    The SDKs' own retries are off where there are any: trying again is the workflow's decision.
    """
    chosen = settings.model_dump(include={"temperature", "top_p", "max_tokens", "seed"}, exclude_none=True)
    provider_settings = cast("ProviderModelSettings", chosen)
    provider_settings["request_timeout"] = settings.timeout
    if "max_retries" not in model.unsupported_settings:  # setting it all the same is a warning
        provider_settings["max_retries"] = 0
    if headers:
        provider_settings["extra_headers"] = dict(headers)
    return provider_settings


def to_calls(response: ModelResponse, functions: Sequence[FunctionSpec]) -> list[FunctionCall]:
    """The calls that the model asks for.

    Raises:
        ModelAnswerInvalid: it calls what it was not offered, or with arguments that are not a JSON object.
    """
    offered = {wire_name(function.name, function.kind): function for function in functions}
    calls: list[FunctionCall] = []
    seen: set[str] = set()
    for part in response.tool_calls:
        function = offered.get(part.tool_name)
        if function is None:
            raise ModelAnswerInvalid(
                f'The model called "{part.tool_name[:_SHOWN]}", which it was not offered',
                f"It was offered: {', '.join(sorted(offered)) or 'nothing'}",
                details={"function": part.tool_name[:_SHOWN]},
            )
        # Some servers number the calls of each answer alike; a result has to find its own call
        call_id = part.tool_call_id if part.tool_call_id not in seen else f"{part.tool_call_id}-{len(seen)}"
        seen.add(call_id)
        calls.append(FunctionCall(call_id, function.name, function.kind, _arguments(part, function.name)))
    return calls


def _arguments(part: ToolCallPart, name: str) -> dict[str, Any]:
    arguments: Any = part.args
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments) if arguments.strip() else {}
        except ValueError as error:
            raise ModelAnswerInvalid(
                f'The model called "{name}" with arguments that are not JSON',
                reason=f"{type(error).__name__} in {len(arguments)} characters",
                details={"function": name},
            ) from None
    if arguments is None:
        return {}
    if not isinstance(arguments, dict):
        raise ModelAnswerInvalid(
            f'The model called "{name}" with arguments that are not a JSON object', details={"function": name}
        )
    return cast("dict[str, Any]", arguments)


def to_text(response: ModelResponse) -> str:
    """The text of an answer, without what the model thought before."""
    return "".join(part.content for part in response.parts if isinstance(part, TextPart))


def check_complete(response: ModelResponse, text: str) -> None:
    """Makes sure that the answer is a whole one.

    Raises:
        ModelRefusedRequest: the provider's filter held the answer back.
        ModelAnswerInvalid: the answer broke off, or says and asks nothing.
    """
    has_calls = bool(response.tool_calls)
    if response.finish_reason == "content_filter" and not text and not has_calls:
        raise ModelRefusedRequest(
            "The provider's content filter held the answer back", details={"finish_reason": "content_filter"}
        )
    if response.finish_reason is None or response.state != "complete":
        raise ModelAnswerInvalid("The model's answer broke off before its end")
    if response.finish_reason == "length" and (has_calls or not text):
        raise ModelAnswerInvalid(
            "The model used up its tokens before its answer was complete",
            "Raise max_tokens in the agent's [model_settings]",
            details={"finish_reason": "length"},
        )
    if not text and not has_calls:
        raise ModelAnswerInvalid("The model answered with nothing", details={"finish_reason": response.finish_reason})
