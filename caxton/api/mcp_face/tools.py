"""Capabilities as tools: their list, their schemas, and what a call of one asks for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from caxton.api.mcp_face.errors import INVALID_PARAMS, RpcError, told
from caxton.api.mcp_face.mirrored import KEY, check_mirrors, mirrors_of
from caxton.api.mcp_face.wire import OWN_CONVERSATION, Call
from caxton.api.services import Services
from caxton.domain.capabilities import ASK_CAPABILITY, FIND_CAPABILITY, Capability
from caxton.domain.errors import InvalidInput, NotFound
from caxton.domain.permissions import Permission
from caxton.service.context import Caller
from caxton.service.cursors import read_cursor, write_cursor
from caxton.turns.typed_capabilities import as_content
from caxton.views.agents import CapabilityView

MOST_TOOLS: Final = 100
"""Capabilities that are listed as tools. Where there are more, two tools find and ask them: a list takes a model's context."""

PAGE: Final = 50
"""Tools of one page."""

MOST_FOUND: Final = 20

FIND: Final = FIND_CAPABILITY
ASK: Final = ASK_CAPABILITY
CONVERSATION: Final = "conversation"
NEW: Final = "new"
"""As `conversation`, begins one."""

_CONVERSATION_SCHEMA: Final = {
    "type": "string",
    "minLength": 1,
    "maxLength": 100,
    "description": 'To go on with what was said before: the id of a conversation; "new" begins one. Without it, the request '
    "is one-shot.",
}
_REQUEST_SCHEMA: Final = {"type": "string", "minLength": 1, "description": "What is asked, in plain words."}
_SHAPES: Final = frozenset(
    {"$ref", "allOf", "anyOf", "oneOf", "if", "not", "propertyNames", "maxProperties", "patternProperties"}
)
"""What a schema has whose properties are not known by looking at it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a call of a tool asks for."""

    capability: str
    content: str
    conversation: str | None


async def list_tools(caller: Caller, services: Services, call: Call) -> dict[str, Any]:
    """Answers `tools/list`: those that the caller may call, by name."""
    if Permission.MESSAGES_SEND not in caller.permissions:
        return {"tools": []}
    cursor = call.optional_text("cursor", 500)
    async with services.long_answers.turn(caller.scope.customer):
        found = await services.agents.capabilities(caller, None)
        tools = _finders() if len(found) > MOST_TOOLS else [_tool(each, call) for each in found]
    start = read_cursor(caller.scope, cursor, "mcp tools") if cursor is not None else 0
    page: dict[str, Any] = {"tools": tools[start : start + PAGE]}
    if start + PAGE < len(tools):
        page["nextCursor"] = write_cursor(caller.scope, start + PAGE, "mcp tools")
    return page


async def find(caller: Caller, services: Services, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Answers a call of the tool that finds capabilities."""
    caller.require(Permission.AGENTS_READ)
    query = arguments.get("query")
    if not isinstance(query, str) or not 0 < len(query) <= 200 or set(arguments) - {"query"}:
        raise InvalidInput(f'{FIND} takes "query": what you need, in a few words')
    async with services.long_answers.turn(caller.scope.customer):
        found = await services.agents.capabilities(caller, query)
    listed = [
        {"name": each.name, "description": each.description, **({"input": each.input} if each.input else {})}
        for each in found[:MOST_FOUND]
    ]
    lines = [f"{each['name']}: {each['description']}".rstrip(": ") for each in listed]
    text = "\n".join(lines) or "nothing like that is offered"
    result = {"capabilities": listed, "more": max(0, len(found) - MOST_FOUND)}
    return {"content": [{"type": "text", "text": text}], "structuredContent": result, "isError": False}


async def wanted_of(caller: Caller, services: Services, call: Call, name: str) -> Wanted:
    """What a call of the tool `name` asks for.

    Raises:
        RpcError: there is no such tool.
        InvalidInput: the arguments do not say what is asked.
    """
    arguments = call.object("arguments")
    if name == ASK:
        capability = arguments.pop("capability", None)
        if not isinstance(capability, str):
            raise InvalidInput(f'{ASK} takes "capability": the name of one; {FIND} finds them')
        given = arguments.pop("input", None)
        offered = await services.agents.offered(caller, capability)
        if given is not None and (not isinstance(given, dict) or "request" in arguments):
            raise InvalidInput(f'{ASK} takes either "request", a text, or "input", an object')
        if given is not None:
            arguments = {**cast("dict[str, Any]", given), **_talk(arguments, offered)}
    else:
        try:
            offered = await services.agents.offered(caller, name)
        except NotFound as error:
            raise RpcError(INVALID_PARAMS, f"Unknown tool: {name[:100]}", {"hint": told(error)}) from None
        if call.modern and offered.input_schema is not None:
            check_mirrors(offered.input_schema, arguments, call)
    return Wanted(offered.name, *_content(offered, arguments, call))


def _talk(arguments: Mapping[str, Any], offered: Capability) -> dict[str, Any]:
    """The conversation, where `arguments` name one beside the input."""
    if set(arguments) - {CONVERSATION}:
        raise InvalidInput(f'{ASK} takes either "request", a text, or "input", an object')
    return dict(arguments) if _takes_conversation(offered.input_schema) else {}


def _content(offered: Capability, arguments: dict[str, Any], call: Call) -> tuple[str, str | None]:
    """The request as text, and the conversation that it belongs to."""
    talk: Any = call.meta.get(OWN_CONVERSATION)
    if _takes_conversation(offered.input_schema):
        talk = arguments.pop(CONVERSATION, talk)
    if talk is not None and (not isinstance(talk, str) or not 0 < len(talk) <= 100):
        raise InvalidInput(f'"{CONVERSATION}" is the id of a conversation, or "{NEW}"')
    if offered.input_schema is not None:
        return as_content(arguments), talk
    request = arguments.pop("request", None)
    if not isinstance(request, str) or not request or arguments:
        extra = f", and not {', '.join(sorted(arguments))[:200]}" if arguments else ""
        raise InvalidInput(f'"{offered.name}" takes "request", a text{extra}')
    return request, talk


def _tool(each: CapabilityView, call: Call) -> dict[str, Any]:
    tool: dict[str, Any] = {
        "name": each.name,
        "description": each.description or f"Asks an agent for {each.name}.",
        "inputSchema": input_schema(each.input, mirrored=call.modern),
    }
    if each.output is not None:
        tool["outputSchema"] = {**_clean(each.output), "type": "object"}
    if call.version == "2025-11-25":
        tool["execution"] = {"taskSupport": "optional"}
    return tool


def input_schema(own: Mapping[str, Any] | None, *, mirrored: bool = False) -> dict[str, Any]:
    """The schema of a tool's arguments: the capability's own one, and the conversation.

    Args:
        own: the capability's, if it has one.
        mirrored: whether it may say which arguments headers repeat.
    """
    if own is None:
        properties = {"request": _REQUEST_SCHEMA, CONVERSATION: _CONVERSATION_SCHEMA}
        return {"type": "object", "properties": properties, "required": ["request"], "additionalProperties": False}
    schema: dict[str, Any] = {**(own if mirrored and mirrors_of(own) else _clean(own)), "type": "object"}
    if _takes_conversation(own):
        schema["properties"] = {**schema.get("properties", {}), CONVERSATION: _CONVERSATION_SCHEMA}
    return schema


def _takes_conversation(own: Mapping[str, Any] | None) -> bool:
    """Whether a tool has the argument `conversation` beside those of the capability."""
    return own is None or (CONVERSATION not in own.get("properties", {}) and not _SHAPES & set(own))


def _clean(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema without annotations by which clients would repeat arguments in headers."""
    return {name: _cleaned(value) for name, value in schema.items() if not _mirrors(name, value)}


def _cleaned(value: Any) -> Any:
    if isinstance(value, dict):
        return _clean(cast("dict[str, Any]", value))
    if isinstance(value, list):
        return [_cleaned(each) for each in cast("list[Any]", value)]
    return value


def _mirrors(name: str, value: object) -> bool:
    return name == KEY and isinstance(value, str)


def _finders() -> Sequence[dict[str, Any]]:
    query = {"type": "string", "minLength": 1, "maxLength": 200, "description": "What you need, in a few words."}
    named = {"type": "string", "description": f"The name of the capability, as {FIND} tells it."}
    given = {"type": "object", "description": "What is asked, as the object that the capability's schema describes."}
    return [
        {
            "name": ASK,
            "description": f"Asks an agent for a capability. Use {FIND} to find one.",
            "inputSchema": {
                "type": "object",
                "properties": {
                    "capability": named,
                    "request": _REQUEST_SCHEMA,
                    "input": given,
                    CONVERSATION: _CONVERSATION_SCHEMA,
                },
                "required": ["capability"],
                "additionalProperties": False,
            },
        },
        {
            "name": FIND,
            "description": "Finds what agents can do here: capabilities by name and description, with their schemas.",
            "inputSchema": {
                "type": "object",
                "properties": {"query": query},
                "required": ["query"],
                "additionalProperties": False,
            },
        },
    ]
