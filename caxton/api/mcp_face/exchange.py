"""One message from a client, and its answer: as JSON where it is there at once, else as a stream."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any, Final, cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive

from caxton.api.mcp_face import (
    approving,
    calling,
    completing,
    listening,
    log_messages,
    prompts,
    resources,
    tasks,
    tools,
)
from caxton.api.mcp_face.errors import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    MISSING_CAPABILITY,
    REQUEST,
    RpcError,
)
from caxton.api.mcp_face.following import QUESTION, STATE, Followed, follow
from caxton.api.mcp_face.results import error_result
from caxton.api.mcp_face.wire import (
    LEGACY,
    MODERN,
    SERVER,
    TASKS,
    VERSIONS,
    Call,
    Headers,
    Session,
    answer,
    check_modern,
    elicits,
    finished,
    is_modern,
    params_of,
    request_id,
    takes_tasks,
    unsupported,
)
from caxton.api.services import Services
from caxton.api.sse import STILL_HERE, EventStream, encode_event
from caxton.domain.errors import CaxtonError, InvalidInput, NotAuthenticated, NotPermitted
from caxton.domain.ids import ExecutionId, new_id
from caxton.domain.json_text import json_line
from caxton.domain.permissions import Permission
from caxton.service.context import Caller
from caxton.service.seals import SealBroken

log = logging.getLogger(__name__)

AT_ONCE: Final = 0.3
"""Seconds that an answer may take before it becomes a stream."""

SESSION: Final = "mcp session"
SESSION_HEADER: Final = "Mcp-Session-Id"
FRESH: Final = 30_000
"""Milliseconds for which lists of tools and resources may be kept; a deployment changes them."""

INSTRUCTIONS: Final = (
    "Each tool is something that agents of this Caxton server can do; what it is asked, it does durably. "
    'To go on with what was said before, call a tool with "conversation": "new", and later with the id that it tells. '
    "The resources caxton://agents, caxton://conversations and caxton://traces/{execution_id} show what there is and what "
    "happened."
)

Method = Callable[[Caller, Services, Call], Awaitable[dict[str, Any]]]

_cancelling: Final = set[asyncio.Task[None]]()


async def exchange(request: Request, caller: Caller, services: Services) -> Response:
    """Answers a message that was posted.

    Raises:
        CaxtonError: the request cannot be answered, and not for want of an agent's reply.
    """
    try:
        return await _exchange(request, caller, services)
    except RpcError as error:
        return error.response()


async def _exchange(request: Request, caller: Caller, services: Services) -> Response:
    body = json.loads(await request.body() or b"null")  # it was checked before
    if not isinstance(body, dict):
        raise RpcError(INVALID_REQUEST, "send one JSON-RPC message: an object")
    message = cast("dict[str, Any]", body)
    if message.get("jsonrpc") != "2.0":
        raise RpcError(INVALID_REQUEST, 'this is no JSON-RPC: "jsonrpc" has to be "2.0"')
    headers = Headers([(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw])
    session = await _session(caller, services, headers)
    if "method" not in message and ("result" in message or "error" in message):
        return await _answered(caller, services, message)
    if not isinstance(message.get("method"), str):
        raise RpcError(INVALID_REQUEST, "the message has no method")
    if "id" not in message:
        return await _notified(caller, services, message, headers, session)
    call = _call(message, headers, session, streams=_streams(request))
    call.check_token()
    return await _answer(caller, services, call)


async def _session(caller: Caller, services: Services, headers: Headers) -> Session | None:
    """What an older client said of itself."""
    sealed = headers.get(SESSION_HEADER.lower())
    if sealed is None:
        return None
    try:
        facts = await services.seals.open(SESSION, caller, sealed)
    except SealBroken:
        return None  # a request that needs one is told so
    return Session(facts["n"], facts["v"], facts["e"])


def _call(message: Mapping[str, Any], headers: Headers, session: Session | None, *, streams: bool) -> Call:
    """The request that a message is."""
    identity = request_id(message)
    modern = is_modern(message, headers)
    REQUEST.set((identity, modern))
    params, method = params_of(message), str(message["method"])
    if modern:
        capabilities = check_modern(message, headers)
        asks, has_tasks = elicits(capabilities), takes_tasks(capabilities)
        return Call(identity, method, params, True, MODERN, asks, has_tasks, streams, headers=headers)
    version = headers.get("mcp-protocol-version")
    if method != "initialize" and version is not None and version not in LEGACY:
        REQUEST.set((identity, True))
        raise unsupported(version)
    if session is None and headers.get(SESSION_HEADER.lower()) is not None and method != "initialize":
        raise _SessionLost(INVALID_REQUEST, "there is no such session; begin again with initialize")
    version = version or (session.version if session else LEGACY[0])
    asks = session.elicits if session is not None else False
    return Call(identity, method, params, False, version, asks, False, streams, session, headers)


class _SessionLost(RpcError):
    """The client has to begin again."""

    @property
    def status(self) -> int:
        """What tells clients so."""
        return 404


async def _answer(caller: Caller, services: Services, call: Call) -> Response:
    """The answer to a request."""
    if call.method == "initialize" and not call.modern:
        return await _initialize(caller, services, call)
    if call.method == "tools/call":
        return await _call_tool(caller, services, call)
    if call.method == "tasks/result" and not call.modern:
        found = await tasks.find(caller, services, call.text("taskId", 100), asks=False)
        return await _told(Followed(caller, services, call, found.turn, task=found.turn.execution_id))
    if call.method == "subscriptions/listen" and call.modern:
        return await listening.listen(caller, services, call)
    method = (_MODERN if call.modern else _LEGACY).get(call.method)
    if method is None:
        raise RpcError(METHOD_NOT_FOUND, f"there is no method {call.method[:100]}")
    if call.modern and call.method.startswith("tasks/") and not call.has_tasks:
        needed: dict[str, Any] = {"requiredCapabilities": {"extensions": {TASKS: {}}}}
        raise RpcError(MISSING_CAPABILITY, "Missing required client capability", needed)
    result = await method(caller, services, call)
    if call.modern and call.method in _KEPT:
        result |= {"ttlMs": _KEPT[call.method], "cacheScope": "private"}
    return _json(answer(call.id, finished(call, result)))


async def _initialize(caller: Caller, services: Services, call: Call) -> Response:
    """Agrees on a revision. What the client can do goes with it as the session, for the server keeps nothing."""
    wanted = call.text("protocolVersion", 100)
    version = wanted if wanted in LEGACY else LEGACY[0]
    facts = {"n": new_id("s"), "v": version, "e": elicits(call.params.get("capabilities"))}
    sealed = await services.seals.seal(SESSION, caller, facts)
    capabilities: dict[str, Any] = {"tools": {}, "resources": {}, "prompts": {}, "logging": {}, "completions": {}}
    if version == "2025-11-25":
        capabilities["tasks"] = {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}
    result = {
        "protocolVersion": version,
        "capabilities": capabilities,
        "serverInfo": SERVER,
        "instructions": INSTRUCTIONS,
    }
    return _json(answer(call.id, result), {SESSION_HEADER: sealed})


async def _call_tool(caller: Caller, services: Services, call: Call) -> Response:
    """Answers `tools/call`. What goes wrong with the work is a result, for the model to read."""
    name = call.text("name", 200)
    try:
        if call.modern and call.params.get("requestState") is not None:
            return await _told(await _gone_on(caller, services, call))
        if name == tools.FIND:
            found = await tools.find(caller, services, call.object("arguments"))
            return _json(answer(call.id, finished(call, found)))
        wanted = await tools.wanted_of(caller, services, call, name)
        asked = await calling.ask(caller, services, call, wanted)
        if not call.modern and call.params.get("task") is not None:
            task = await tasks.remember(caller, services, asked.turn)
            begun = {**task.facts(modern=False), "status": "working"}
            return _json(answer(call.id, {"task": begun}))
        return await _told(Followed(caller, services, call, asked.turn, began=asked.began))
    except (NotPermitted, NotAuthenticated):
        raise
    except CaxtonError as error:
        if error.status >= 500:
            log.warning("%s: %s", error.code, error.title, extra={"error_code": error.code})
        return _json(answer(call.id, finished(call, error_result(error))))


async def _gone_on(caller: Caller, services: Services, call: Call) -> Followed:
    """The turn that a request goes on with, after what the client's user has said.

    Raises:
        RpcError: the state was not given to this caller for this request.
    """
    try:
        facts = await services.seals.open(STATE, caller, call.text("requestState", 8_192))
    except SealBroken as broken:
        raise RpcError(INVALID_PARAMS, f"requestState is refused: {broken}") from None
    if facts["d"] != calling.digest(call):
        raise RpcError(INVALID_PARAMS, "requestState is refused: it belongs to another request")
    turn = await services.turns.show(caller.scope, ExecutionId(facts["x"]))
    dismissed = False
    for approval_id, said in call.object("inputResponses").items():
        approval = await tasks.waiting_for(caller, services, turn, approval_id)
        if approval is None:  # it is decided, or no question of ours
            continue
        try:
            dismissed |= not await approving.decide(caller, services, approval.id, said)
        except InvalidInput as error:
            raise RpcError(INVALID_PARAMS, error.message) from None
    turn = await services.turns.show(caller.scope, turn.execution_id)
    return Followed(caller, services, call, turn, began=bool(facts["n"]), dismissed=dismissed)


async def _told(followed: Followed) -> Response:
    """What comes of a turn: as JSON if it is there at once, or where no stream can be told."""
    services, call, turn = followed.services, followed.call, followed.turn
    if turn.state == "running" and call.streams and not followed.is_told:
        turn = await services.turns.reply(followed.caller.scope, turn.execution_id, AT_ONCE)
        followed = replace(followed, turn=turn)
    if turn.state == "running" and call.streams:
        return _TurnStream(followed)
    async with aclosing(follow(followed)) as messages:
        async for message in messages:
            if message is not None and message.get("id") == call.id and "method" not in message:
                return _json(message)
    raise AssertionError("a turn ends with an answer")


class _TurnStream(EventStream):
    """The messages that end with the result of a turn. Since 2026-07-28, a client that goes away has cancelled its request, if it
    may end what was begun."""

    def __init__(self, followed: Followed) -> None:
        """Follow a turn."""
        self._followed = followed
        self._is_answered = False
        super().__init__(self._messages(), headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})

    async def _messages(self) -> AsyncIterator[str]:
        async with aclosing(follow(self._followed)) as messages:
            async for message in messages:
                self._is_answered = message is not None and "method" not in message
                yield STILL_HERE if message is None else encode_event("message", message)

    async def listen_for_disconnect(self, receive: Receive) -> None:
        """Waits until the client has gone."""
        await super().listen_for_disconnect(receive)
        may = Permission.CONVERSATIONS_END in self._followed.caller.permissions
        if may and self._followed.call.modern and not self._is_answered:
            task = asyncio.create_task(_cancelled(self._followed))
            _cancelling.add(task)
            task.add_done_callback(_cancelling.discard)


async def _cancelled(followed: Followed) -> None:
    with suppress(CaxtonError):
        await followed.services.conversations.cancel_turn(followed.caller, followed.turn.execution_id)


async def _answered(caller: Caller, services: Services, message: Mapping[str, Any]) -> Response:
    """Takes the answer to a question. Its id says which approval it is about."""
    try:
        facts = await services.seals.open(QUESTION, caller, str(message.get("id")))
    except SealBroken:
        raise RpcError(INVALID_REQUEST, "nothing was asked of this client under this id") from None
    if "error" in message:
        approving.dismiss(caller, facts["a"])
    else:
        await approving.decide(caller, services, facts["a"], message["result"])
    return Response(status_code=202)


async def _notified(
    caller: Caller, services: Services, message: Mapping[str, Any], headers: Headers, session: Session | None
) -> Response:
    """Takes a notification. The only one that changes anything cancels a request of an older client."""
    version = headers.get("mcp-protocol-version")
    if version is not None and version not in VERSIONS:
        raise unsupported(version)
    if message["method"] == "notifications/cancelled":
        await calling.cancel_request(caller, services, session, params_of(message).get("requestId"))
    return Response(status_code=202)


def _streams(request: Request) -> bool:
    """Whether the client takes a stream, which HTTP/1.0 cannot tell."""
    return request.scope["http_version"] != "1.0" and "text/event-stream" in request.headers.get("accept", "")


def _json(message: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    return Response(json_line(message), media_type="application/json", headers=headers)


async def _ping(caller: Caller, services: Services, call: Call) -> dict[str, Any]:  # noqa: ARG001 - as the others
    return {}


async def _discover(caller: Caller, services: Services, call: Call) -> dict[str, Any]:  # noqa: ARG001 - as the others
    capabilities: dict[str, Any] = {
        "tools": {"listChanged": True},
        "prompts": {"listChanged": True},
        "resources": {"listChanged": True, "subscribe": True},
        "logging": {},
        "completions": {},
        "extensions": {TASKS: {}},
    }
    return {"supportedVersions": list(VERSIONS), "capabilities": capabilities, "instructions": INSTRUCTIONS}


_BOTH: Final[Mapping[str, Method]] = {
    "tools/list": tools.list_tools,
    "prompts/list": prompts.list_prompts,
    "prompts/get": prompts.get_prompt,
    "resources/list": resources.list_resources,
    "resources/templates/list": resources.list_templates,
    "resources/read": resources.read,
    "completion/complete": completing.complete,
    "tasks/get": tasks.show,
    "tasks/cancel": tasks.cancel,
}
_LEGACY: Final = {**_BOTH, "ping": _ping, "tasks/list": tasks.list_tasks, "logging/setLevel": log_messages.set_level}
_MODERN: Final = {**_BOTH, "server/discover": _discover, "tasks/update": tasks.update}
_KEPT: Final = {
    "server/discover": 3_600_000,
    "tools/list": FRESH,
    "prompts/list": FRESH,
    "resources/list": FRESH,
    "resources/templates/list": FRESH,
    "resources/read": 0,
}
"""Milliseconds for which clients may keep a result."""
