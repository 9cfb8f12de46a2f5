"""The HTTP+JSON binding of the A2A protocol, version 1.0."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import Response

from caxton.api.a2a_face.errors import A2A_JSON, VersionNotSupported
from caxton.api.a2a_face.operations import CALLS, open_stream
from caxton.api.a2a_face.rpc import LAST, STREAM_HEADERS, event_text, extension_header, version_of
from caxton.api.a2a_face.streams import Update
from caxton.api.a2a_face.tasks import Asking
from caxton.api.sse import STILL_HERE, EventStream
from caxton.api.told_errors import AnyJson
from caxton.domain.errors import HttpVersionNotSupported, InvalidInput
from caxton.domain.strict_json import read_json


async def answer(request: Request, asking: Asking, target: str | None, method: str, given: dict[str, Any]) -> Response:
    """Answers one operation.

    Args:
        request: the request.
        asking: who asks.
        target: whom the address names.
        method: the operation, as JSON-RPC calls it.
        given: parameters that the path has.

    Raises:
        CaxtonError: it cannot be done.
    """
    _check_version(request)
    params = {**await params_of(request), **given}
    result = await CALLS[method](asking, target, params)
    kind = A2A_JSON if request.headers.get("accept", "").strip() == A2A_JSON else None
    return AnyJson(result, headers=extension_header(asking), media_type=kind)


async def stream(request: Request, asking: Asking, target: str | None, method: str, given: dict[str, Any]) -> Response:
    """Answers a streaming operation; see :func:`answer`."""
    _check_version(request)
    if request.scope["http_version"] == "1.0":
        raise HttpVersionNotSupported("a stream cannot be told in HTTP/1.0", "use HTTP/1.1")
    params = {**await params_of(request), **given}
    events = await open_stream(method, asking, target, params, request.headers.get(LAST))
    return EventStream(_encoded(events), headers={**STREAM_HEADERS, **extension_header(asking)})


def _check_version(request: Request) -> None:
    if version_of(request) == "0.3":
        raise VersionNotSupported(
            "version 0.3 is not spoken at this address",
            "a card of version 0.3 has the addresses at which it is; or send A2A-Version: 1.0",
            details={"supportedVersions": "1.0"},
        )


async def params_of(request: Request) -> dict[str, Any]:
    """What a request says beside its path: in its URL where it has no body.

    Raises:
        InvalidInput: its body is no object.
    """
    if request.method == "GET":
        # Everything is a text there; what has to be a number or a truth value is made one where it is checked.
        return {name: text for name, text in request.query_params.items() if name != "A2A-Version"}
    content = await request.body()
    found: Any = read_json(content, "the body") if content.strip() else {}
    if not isinstance(found, dict):
        raise InvalidInput("the body is not an object")
    return cast("dict[str, Any]", found)


async def _encoded(events: AsyncGenerator[Update | None]) -> AsyncIterator[str]:
    async with aclosing(events):
        async for update in events:
            yield STILL_HERE if update is None else event_text(update, update.result)
