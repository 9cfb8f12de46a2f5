"""`subscriptions/listen` of 2026-07-28: what has changed, told on a stream for as long as the client keeps it open.

The request says what it wants to hear, so nothing is kept of it but the stream, at whichever replica it came to. The news are the
events of the log, which all replicas see.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, cast

from caxton.api.mcp_face.errors import INVALID_PARAMS, RpcError
from caxton.api.mcp_face.resources import SCHEME
from caxton.api.mcp_face.wire import Call, notification
from caxton.api.services import Services
from caxton.api.sse import STILL_HERE, EventStream, encode_event
from caxton.domain.events import Event
from caxton.domain.permissions import Permission
from caxton.domain.records import EventFilter
from caxton.service.context import Caller

SUBSCRIPTION: Final = "io.modelcontextprotocol/subscriptionId"
MOST_WATCHED: Final = 100
"""Resources of one subscription."""

GATHER: Final = 0.5
"""Seconds for which news are gathered, so that a deployment of a hundred agents is one."""

_TOOLS: Final = "notifications/tools/list_changed"
_RESOURCES: Final = "notifications/resources/list_changed"
_UPDATED: Final = "notifications/resources/updated"
_PROMPTS: Final = "notifications/prompts/list_changed"
_LISTS: Final = {"toolsListChanged": _TOOLS, "promptsListChanged": _PROMPTS, "resourcesListChanged": _RESOURCES}
_NEEDED: Final = {
    "toolsListChanged": Permission.MESSAGES_SEND,
    "promptsListChanged": Permission.MESSAGES_SEND,
    "agents": Permission.AGENTS_READ,
    "conversations": Permission.MESSAGES_READ,
    "traces": Permission.MESSAGES_READ,
}
_DEPLOYED: Final = frozenset(
    {
        "deployment_activated",
        "deployment_updated",
        "deployment_terminated",
        "deployment_suspended",
        "deployment_resumed",
    }
)
_TALKS: Final = frozenset({"conversation_started", "conversation_ended", "conversation_deleted"})

News = tuple[str, str]
"""A notification, and the resource that it is about."""


async def listen(caller: Caller, services: Services, call: Call) -> EventStream:
    """The stream of what a client wants to hear.

    Raises:
        RpcError: the request does not say what, or its client takes no stream.
    """
    if not call.streams:
        raise RpcError(INVALID_PARAMS, "this is answered by a stream: accept text/event-stream")
    honoured = _honoured(caller, call.object("notifications"))
    found = await services.event_log.tail(caller, EventFilter(), cursor=None, last_event_id=None)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return EventStream(_messages(call, honoured, found), headers=headers)


def _honoured(caller: Caller, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What of the wishes is granted: what there is, and what the caller may read."""
    found: dict[str, Any] = {}
    for name in _LISTS:
        needed = _NEEDED.get(name)
        if wanted.get(name) is True and (needed is None or needed in caller.permissions):
            found[name] = True
    watched = wanted.get("resourceSubscriptions")
    if watched is None:
        return found
    uris = cast("list[Any]", watched) if isinstance(watched, list) else [None]
    named = [each for each in uris if isinstance(each, str) and len(each) <= 500]
    if len(named) < len(uris) or len(uris) > MOST_WATCHED:
        raise RpcError(INVALID_PARAMS, f'"resourceSubscriptions" is a list of {MOST_WATCHED} resources at most')
    found["resourceSubscriptions"] = [each for each in named if _NEEDED.get(_kind(each)) in caller.permissions]
    return found


def _kind(uri: str) -> str:
    return uri.removeprefix(SCHEME).partition("/")[0] if uri.startswith(SCHEME) else ""


async def _messages(
    call: Call, honoured: Mapping[str, Any], found: AsyncIterator[tuple[str, Event] | None]
) -> AsyncIterator[str]:
    tag = {"_meta": {SUBSCRIPTION: call.id}}
    yield encode_event(
        "message", notification("notifications/subscriptions/acknowledged", {"notifications": honoured, **tag})
    )
    lists = {_LISTS[name] for name in honoured if name in _LISTS}
    watched = set(cast("Sequence[str]", honoured.get("resourceSubscriptions", ())))
    due = dict[News, None]()
    coming = asyncio.ensure_future(anext(found, None))
    try:
        while True:
            done, _ = await asyncio.wait([coming], timeout=GATHER if due else None)
            if not done:
                for method, uri in due:
                    yield encode_event("message", notification(method, {**({"uri": uri} if uri else {}), **tag}))
                due.clear()
                continue
            told = coming.result()
            coming = asyncio.ensure_future(anext(found, None))
            if told is None:
                yield STILL_HERE
            else:
                due |= dict.fromkeys(each for each in _news(told[1]) if each[0] in lists or each[1] in watched)
    finally:
        coming.cancel()
        with suppress(asyncio.CancelledError, StopAsyncIteration):
            await coming


def _news(event: Event) -> list[News]:
    """What an event may mean for clients."""
    found: list[News] = []
    if event.event_type in _DEPLOYED:
        found += [(_TOOLS, ""), (_PROMPTS, ""), (_RESOURCES, ""), (_UPDATED, f"{SCHEME}agents")]
        found += [(_UPDATED, f"{SCHEME}agents/{event.agent}")] if event.agent else []
    if event.event_type in _TALKS:
        found += [(_RESOURCES, ""), (_UPDATED, f"{SCHEME}conversations")]
    if event.conversation_id:
        found.append((_UPDATED, f"{SCHEME}conversations/{event.conversation_id}"))
    turns = {event.execution_id, event.correlation_id} - {None, ""}
    return found + [(_UPDATED, f"{SCHEME}traces/{each}") for each in sorted(map(str, turns))]
