"""Between Caxton's requests and replies and the messages of pydantic-ai.

Imports pydantic-ai, so it is itself imported only when a provider is called.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelRequestPart,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserContent,
    UserPromptPart,
)
from pydantic_ai.messages import ModelRequest as ProviderRequest
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.settings import ModelSettings as ProviderModelSettings
from pydantic_ai.tools import ToolDefinition

from caxton.adapters.models.function_names import wire_id, wire_name
from caxton.adapters.models.giving_back import earlier_answer, fields_to_give_back
from caxton.adapters.models.structures import Structure
from caxton.domain.agents import ModelSettings
from caxton.domain.errors import ModelAnswerCut, ModelAnswerInvalid, ModelRefusedRequest
from caxton.domain.placed_files import cut, worth_keeping
from caxton.domain.ports import (
    FunctionCall,
    FunctionResult,
    FunctionSpec,
    ModelRequest,
    OutputSchema,
    PromptFile,
    PromptPart,
)


@dataclass(frozen=True, slots=True)
class Call:
    """A request as pydantic-ai takes it."""

    messages: list[ModelMessage]
    settings: ProviderModelSettings
    parameters: ModelRequestParameters
    given: dict[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    """What goes back with earlier calls of the model, by the id of the first call of each answer."""


def to_call(
    request: ModelRequest, headers: Mapping[str, str], model: Model, name: str, structure: Structure = Structure.TOLD
) -> Call:
    """The request for `model`, which agents call `name`, sent with `headers`; `structure` says how its output is asked for."""
    settings = to_settings(request.settings, headers, model)
    if request.stop:
        settings["stop_sequences"] = list(request.stop)
    if request.choice != "auto" and request.functions:
        required = request.choice == "required"
        settings["tool_choice"] = "required" if required else [wire_name(name, "caller") for name in request.choice]
    if not request.parallel and request.functions:
        settings["parallel_tool_calls"] = False
    if request.output is not None and structure is not Structure.NATIVE:
        request = replace(request, system_prompt=_with_schema(request.system_prompt, request.output))
    messages, given = to_messages(request, name)
    native = request.output if structure is not Structure.TOLD else None
    return Call(messages, settings, to_parameters(request.functions, native), given)


def _with_schema(system_prompt: str, output: OutputSchema) -> str:
    """A system prompt that asks for the output, for models whose provider cannot see to it."""
    schema = json.dumps(dict(output.schema), ensure_ascii=False)
    told = (
        "Your final answer is one JSON object that fits this JSON Schema, and nothing else: no other words, no Markdown.\n"
        f"{schema}"
    )
    return f"{system_prompt}\n\n{told}" if system_prompt else told


def to_messages(request: ModelRequest, model: str) -> tuple[list[ModelMessage], dict[str, Mapping[str, Any]]]:
    """The conversation as pydantic-ai has it, and what goes back to `model` besides.

    What precedes the first entry of the user is left out: a window of a conversation may begin in the middle of an
    exchange, and providers refuse results without their calls. Calls get ids of ours: each provider has rules of its own for
    them, and an answer may come from another one than the next.
    """
    messages: list[ModelMessage] = []
    given: dict[str, Mapping[str, Any]] = {}
    first: list[ModelRequestPart] = [SystemPromptPart(request.system_prompt)] if request.system_prompt else []
    known, count = dict[str, ToolCallPart](), 0
    for part in _in_turns(_from_user_on(request.parts)):
        if part.role == "assistant" and (earlier := earlier_answer(part, model)) is not None:
            known = {call.id: called for call, called in zip(part.calls, earlier.tool_calls, strict=True)}
            count += len(part.calls)
            messages.append(earlier)
        elif part.role == "assistant":
            # Results follow their calls: servers that number the calls of each answer alike are understood too.
            known = {call.id: _called(call, count + number) for number, call in enumerate(part.calls, start=1)}
            if part.calls and (fields := fields_to_give_back(part, model)) is not None:
                given[wire_id(count + 1)] = fields
            count += len(part.calls)
            texts = [TextPart(part.text)] if part.text or not part.calls else []
            messages.append(ModelResponse(parts=[*texts, *known.values()]))
        elif part.role == "user":
            messages.append(ProviderRequest(parts=[*first, UserPromptPart(_said(part.text, part.files, part.places))]))
            first = []
        else:
            returned: list[ModelRequestPart] = [_returned(result, known) for result in part.results]
            returned += [
                UserPromptPart(_said(_brought(result), result.files)) for result in part.results if result.files
            ]
            messages.append(ProviderRequest(parts=returned))
    return messages, given if any(given.values()) else {}


def _said(text: str, files: Sequence[PromptFile], places: Sequence[int] = ()) -> str | list[UserContent]:
    """What the user says, with the files that go along, each in its place or behind the text."""
    if not files:
        return text
    seen: list[UserContent] = [
        BinaryContent(file.data, media_type=file.media_type, identifier=file.name) for file in files
    ]
    if not places:
        return [text, *seen] if text else seen
    first, *others = cut(text, places)
    mixed = [first, *(each for pair in zip(seen, others, strict=True) for each in pair)]
    return [each for each in mixed if each]


def _brought(result: FunctionResult) -> str:
    """What stands before the files of a result: few APIs take them in the result itself."""
    return f"[files that {result.name} returned: {', '.join(file.name for file in result.files)}]"


def _from_user_on(parts: Sequence[PromptPart]) -> Sequence[PromptPart]:
    start = next((position for position, part in enumerate(parts) if part.role == "user"), len(parts))
    return parts[start:]


def _in_turns(parts: Sequence[PromptPart]) -> Iterator[PromptPart]:
    """`parts` with what one side says twice in a row as one: some models insist on turns."""
    before: PromptPart | None = None
    for part in parts:
        if before is not None and part.role == before.role != "results" and not before.calls:
            text = "\n\n".join(text for text in (before.text, part.text) if text)
            moved = len(text) - len(part.text)
            places = [*_places(before), *(moved + place for place in _places(part))]
            before = replace(part, text=text, files=[*before.files, *part.files], places=worth_keeping(places, text))
            continue
        if before is not None:
            yield before
        before = part
    if before is not None:
        yield before


def _places(part: PromptPart) -> Sequence[int]:
    return part.places or [len(part.text)] * len(part.files)


def _called(call: FunctionCall, number: int) -> ToolCallPart:
    return ToolCallPart(wire_name(call.name, call.kind), dict(call.arguments), tool_call_id=wire_id(number))


def _returned(result: FunctionResult, calls: Mapping[str, ToolCallPart]) -> ToolReturnPart:
    call = calls.get(result.id)
    return ToolReturnPart(
        tool_name=call.tool_name if call else wire_name(result.name, "tool" if "." in result.name else "capability"),
        content=result.seen,
        tool_call_id=call.tool_call_id if call else result.id,
        outcome="failed" if result.is_error else "success",
    )


def to_parameters(functions: Sequence[FunctionSpec], output: OutputSchema | None = None) -> ModelRequestParameters:
    """The functions that the model may call, and the object that its answer has to be where its provider sees to that."""
    if output is None:
        mode, wanted = "text", None
    else:
        mode = "native"
        wanted = OutputObjectDefinition(
            json_schema=dict(output.schema), name=output.name, description=output.description or None
        )
    return ModelRequestParameters(
        output_mode=mode,
        output_object=wanted,
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


def to_text(response: ModelResponse) -> str:
    """The text of an answer, without what the model thought before."""
    return "".join(part.content for part in response.parts if isinstance(part, TextPart))


def check_complete(response: ModelResponse, text: str, calls: Sequence[FunctionCall]) -> None:
    """Makes sure that the answer is of use.

    Raises:
        ModelRefusedRequest: the provider's filter held the answer back.
        ModelAnswerCut: nothing of use came before the model used up its tokens.
        ModelAnswerInvalid: the answer broke off, or says and asks nothing.
    """
    is_blank = not text.strip() and not calls
    if response.finish_reason == "content_filter" and is_blank:
        raise ModelRefusedRequest(
            "the provider's content filter held the answer back", details={"finish_reason": "content_filter"}
        )
    if response.finish_reason is None or response.state != "complete":
        raise ModelAnswerInvalid("the model's answer broke off before its end")
    if response.finish_reason == "length" and (is_blank or any(call.mistake for call in calls)):
        raise ModelAnswerCut(
            "the model used up its tokens before its answer was complete",
            "raise max_tokens in the agent's [model_settings], or ask for less at a time",
            details={"finish_reason": "length"},
        )
    if is_blank:
        raise ModelAnswerInvalid("the model answered with nothing", details={"finish_reason": response.finish_reason})


def cut_by(response: ModelResponse) -> str | None:
    """Why an answer of use is not whole: "length" or "content_filter"; None if it is whole."""
    return response.finish_reason if response.finish_reason in ("length", "content_filter") else None
