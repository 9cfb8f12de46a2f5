"""Agents, conversations and traces as resources: read only, each as far as the caller may read it."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from caxton.api.mcp_face.errors import INVALID_PARAMS, RESOURCE_NOT_FOUND, RpcError, told
from caxton.api.mcp_face.wire import Call
from caxton.api.services import Services
from caxton.domain.errors import NotFound
from caxton.domain.given import is_id
from caxton.domain.ids import ConversationId, ExecutionId, is_name
from caxton.domain.permissions import Permission
from caxton.recording.contents import unpack
from caxton.service.context import Caller
from caxton.service.cursors import read_cursor, write_cursor

SCHEME: Final = "caxton://"
JSON: Final = "application/json"
PAGE: Final = 50
MOST_CONVERSATIONS: Final = 50
"""Conversations that are listed: the latest."""

MOST_MESSAGES: Final = 200
"""Messages of a conversation that are read: the latest."""

TEMPLATES: Final = (
    ("agents/{name}", "agent", "One agent: its capabilities, tools, model, limits and documentation", "agents:read"),
    ("conversations/{id}", "conversation", "One conversation with its latest messages", "messages:read"),
    ("traces/{execution_id}", "trace", "A turn: its reply, and what happened in it, from the event log", "events:read"),
)

Read = Callable[[Caller, Services, str], Awaitable[Any]]


async def list_resources(caller: Caller, services: Services, call: Call) -> dict[str, Any]:
    """Answers `resources/list`: agents by name, then the latest conversations."""
    cursor = call.optional_text("cursor", 500)
    found: list[dict[str, Any]] = []
    if Permission.AGENTS_READ in caller.permissions:
        found.append(_resource("agents", "agents", "All agents of the workspace"))
        async with services.long_answers.turn(caller.scope.customer):
            agents = await services.agents.list_agents(caller)
            found += [_resource(f"agents/{each.name}", each.name, each.description) for each in _by_name(agents)]
    if Permission.MESSAGES_READ in caller.permissions:
        found.append(_resource("conversations", "conversations", "The latest conversations of the workspace"))
        talks = await services.conversations.list_conversations(
            caller.scope, active=None, agent=None, before=None, limit=MOST_CONVERSATIONS
        )
        found += [_resource(f"conversations/{each.id}", each.id, each.topic or "") for each in talks]
    start = read_cursor(caller.scope, cursor, "mcp resources") if cursor is not None else 0
    page: dict[str, Any] = {"resources": found[start : start + PAGE]}
    if start + PAGE < len(found):
        page["nextCursor"] = write_cursor(caller.scope, start + PAGE, "mcp resources")
    return page


async def list_templates(caller: Caller, services: Services, call: Call) -> dict[str, Any]:  # noqa: ARG001 - as the others
    """Answers `resources/templates/list`."""
    return {
        "resourceTemplates": [
            {"uriTemplate": f"{SCHEME}{place}", "name": name, "description": what, "mimeType": JSON}
            for place, name, what, permission in TEMPLATES
            if permission in caller.permissions
        ]
    }


async def read(caller: Caller, services: Services, call: Call) -> dict[str, Any]:
    """Answers `resources/read`.

    Raises:
        RpcError: there is no such resource.
        NotPermitted: the caller may not read it.
    """
    uri = call.text("uri", 500)
    kind, _, name = uri.removeprefix(SCHEME).partition("/")
    found = _READ.get(kind) if uri.startswith(SCHEME) else None
    try:
        if found is None:
            raise NotFound(f"there is no resource {uri}")
        async with services.long_answers.turn(caller.scope.customer):
            value = await found(caller, services, name)
            text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except NotFound as error:
        code = INVALID_PARAMS if call.modern else RESOURCE_NOT_FOUND
        raise RpcError(code, told(error), {"uri": uri}) from None
    return {"contents": [{"uri": uri, "mimeType": JSON, "text": text}]}


async def _agents(caller: Caller, services: Services, name: str) -> Any:
    caller.require(Permission.AGENTS_READ)
    if name:
        if not is_name(name):
            raise NotFound(f'there is no agent "{name[:100]}"')
        return (await services.agents.show(caller, name)).model_dump(mode="json", exclude_none=True)
    agents = await services.agents.list_agents(caller)
    return [each.model_dump(mode="json", exclude_none=True) for each in _by_name(agents)]


async def _conversations(caller: Caller, services: Services, name: str) -> Any:
    caller.require(Permission.MESSAGES_READ)
    if not name:
        talks = await services.conversations.list_conversations(
            caller.scope, active=None, agent=None, before=None, limit=MOST_CONVERSATIONS
        )
        return [each.model_dump(mode="json", exclude_none=True) for each in talks]
    if not is_id(name):
        raise NotFound(f'there is no conversation "{name[:100]}"')
    identity = ConversationId(name)
    talk = await services.conversations.show(caller.scope, identity)
    said = await services.conversations.messages(
        caller.scope, identity, everything=False, before=None, limit=MOST_MESSAGES
    )
    messages = [each.model_dump(mode="json", exclude_none=True) for each in said]
    return {**talk.model_dump(mode="json", exclude_none=True), "messages": messages}


async def _traces(caller: Caller, services: Services, name: str) -> Any:
    caller.require(Permission.MESSAGES_READ)
    if not is_id(name):
        raise NotFound(f'there is no execution "{name[:100]}"')
    turn = await services.turns.show(caller.scope, ExecutionId(name))
    told: dict[str, Any] = turn.model_dump(mode="json", exclude_none=True)
    if turn.reply is not None:
        told["text"] = await unpack(services.blobs, caller.scope, turn.reply.content)
    if Permission.EVENTS_READ in caller.permissions:
        events = await services.event_log.trace(caller, ExecutionId(name))
        told["events"] = [each.model_dump(mode="json", exclude_none=True) for each in events]
    return told


_READ: Final[Mapping[str, Read]] = {"agents": _agents, "conversations": _conversations, "traces": _traces}


def _by_name(agents: list[Any]) -> list[Any]:
    return sorted(agents, key=lambda each: each.name)


def _resource(place: str, name: str, what: str) -> dict[str, Any]:
    return {"uri": f"{SCHEME}{place}", "name": name, "mimeType": JSON, **({"description": what} if what else {})}
