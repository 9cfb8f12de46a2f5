"""`completion/complete`: what may stand in the places of a resource's address, and what an argument of a prompt may be."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from caxton.api.mcp_face.errors import INVALID_PARAMS, RpcError
from caxton.api.mcp_face.prompts import offered_as, properties_of
from caxton.api.mcp_face.resources import MOST_CONVERSATIONS, SCHEME, TEMPLATES
from caxton.api.mcp_face.wire import Call
from caxton.api.services import Services
from caxton.domain.permissions import Permission
from caxton.service.context import Caller

MOST_VALUES: Final = 100
"""Values of one answer, as the protocol has it."""


async def complete(caller: Caller, services: Services, call: Call) -> dict[str, Any]:
    """Answers `completion/complete`, by the beginning of what was typed.

    Raises:
        RpcError: there is no such template, or it has no such place.
    """
    ref, argument = call.object("ref"), call.object("argument")
    if ref.get("type") == "ref/prompt":
        return _completion(await _choices(caller, services, ref.get("name"), argument), argument["value"])
    uri, name, typed = ref.get("uri"), argument.get("name"), argument.get("value")
    places = {f"{SCHEME}{place}": place for place, *_ in TEMPLATES}
    if ref.get("type") != "ref/resource" or not isinstance(uri, str) or uri not in places:
        raise RpcError(INVALID_PARAMS, f"there is no such reference; those to complete are {', '.join(places)}")
    kind, _, place = places[uri].partition("/")
    if place != f"{{{name}}}" or not isinstance(typed, str) or len(typed) > 200:
        raise RpcError(INVALID_PARAMS, f'{uri} has the argument "{place[1:-1]}", a text of 200 characters at most')
    return _completion(await _values(caller, services, kind), typed)


def _completion(known: Sequence[str], typed: str) -> dict[str, Any]:
    found = [each for each in known if each.startswith(typed)]
    values = found[:MOST_VALUES]
    return {"completion": {"values": values, "total": len(found), "hasMore": len(found) > len(values)}}


async def _choices(caller: Caller, services: Services, prompt: object, argument: Mapping[str, Any]) -> Sequence[str]:
    """What a capability's schema lets one of its arguments be, where it says so."""
    name, typed = argument.get("name"), argument.get("value")
    if not all(isinstance(each, str) and 0 <= len(each) <= 200 for each in (prompt, name, typed)):
        raise RpcError(INVALID_PARAMS, "a reference to a prompt and its argument have a name, and the argument a value")
    offered = await offered_as(caller, services, str(prompt))
    choices: Any = properties_of(offered.input_schema).get(str(name), {}).get("enum")
    listed = cast("list[Any]", choices) if isinstance(choices, list) else []
    return [each for each in listed if isinstance(each, str)]


async def _values(caller: Caller, services: Services, kind: str) -> Sequence[str]:
    """Names of agents, or ids of the latest conversations; of traces none, for there are too many."""
    if kind == "agents":
        async with services.long_answers.turn(caller.scope.customer):
            return sorted(each.name for each in await services.agents.list_agents(caller))
    if kind == "conversations" and Permission.MESSAGES_READ in caller.permissions:
        talks = await services.conversations.list_conversations(
            caller.scope, active=None, agent=None, before=None, limit=MOST_CONVERSATIONS
        )
        return [each.id for each in talks]
    return ()
