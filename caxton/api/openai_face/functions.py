"""Functions of the caller in OpenAI's forms: `tools`, `tool_choice`, calls, and their results."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from caxton.api.openai_face.bodies import ChatMessage, wrong
from caxton.domain.caller_context import CallerFunction, SaidCall
from caxton.domain.errors import InvalidInput
from caxton.domain.strict_json import read_json

MOST_FUNCTIONS = 128
"""Functions of the caller that a request may offer, as with OpenAI."""

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Offered:
    """What the model of the agent may ask its caller for."""

    functions: Sequence[CallerFunction] = ()
    choice: Literal["auto", "required"] | list[str] = "auto"


NOTHING: Final = Offered()


def read_tools(tools: Sequence[Mapping[str, Any]] | None, choice: str | Mapping[str, Any] | None) -> Offered:
    """The functions of `tools` that `choice` leaves, and whether one has to be called.

    Raises:
        InvalidInput: a tool is no function, or the choice is none.
    """
    functions = [_function(tool, f"tools.{number}") for number, tool in enumerate(tools or ())]
    names = [each.name for each in functions]
    if len(functions) > MOST_FUNCTIONS:
        raise wrong(f"{len(functions)} tools are too many: {MOST_FUNCTIONS} are taken", "tools")
    if len(set(names)) < len(names):
        raise wrong("two tools have the same name", "tools")
    if choice is None or choice == "auto":
        return Offered(functions)
    if choice == "none":
        return NOTHING
    if not functions:
        raise wrong("tool_choice is given without tools", "tool_choice")
    if choice == "required":
        return Offered(functions, "required")
    if isinstance(choice, str):
        raise wrong(f'tool_choice "{choice[:50]}" is not "none", "auto" or "required"', "tool_choice")
    return _chosen(functions, choice)


def _chosen(functions: Sequence[CallerFunction], choice: Mapping[str, Any]) -> Offered:
    """What a choice by name leaves."""
    if choice.get("type") == "function":
        named = [_named(choice)]
    elif choice.get("type") == "allowed_tools":
        about = _inner(choice, "allowed_tools")
        listed: Any = about.get("tools")
        if not isinstance(listed, list) or about.get("mode", "auto") not in ("auto", "required"):
            raise wrong('allowed_tools has a "mode" ("auto" or "required") and a list of "tools"', "tool_choice")
        entries = cast("list[Any]", listed)
        named = [_named(cast("dict[str, Any]", each) if isinstance(each, dict) else {}) for each in entries]
    else:
        raise wrong("tool_choice names a function, or allowed_tools", "tool_choice")
    known = {each.name for each in functions}
    if strange := [name for name in named if name not in known]:
        raise wrong(f'tool_choice names "{strange[0][:64]}", which is not among the tools', "tool_choice")
    if choice.get("type") == "function":
        return Offered(functions, named)
    required = _inner(choice, "allowed_tools").get("mode") == "required"
    return Offered([each for each in functions if each.name in named], "required" if required else "auto")


def _named(choice: Mapping[str, Any]) -> str:
    name = _inner(choice, "function").get("name")
    return name if isinstance(name, str) else ""


def _inner(given: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """What chat completions put one level deeper than responses do."""
    found = given.get(name)
    return cast("Mapping[str, Any]", found) if isinstance(found, dict) else given


def _function(tool: Mapping[str, Any], place: str) -> CallerFunction:
    kind = tool.get("type")
    if kind != "function":
        told = f'a tool of the type "{str(kind)[:50]}" is not supported: an agent has tools of its own'
        raise wrong(f"{told}, and asks its caller for functions alone", place)
    about = _inner(tool, "function")
    name, text, schema = about.get("name"), about.get("description"), about.get("parameters")
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise wrong("the name of a function consists of 1 to 64 letters, digits, _ and -", f"{place}.name")
    if schema is not None and (not isinstance(schema, dict) or cast("dict[str, Any]", schema).get("type") != "object"):
        raise wrong('the parameters of a function are a JSON Schema whose "type" is "object"', f"{place}.parameters")
    parameters = cast("dict[str, Any]", schema or {})
    return CallerFunction(name=name, description=text if isinstance(text, str) else "", parameters=parameters)


def said_calls(message: ChatMessage, place: str) -> list[SaidCall]:
    """The calls in a message of the assistant."""
    found: list[SaidCall] = []
    for number, call in enumerate(message.tool_calls or ()):
        if call.function is None:
            raise wrong(f'a call of the type "{call.type[:50]}" is not supported', f"{place}.tool_calls.{number}")
        found.append(said_call(call.id, call.function.name, call.function.arguments))
    return found


def said_call(identity: str, name: str, arguments: str) -> SaidCall:
    """A call. What is no JSON object was a model's mistake, and is shown to it as what it wrote."""
    try:
        found: Any = read_json(arguments, "arguments") if arguments.strip() else {}
    except InvalidInput:
        found = None
    given = cast("dict[str, Any]", found) if isinstance(found, dict) else {"arguments": arguments}
    return SaidCall(id=identity, name=name, arguments=given)


def told_arguments(call: Mapping[str, Any]) -> str:
    """The arguments of a call, as the caller gets them."""
    return json.dumps(call["arguments"], ensure_ascii=False)
