"""The gate that every request passes: id, key, size, measure. Plain ASGI, since it is on the path of every message."""

import asyncio
import base64
import binascii
import secrets
import time
from collections.abc import Mapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from caxton.api.errors import problem_response
from caxton.api.services import ApiLimits
from caxton.domain.errors import CaxtonError, EngineUnavailable, InvalidInput, NotAuthenticated, PayloadTooLarge
from caxton.domain.ids import DEFAULT_WORKSPACE, is_name
from caxton.domain.quantities import format_size
from caxton.observability.logs import REQUEST_ID
from caxton.observability.metrics import METRICS
from caxton.observability.tracing import extract_traceparent, server_span
from caxton.service.context import Caller
from caxton.service.keys import Keys

OPEN_PATHS = frozenset({"/health", "/ready"})
"""The only paths that answer without a key."""

BROWSER_PATHS = ("/docs", "/openapi.json", "/static-offline-docs")
BROWSER_LOGIN = 'Basic realm="Caxton - any user name - the API key as password"'
"""Pages for people: a browser asks for the key, in the one form that all browsers know."""

CHANNELS = frozenset({"api", "cli", "dashboard"})
"""How a request came, as the client says: it is told in the log and decides nothing."""

MESSAGE_PATHS = ("/messages",)
BLOB_PATHS = ("/v1/blobs/",)


class Gate:
    """Authenticates, limits and measures requests."""

    def __init__(self, app: ASGIApp, keys: Keys, limits: ApiLimits) -> None:
        """Guard `app`."""
        self.app = app
        self.keys = keys
        self.limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = secrets.token_hex(8)
        token = REQUEST_ID.set(request_id)
        state: dict[str, Any] = scope.setdefault("state", {})
        state["request_id"] = request_id
        started = time.perf_counter()
        status: int | None = None

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            headers = state["headers"] = _headers(scope)
            traceparent = extract_traceparent(headers)
            with server_span(scope["method"], traceparent=traceparent) as span:
                try:
                    if scope["path"] not in OPEN_PATHS:
                        state["caller"] = await self._authenticate(headers)
                    await self.app(scope, self._limited(scope["path"], headers, receive), answer)
                except CaxtonError as error:
                    response = problem_response(error, request_id)
                    if isinstance(error, NotAuthenticated) and scope["path"].startswith(BROWSER_PATHS):
                        response.headers["WWW-Authenticate"] = BROWSER_LOGIN
                    await response(scope, receive, answer)
                except asyncio.CancelledError:
                    # Nobody else cancels a request than a server that stops and has been patient for a while.
                    if status is not None:
                        raise
                    await problem_response(_stopping(), request_id)(scope, receive, answer)
                span.answered(status or 500, _route(scope))
        finally:
            METRICS.http_request(scope["method"], _route(scope), status or 500, time.perf_counter() - started)
            REQUEST_ID.reset(token)

    async def _authenticate(self, headers: Mapping[str, str]) -> Caller:
        key = _key(headers.get("authorization", ""))
        if key is None:
            raise NotAuthenticated(
                "an API key is needed", "send it as `Authorization: Bearer <key>`; the CLI finds it by itself"
            )
        workspace = headers.get("x-caxton-workspace", DEFAULT_WORKSPACE)
        if not is_name(workspace):
            raise InvalidInput("X-Caxton-Workspace is not a valid name of a workspace")
        channel = headers.get("x-caxton-channel", "api")
        return await self.keys.authenticate(key, workspace, channel if channel in CHANNELS else "api")

    def _limited(self, path: str, headers: Mapping[str, str], receive: Receive) -> Receive:
        limit = self._limit(path)
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > limit:
            raise _too_large(limit)
        seen = 0

        async def limited() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise _too_large(limit)
            return message

        return limited

    def _limit(self, path: str) -> int:
        if path.startswith(BLOB_PATHS):
            return self.limits.blob_bytes
        if path.endswith(MESSAGE_PATHS):
            return self.limits.content_bytes + (64 << 10)
        return self.limits.request_bytes


def _stopping() -> CaxtonError:
    return EngineUnavailable(
        "the server is stopping", "ask again when it is back; what was accepted goes on then", retry_after=2.0
    )


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"the request is larger than {format_size(limit)}",
        "send less, or raise the limits in [limits] of the server's caxton.toml",
        details={"limit": limit},
    )


def _headers(scope: Scope) -> Mapping[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def _key(authorization: str) -> str | None:
    kind, _, value = authorization.partition(" ")
    if kind.lower() == "bearer":
        return value.strip() or None
    if kind.lower() == "basic":  # browsers, for /docs: any user name, the key as password
        try:
            return base64.b64decode(value).decode().partition(":")[2] or None
        except (binascii.Error, UnicodeDecodeError):
            return None
    return None


def _route(scope: Scope) -> str:
    """The template of the route ("/v1/agents/{name}"), which bounds labels; "other" for unknown paths."""
    route = scope.get("route")
    path = getattr(route, "path", None)
    if isinstance(path, str):
        return path
    return scope["path"] if scope["path"] in OPEN_PATHS else "other"
