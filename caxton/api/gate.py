"""The gate that every request passes: id, name and site, key, size, measure. Plain ASGI, since every message passes it."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from caxton.api.bodies import Bodies
from caxton.api.errors import error_answer
from caxton.api.head import BROWSER_LOGIN, basic, bearer, check_head, read_headers
from caxton.api.in_progress import InProgress
from caxton.api.lasting_answers import LastingAnswer, Watch, recheck_of
from caxton.api.mcp_face.errors import is_mcp
from caxton.api.services import Services
from caxton.api.turnstile import Turnstile
from caxton.api.web import OPEN_PATHS, WebAccess, WebRules, is_browser_page, with_security
from caxton.domain.buckets import TokenBucket
from caxton.domain.errors import (
    CaxtonError,
    EngineUnavailable,
    InvalidInput,
    NotAuthenticated,
)
from caxton.domain.ids import is_name
from caxton.domain.origin import ORIGIN
from caxton.domain.triggers import HOOKS
from caxton.observability.logs import REQUEST_ID
from caxton.observability.metrics import METRICS
from caxton.observability.tracing import extract_traceparent, server_span
from caxton.service.audit_sinks import AuditLag
from caxton.service.context import Caller
from caxton.service.hooks import CHANNEL as HOOK_CHANNEL
from caxton.service.rates import rate_headers
from caxton.service.tallies import Tallies

CHANNELS = frozenset({"api", "cli", "dashboard", "mcp"})
"""How a request came, as the client says: it is told in the log and decides nothing."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Change nothing."""

REFUSALS = {
    401: "not_authenticated",
    403: "not_permitted",
    413: "payload_too_large",
    421: "wrong_host",
    429: "overloaded",
}
"""Answers that the log counts, and what they are called where no error says more."""

ASKED_FROM_PAGES = [
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "Last-Event-ID",
    "X-Caxton-Workspace",
    "X-Caxton-Channel",
    "MCP-Protocol-Version",
    "Mcp-Method",
    "Mcp-Name",
    "Mcp-Session-Id",
]
TOLD_TO_PAGES = ["Location", "Mcp-Session-Id", "Retry-After", "X-Request-Id"]
"""Headers that pages of the sites in `cors_origins` may send and read."""


class Gate:
    """Authenticates, limits and measures requests."""

    def __init__(self, app: ASGIApp, services: Services, access: WebAccess | None = None) -> None:
        """Guard `app`, which is called by the names and from the sites that `access` has."""
        self.tallies: Tallies = services.tallies
        self.lag: AuditLag = services.audit_lag
        self.app = app
        self.authentication = services.authentication
        self.rates = services.rates
        self.bodies = Bodies(services.limits)
        self.turnstile = Turnstile()
        self.in_progress = InProgress(services.limits.requests)
        access = access or WebAccess()
        self.rules = WebRules(access)
        self._watch = Watch()
        self._inner: ASGIApp = self._admit
        if access.origins:
            self._inner = CORSMiddleware(
                self._admit,
                allow_origins=access.origins,
                allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
                allow_headers=ASKED_FROM_PAGES,
                expose_headers=TOLD_TO_PAGES,
            )

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
        is_whole = False

        async def answer(message: Message) -> None:
            nonlocal status, is_whole
            is_whole = message["type"] == "http.response.body" and not message.get("more_body")
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = with_security(
                    [*message.get("headers", []), (b"x-request-id", request_id.encode())]
                )
            await send(message)

        try:
            headers = state["headers"] = read_headers(scope)
            traceparent = extract_traceparent(headers)
            with server_span(scope["method"], traceparent=traceparent) as span:
                try:
                    check_head(scope, headers)
                    self.rules.check_host(headers.get("host"))
                    self.rules.check_site(scope["method"], scope["path"], headers)
                    await self._inner(scope, receive, answer)
                except CaxtonError as error:
                    state["refusal"] = error
                    await error_answer(scope["path"], error, request_id)(scope, receive, answer)
                except asyncio.CancelledError:
                    answer_cut_off = _cut_off(state)
                    if answer_cut_off is not None:
                        await answer_cut_off.finish()
                        return
                    # Nobody else cancels a request than a server that stops and has been patient for a while.
                    if status is not None:
                        raise
                    await error_answer(scope["path"], _stopping(), request_id)(scope, receive, answer)
                except Exception:
                    if not is_whole:  # else it is told and logged, and the connection is good for the next request
                        raise
                span.answered(status or 500, _route(scope))
        finally:
            if isinstance(lasting := state.pop("answer", None), LastingAnswer):  # which holds what holds it
                lasting.close()
            self._count_refusal(scope, status or 500)
            METRICS.http_request(scope["method"], _route(scope), status or 500, time.perf_counter() - started)
            REQUEST_ID.reset(token)

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets a request in whose key is good, and answers refusals: pages of sites that may ask can read them as well."""
        state, method, path = scope["state"], scope["method"], scope["path"]
        headers = state["headers"]
        try:
            if path in OPEN_PATHS:
                # A browser sends the login of the pages along, and would forget it if it were refused where none is needed.
                if basic(headers.get("authorization", "")) is None and "authorization" in headers:
                    state["caller"] = await self._authenticate_if_possible(headers, _address(scope))
                # Whoever watches over the server may ask in the shorter way.
                await self.app({**scope, "method": "GET"} if method == "HEAD" else scope, receive, send)
                return
            if path.startswith(HOOKS):
                # Whoever delivers has no key: the route checks the signature before it reads anything.
                ORIGIN.set((_address(scope), HOOK_CHANNEL, "", state["request_id"]))
                self.lag.check_changes()
                state["bodies"] = self.bodies  # which counts the delivery when the route knows whose it is
                await self.app(scope, receive, send)
                return
            browser, address = is_browser_page(method, path), _address(scope)
            caller = state["caller"] = await self._authenticate(
                headers, address, browser=browser, channel="mcp" if is_mcp(path) else "api"
            )
            await self.turnstile.enter(caller.scope.customer)
            state["recheck"] = recheck_of(caller, lambda: self._authenticate(headers, address, browser=browser))
            send = state["answer"] = LastingAnswer(send, state["recheck"], _refusing(scope, receive, send), self._watch)
            ORIGIN.set((address, caller.channel, caller.key_id, state["request_id"]))
            bucket = self.rates.take(caller)
            if bucket is not None:
                send = _telling(bucket, send)
            if method not in SAFE_METHODS:
                self.lag.check_changes()
            customer = caller.scope.customer
            with self.in_progress.one(customer), self.bodies.reading(path, headers, customer, receive) as body:
                await self.app(scope, body, send)
        except CaxtonError as error:
            state["refusal"] = error
            response = error_answer(path, error, state["request_id"])
            if isinstance(error, NotAuthenticated) and is_browser_page(method, path):
                response.headers["WWW-Authenticate"] = BROWSER_LOGIN
            await response(scope, receive, send)

    async def _authenticate(
        self, headers: Mapping[str, str], address: str, *, browser: bool, channel: str = "api"
    ) -> Caller:
        authorization = headers.get("authorization", "")
        key = bearer(authorization) or (basic(authorization) if browser else None)
        if key is None:
            raise NotAuthenticated(
                "an API key is needed", "send it as `Authorization: Bearer <key>`; the CLI finds it by itself"
            )
        workspace = headers.get("x-caxton-workspace")
        if workspace is not None and not is_name(workspace):
            raise InvalidInput("X-Caxton-Workspace is not a valid name of a workspace")
        channel = headers.get("x-caxton-channel", channel)
        return await self.authentication.authenticate(
            key, workspace, channel if channel in CHANNELS else "api", address
        )

    async def _authenticate_if_possible(self, headers: Mapping[str, str], address: str) -> Caller | None:
        """For paths that answer without a key: whether the server works is told also when keys cannot be looked up."""
        try:
            return await self._authenticate(headers, address, browser=False)
        except NotAuthenticated:
            raise
        except CaxtonError:
            return None

    def _count_refusal(self, scope: Scope, status: int) -> None:
        """Counts for the log what was refused for a limit, the site or name that it came by, or for want of a key.

        Keys that are not good and permissions are told where they are looked at (:mod:`caxton.service.refusals`).
        """
        if status not in REFUSALS:
            return
        state = scope["state"]
        error: CaxtonError | None = state.get("refusal")
        caller: Caller | None = state.get("caller")
        if status == 401 and "authorization" in state.get("headers", {}):
            return
        if scope["path"].startswith(HOOKS) and status in (401, 413):
            return  # told by the trigger
        if status != 403 or caller is None:
            code = error.code if error else REFUSALS[status]
            self.tallies.limited(code, f"{scope['method'][:16]} {_route(scope)}", _address(scope), caller)


def _cut_off(state: dict[str, Any]) -> LastingAnswer | None:
    """The answer that was cancelled because its caller may no longer have it."""
    answer, task = state.get("answer"), asyncio.current_task()
    if not isinstance(answer, LastingAnswer) or not answer.cut_off or task is None:
        return None
    return answer if task.uncancel() == 0 else None


def _refusing(scope: Scope, receive: Receive, send: Send) -> Callable[[CaxtonError], Awaitable[None]]:
    """What answers with an error instead of what was asked for."""

    async def refuse(error: CaxtonError) -> None:
        scope["state"]["refusal"] = error
        await error_answer(scope["path"], error, scope["state"]["request_id"])(scope, receive, send)

    return refuse


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""


def _telling(bucket: TokenBucket, send: Send) -> Send:
    """`send`, whose answers say what is left of a key's rate."""

    async def tell(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *rate_headers(bucket)]
        await send(message)

    return tell


def _stopping() -> CaxtonError:
    return EngineUnavailable(
        "the server is stopping", "ask again when it is back; what was accepted goes on then", retry_after=2.0
    )


def _route(scope: Scope) -> str:
    """The template of the route ("/v1/agents/{name}"), which bounds labels; "other" for unknown paths."""
    route = scope.get("route")
    path = getattr(route, "path", None)
    if isinstance(path, str):
        return path
    return scope["path"] if scope["path"] in OPEN_PATHS else "other"
