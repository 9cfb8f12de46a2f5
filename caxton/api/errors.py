"""Errors over HTTP: RFC 9457 problem details, one shape for all."""

import contextlib
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from caxton.api.a2a_face import errors as a2a
from caxton.api.mcp_face.errors import error_response as mcp_response
from caxton.api.mcp_face.errors import is_mcp
from caxton.api.openai_face.errors import BASE, error_response, is_astray, is_openai
from caxton.api.told_errors import AnyJson, for_programs, headers_of
from caxton.definitions.suggestions import did_you_mean
from caxton.domain.errors import CaxtonError, InvalidInput, MethodNotAllowed, NotFound, NotPermitted
from caxton.domain.ids import NAME_PATTERN
from caxton.domain.memory import RELATION_PATTERN, TYPE_PATTERN
from caxton.domain.validation_words import in_plain_words

log = logging.getLogger(__name__)

PROBLEM = "application/problem+json"

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

MOST_PROBLEMS = 50
MOST_QUOTED = 300
"""Problems of one request that are told, and characters of each: an answer is no way to make the server write."""


def problem_response(error: CaxtonError, request_id: str | None) -> JSONResponse:
    """The response that tells `error`."""
    report = error.report()
    body: dict[str, Any] = {
        "type": f"urn:caxton:error:{report.code}",
        "title": error.title,
        "status": error.status,
        "detail": report.message,
        **for_programs(report, request_id),
        "help": report.help,
    }
    if report.reason:
        body["reason"] = report.reason
    if report.retry_after is not None:
        body["retry_after"] = report.retry_after
    return AnyJson(body, error.status, headers_of(error), media_type=PROBLEM)


def error_answer(path: str, error: CaxtonError, request_id: str | None) -> JSONResponse:
    """The response that tells `error` in the form that clients of `path` expect."""
    if is_mcp(path):
        return mcp_response(error, request_id)
    if is_openai(path):
        return error_response(error, request_id)
    return a2a.error_response(path, error, request_id) if a2a.is_a2a(path) else problem_response(error, request_id)


def request_id_of(request: Request) -> str | None:
    """The id under which the request is logged."""
    return getattr(request.state, "request_id", None)


def add_error_handlers(app: FastAPI) -> None:
    """Makes every error of `app` a problem response."""
    handlers: dict[type[Exception], Callable[[Request, Any], Awaitable[Response]]] = {
        CaxtonError: caxton_error,
        RequestValidationError: _validation_error,
        HTTPException: _http_error,
        Exception: unexpected_error,
    }
    for error_class, handler in handlers.items():
        app.add_exception_handler(error_class, handler)


async def caxton_error(request: Request, error: CaxtonError) -> Response:
    """The response to an error that a use case raised, with all that belongs to it."""
    if error.status >= 500:
        log.warning("%s: %s", error.code, error.title, extra={"error_code": error.code})
    if isinstance(error, NotPermitted):
        await _tell_refusal(request, error)
    return error_answer(request.url.path, error, request_id_of(request))


async def _tell_refusal(request: Request, error: NotPermitted) -> None:
    """An audit wants to know who tried what they may not do."""
    services, caller = getattr(request.app.state, "services", None), getattr(request.state, "caller", None)
    if services is None or caller is None:
        return
    route = getattr(request.scope.get("route"), "path", "?")
    try:
        await services.authentication.refusals.not_permitted(
            caller, f"{request.method} {route}", str(error.details.get("needed", ""))
        )
    except CaxtonError as failure:
        log.warning("a refusal could not be logged: %s", failure.message)


async def _validation_error(request: Request, error: RequestValidationError) -> Response:
    problems = [
        {
            "path": (".".join(str(part) for part in detail["loc"][1:]) or str(detail["loc"][0]))[:MOST_QUOTED],
            "message": _said(detail)[:MOST_QUOTED],
        }
        for detail in error.errors()[:MOST_PROBLEMS]
    ]
    first = problems[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    found = InvalidInput(f"{first['path']}: {first['message']}{more}", details={"problems": problems})
    return error_answer(request.url.path, found, request_id_of(request))


FEW = 8
"""Choices that an error lists although it has a guess."""

_PATTERNS = {
    NAME_PATTERN: 'names have lower-case letters, digits, "-" and "_", and begin and end with a letter or digit',
    TYPE_PATTERN: 'only letters, digits, "_", "." and "-" may be in it',
    RELATION_PATTERN: 'only letters, digits, spaces, "_", "." and "-" may be in it',
}
"""What people read instead of a regular expression."""


def _said(detail: Mapping[str, Any]) -> str:
    context = detail.get("ctx", {})
    if detail["type"] in ("enum", "literal_error") and isinstance(detail["input"], str):
        return _choice(detail["input"], re.findall(r"'([^']+)'", str(context.get("expected", ""))), str(detail["msg"]))
    return _PATTERNS.get(context.get("pattern", "")) or in_plain_words(str(detail["msg"]))


def _choice(given: str, choices: list[str], message: str) -> str:
    """Says what may stand in the place of `given`: all where they are few, and what was probably meant."""
    guess, every = did_you_mean(given, choices), in_plain_words(message)
    if guess is None:
        return every
    return f"{every}; {guess}" if len(choices) <= FEW else f'"{given[:MOST_QUOTED]}" is not known; {guess}'


async def _http_error(request: Request, error: HTTPException) -> Response:
    known: CaxtonError
    if error.status_code == 404:
        path = request.url.path
        hint = (
            f"give OpenAI's clients a base URL that ends with {BASE}"
            if is_astray(path)
            else "see /docs for what there is"
        )
        known = NotFound(f"there is no {path[:MOST_QUOTED]}", hint)
    elif error.status_code == 405:
        allowed = _methods_of(request)
        known = MethodNotAllowed(
            f"{request.method} does not go with {request.url.path[:MOST_QUOTED]}",
            "see /docs for what does",
            details={"allow": allowed},
        )
    else:
        known = InvalidInput(str(error.detail))
    return error_answer(request.url.path, known, request_id_of(request))


def _methods_of(request: Request) -> list[str]:
    """The methods that a path takes: of all its routes, for the router tells those of the first one only."""

    def takes(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)

    return [method for method in METHODS if takes(method)]


async def unexpected_error(request: Request, error: Exception) -> Response:
    """The response to an error of ours."""
    log.error("an unexpected error", exc_info=error)
    services, caller = getattr(request.app.state, "services", None), getattr(request.state, "caller", None)
    if services is not None and caller is not None:
        route = getattr(request.scope.get("route"), "path", "?")
        with contextlib.suppress(Exception):
            await services.event_log.failed(
                caller, request_id_of(request) or "?", f"{request.method} {route}", type(error).__name__
            )
    found = CaxtonError(
        "something went wrong inside Caxton",
        "look into the server's log for the request id",
        reason=type(error).__name__,
    )
    return error_answer(request.url.path, found, request_id_of(request))
