"""What a model asks for, as calls. A mistake of the model's is not a failure: it is told to it as the call's result.

Imports pydantic-ai, so it is itself imported only when a provider is called.
"""

import json
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, cast

from pydantic_ai.messages import ModelResponse, ToolCallPart

from caxton.adapters.models.characters import whole
from caxton.adapters.models.function_names import wire_name
from caxton.domain.errors import InvalidInput
from caxton.domain.ports import FunctionCall, FunctionSpec
from caxton.domain.strict_json import read_json

_SHOWN_NAME = 80
"""Characters of a name made up by a model that it is shown."""

_SHOWN_ARGUMENTS = 300
"""Characters of arguments that cannot be read that the model is shown."""

_SHOWN_FUNCTIONS = 60
"""Functions that a model is reminded of."""

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class _MistakeError(Exception):
    """What is wrong with a call."""


def to_calls(response: ModelResponse, functions: Sequence[FunctionSpec]) -> list[FunctionCall]:
    """The calls that the model asks for; those that cannot be made say why."""
    offered = {wire_name(function.name, function.kind): function for function in functions}
    calls: list[FunctionCall] = []
    seen: set[str] = set()
    for part in response.tool_calls:
        # Some servers number the calls of each answer alike; a result has to find its own call
        call_id = part.tool_call_id if part.tool_call_id not in seen else f"{part.tool_call_id}-{len(seen)}"
        seen.add(call_id)
        calls.append(_call(call_id, part, offered))
    return calls


def _call(call_id: str, part: ToolCallPart, offered: Mapping[str, FunctionSpec]) -> FunctionCall:
    function = offered.get(part.tool_name) or offered.get(part.tool_name.strip())
    if function is None:
        name = _readable(part.tool_name)[:_SHOWN_NAME].strip() or "unknown"
        return FunctionCall(call_id, name, "unknown", {}, _unknown(name, list(offered)))
    try:
        arguments = _arguments(part)
        if function.kind == "capability" and not function.typed:
            arguments = _handed_over(arguments, part.tool_name)
    except _MistakeError as mistake:
        return FunctionCall(call_id, function.name, function.kind, {}, str(mistake))
    return FunctionCall(call_id, function.name, function.kind, arguments)


def _unknown(name: str, offered: list[str]) -> str:
    if not offered:
        return f'there is no function "{name}", and no other either: answer in words'
    close = get_close_matches(name, offered, n=1, cutoff=0.6)
    hint = f'. Did you mean "{close[0]}"?' if close else ""
    listed = ", ".join(sorted(offered)[:_SHOWN_FUNCTIONS])
    return f'there is no function "{name}"{hint}. There are: {listed}'


def _arguments(part: ToolCallPart) -> dict[str, Any]:
    arguments: Any = part.args
    if isinstance(arguments, str):
        arguments = _read(arguments, part.tool_name) if arguments.strip() else None
        if isinstance(arguments, str):  # JSON in JSON, as some servers have it
            arguments = _read(arguments, part.tool_name) if arguments.strip() else None
    elif arguments is not None:
        arguments = _read(json.dumps(arguments), part.tool_name)
    if arguments is None:
        return {}
    if not isinstance(arguments, dict):
        raise _MistakeError(f'the arguments of "{part.tool_name}" are not a JSON object. You sent: {_shown(arguments)}')
    return cast("dict[str, Any]", arguments)


def _read(text: str, name: str) -> Any:
    try:
        return read_json(text, f'the text "arguments" of "{name}"')
    except InvalidInput as error:
        shown = _readable(text)
        more = "…" if len(shown) > _SHOWN_ARGUMENTS else ""
        raise _MistakeError(f"{error.message}. You sent: {shown[:_SHOWN_ARGUMENTS]}{more}") from None


def _handed_over(arguments: dict[str, Any], name: str) -> dict[str, Any]:
    """The task that is handed over: all of it, or nothing. What another name holds would be lost in silence."""
    others = [other for other in arguments if other != "content"]
    content = arguments.get("content")
    if isinstance(content, (dict, list)):
        content = json.dumps(content, ensure_ascii=False)
    if others or not isinstance(content, str) or not content.strip():
        sent = ", ".join(f'"{_readable(other)[:_SHOWN_NAME]}"' for other in others[:10])
        found = f"You sent {sent}" if sent else "It was empty"
        raise _MistakeError(
            f'"{name}" takes one argument, "content": a text with the whole task and all data that it needs. {found}. '
            "Nothing was handed over"
        )
    return {"content": content}


def _readable(text: str) -> str:
    """`text` without what no store keeps."""
    return _CONTROLS.sub("\ufffd", whole(text))


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True)[:_SHOWN_ARGUMENTS]
