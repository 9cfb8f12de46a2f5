"""Capabilities as prompts: what a person picks in their client, as a command, to have the model call the tool of that name."""

import json
from collections.abc import Mapping
from typing import Any, Final, cast

from caxton.api.mcp_face.errors import INVALID_PARAMS, RpcError, told
from caxton.api.mcp_face.tools import MOST_TOOLS, PAGE
from caxton.api.mcp_face.wire import Call
from caxton.api.services import Services
from caxton.domain.capabilities import Capability
from caxton.domain.errors import NotFound
from caxton.domain.permissions import Permission
from caxton.service.context import Caller
from caxton.service.cursors import read_cursor, write_cursor

LONGEST_ARGUMENT: Final = 20_000
"""Characters of one argument."""

_REQUEST: Final = {"name": "request", "description": "What is asked, in plain words.", "required": True}


async def list_prompts(caller: Caller, services: Services, call: Call) -> dict[str, Any]:
    """Answers `prompts/list`: one for each tool that the caller may call; none where tools have to be found."""
    if Permission.MESSAGES_SEND not in caller.permissions:
        return {"prompts": []}
    cursor = call.optional_text("cursor", 500)
    async with services.long_answers.turn(caller.scope.customer):
        found = await services.agents.capabilities(caller, None)
    prompts = [_prompt(each.name, each.description, each.input) for each in found] if len(found) <= MOST_TOOLS else []
    start = read_cursor(caller.scope, cursor, "mcp prompts") if cursor is not None else 0
    page: dict[str, Any] = {"prompts": prompts[start : start + PAGE]}
    if start + PAGE < len(prompts):
        page["nextCursor"] = write_cursor(caller.scope, start + PAGE, "mcp prompts")
    return page


async def get_prompt(caller: Caller, services: Services, call: Call) -> dict[str, Any]:
    """Answers `prompts/get`: the words by which a person has the model call the tool.

    Raises:
        RpcError: there is no such prompt, or an argument is missing or strange.
    """
    caller.require(Permission.MESSAGES_SEND)
    offered = await offered_as(caller, services, call.text("name", 200))
    prompt = _prompt(offered.name, offered.description, offered.input_schema)
    given, known = call.object("arguments"), {each["name"]: each["required"] for each in prompt["arguments"]}
    strange = sorted(set(given) - set(known)) or sorted(name for name in known if known[name] and name not in given)
    if strange:
        raise RpcError(INVALID_PARAMS, f'the prompt "{offered.name}" takes {", ".join(known) or "no arguments"}')
    if not all(isinstance(value, str) and len(value) <= LONGEST_ARGUMENT for value in given.values()):
        raise RpcError(INVALID_PARAMS, f"arguments of prompts are texts of {LONGEST_ARGUMENT:,} characters at most")
    arguments = json.dumps(given, ensure_ascii=False, indent=2)
    text = f'Call the tool "{offered.name}" with these arguments, and tell me what it answers:\n\n{arguments}'
    message = {"role": "user", "content": {"type": "text", "text": text}}
    return {"description": prompt["description"], "messages": [message]}


async def offered_as(caller: Caller, services: Services, name: str) -> Capability:
    """The capability that a prompt is.

    Raises:
        RpcError: there is none.
    """
    try:
        return await services.agents.offered(caller, name)
    except NotFound as error:
        raise RpcError(INVALID_PARAMS, f"Unknown prompt: {name[:100]}", {"hint": told(error)}) from None


def properties_of(schema: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """The properties of a capability's input, where they are described."""
    found = (schema or {}).get("properties")
    if not isinstance(found, dict):
        return {}
    described = cast("dict[str, Any]", found)
    return {name: cast("dict[str, Any]", each) for name, each in described.items() if isinstance(each, dict)}


def _prompt(name: str, description: str, schema: Mapping[str, Any] | None) -> dict[str, Any]:
    arguments: list[dict[str, Any]] = [_REQUEST]
    if schema is not None:
        needed = schema.get("required", [])
        arguments = [
            {
                "name": each,
                **({"description": told["description"]} if isinstance(told.get("description"), str) else {}),
                "required": each in needed,
            }
            for each, told in properties_of(schema).items()
        ]
    return {"name": name, "description": description or f"Asks an agent for {name}.", "arguments": arguments}
