"""Errors as clients of OpenAI's API expect them: `{"error": {"message", "type", "param", "code"}}`."""

from typing import Any, Final

from starlette.responses import JSONResponse

from caxton.api.told_errors import AnyJson, for_programs, headers_of, in_words
from caxton.domain.errors import CaxtonError

PREFIX: Final = "/openai/"
"""Where the face is; what is below answers in its form, errors included."""

BASE: Final = "/openai/v1"

_ASTRAY: Final = frozenset(
    f"{base}/{tail}"
    for base in ("", "/v1", "/openai", "/openai/v1/v1")
    for tail in ("chat/completions", "responses", "embeddings", "models")
)
"""What a client asks for whose base URL is almost right. Nothing else is there."""

_TYPES: Final = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}

_CODES: Final = {
    "not_authenticated": "invalid_api_key",
    "no_capable_agent": "model_not_found",
    "budget_exceeded": "insufficient_quota",
    "rate_limited": "rate_limit_exceeded",
}
"""Codes that clients know, for those of Caxton."""


def is_openai(path: str) -> bool:
    """Whether `path` belongs to the face, or is what clients of it ask for."""
    return path.startswith(PREFIX) or is_astray(path)


def is_astray(path: str) -> bool:
    """Whether `path` is what a client asks for that looks for the face in the wrong place."""
    return path in _ASTRAY


def error_body(error: CaxtonError, request_id: str | None) -> dict[str, Any]:
    """The error as the face tells it; what Caxton knows besides is in `caxton`."""
    report = error.report()
    return {
        "message": in_words(report),
        "type": _TYPES.get(error.status, "invalid_request_error" if error.status < 500 else "server_error"),
        "param": report.details.get("param")
        or ("model" if error.status == 404 and "capability" in report.details else None),
        "code": _CODES.get(report.code, report.code),
        "caxton": for_programs(report, request_id),
    }


def error_response(error: CaxtonError, request_id: str | None) -> JSONResponse:
    """The response that tells `error`. Clients try again by themselves only where that may help."""
    headers = {"x-should-retry": "true" if error.retryable else "false", **headers_of(error)}
    return AnyJson({"error": error_body(error, request_id)}, error.status, headers)
