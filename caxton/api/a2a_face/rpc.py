"""The JSON-RPC binding of the A2A protocol, in version 1.0 and, by the names of its methods, in version 0.3."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, Final, cast

from starlette.requests import Request
from starlette.responses import Response

from caxton.api.a2a_face.bodies import LONGEST_ID
from caxton.api.a2a_face.errors import (
    AnyJson,
    InvalidRequest,
    MethodNotFound,
    NoJson,
    VersionNotSupported,
    rpc_body,
)
from caxton.api.a2a_face.operations import CALLS, FIND_OUT, STREAMS, open_stream
from caxton.api.a2a_face.sending import check_target
from caxton.api.a2a_face.streams import Update
from caxton.api.a2a_face.tasks import Asking, Json
from caxton.api.sse import STILL_HERE, EventStream
from caxton.domain.errors import CaxtonError, HttpVersionNotSupported, InvalidInput, NotPermitted
from caxton.domain.json_text import json_line
from caxton.domain.strict_json import read_json

VERSIONS: Final = ("1.0", "0.3")
VERSION: Final = "a2a-version"
LAST: Final = "last-event-id"

STREAM_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def version_of(request: Request) -> str | None:
    """The version of the protocol that the client says it speaks; None where it says nothing.

    Raises:
        VersionNotSupported: the server does not.
    """
    given = request.headers.get(VERSION) or request.query_params.get("A2A-Version") or ""
    if not given:
        return None
    wanted = ".".join(given.strip().split(".")[:2])
    if wanted not in VERSIONS:
        raise VersionNotSupported(
            f"version {given[:20]} of the protocol is not spoken here",
            f"send A2A-Version: {VERSIONS[0]}",
            details={"supportedVersions": ", ".join(VERSIONS)},
        )
    return wanted


async def answer_rpc(request: Request, asking: Asking, target: str | None, request_id: str | None) -> Response:
    """Answers `POST` with one JSON-RPC request. What is wrong with it is told in its own form, with the status 200."""
    identity: Any = None
    name = ""
    try:
        call = _read(await request.body())
        identity = call.get("id")
        method = _check(call)
        version = version_of(request)
        older, name = _operation(method, version)
        if name not in FIND_OUT:
            await check_target(asking, target)
        if name in STREAMS:
            if request.scope["http_version"] == "1.0":
                raise HttpVersionNotSupported("a stream cannot be told in HTTP/1.0", "use HTTP/1.1")
            params = _params(call, older, method)
            events = await open_stream(name, asking, target, params, request.headers.get(LAST))
            headers = {**STREAM_HEADERS, **extension_header(asking)}
            return EventStream(_encoded(events, identity, older=older), headers=headers)
        found = await CALLS[name](asking, target, _params(call, older, method))
        result = _older_result(method, found) if older else found
        return AnyJson({"jsonrpc": "2.0", "id": identity, "result": result}, headers=extension_header(asking))
    except NotPermitted as error:
        needed = str(error.details.get("needed", ""))
        await asking.services.authentication.refusals.not_permitted(asking.caller, f"POST {request.url.path}", needed)
        return AnyJson(rpc_body(error, request_id, identity))
    except CaxtonError as error:
        if name not in FIND_OUT:  # that there is nobody of this name is told before anything else, by the status
            await check_target(asking, target)
        return AnyJson(rpc_body(error, request_id, identity))


def extension_header(asking: Asking) -> dict[str, str]:
    """Which extensions hold for an answer."""
    from caxton.views.a2a import EXTENSION

    return {"A2A-Extensions": EXTENSION} if asking.extended else {}


def _read(content: bytes) -> Json:
    try:
        call = read_json(content, "the body")
    except InvalidInput as error:
        raise NoJson(error.message, *error.hints) from None
    if not isinstance(call, dict):
        raise InvalidRequest("a request is one object", "batches are not part of the protocol")
    return cast("Json", call)


def _check(call: Json) -> str:
    """The method of a request.

    Raises:
        InvalidRequest: it is none.
    """
    method, identity = call.get("method"), call.get("id")
    if call.get("jsonrpc") != "2.0":
        raise InvalidRequest('"jsonrpc" is not "2.0"')
    if "id" not in call or isinstance(identity, bool) or not isinstance(identity, str | int | float | None):
        raise InvalidRequest('"id" has to be a text or a number')
    if isinstance(identity, str) and len(identity) > LONGEST_ID:  # each event of a stream repeats it
        raise InvalidRequest(f'"id" has {LONGEST_ID} characters at most')
    if not isinstance(method, str) or not method:
        raise InvalidRequest('"method" has to be the name of a method')
    return method


def _operation(method: str, version: str | None) -> tuple[bool, str]:
    """Whether a method is of version 0.3, and the operation that it stands for."""
    from caxton.api.a2a_face.older import METHODS

    if method in METHODS and version != "1.0":
        return True, METHODS[method]
    if (method in CALLS or method in STREAMS) and version != "0.3":
        return False, method
    raise MethodNotFound(
        f'there is no method "{method[:100]}"' + (f" in version {version}" if version else ""),
        f"there are {', '.join([*CALLS, *sorted(STREAMS)])}",
    )


def _params(call: Json, older: bool, method: str) -> Any:
    params: Any = call.get("params")
    params = cast("Json", {}) if params is None else params
    if not older:
        return params
    from caxton.api.a2a_face.older import upgraded

    return upgraded(method, params)


def _older_result(method: str, result: Json) -> Any:
    from caxton.api.a2a_face.older import downgraded

    return downgraded(method, result)


async def _encoded(events: AsyncGenerator[Update | None], identity: Any, *, older: bool) -> AsyncIterator[str]:
    from caxton.api.a2a_face.older import downgraded_update

    async with aclosing(events):
        async for update in events:
            if update is None:
                yield STILL_HERE
                continue
            result = downgraded_update(update) if older else update.result
            yield event_text(update, {"jsonrpc": "2.0", "id": identity, "result": result})


def event_text(update: Update, data: Json) -> str:
    """One server-sent event."""
    head = f"id: {update.position}\n" if update.position else ""
    return f"{head}data: {json_line(data)}\n\n"
