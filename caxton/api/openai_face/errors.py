"""Errors as clients of OpenAI's API expect them: `{"error": {"message", "type", "param", "code"}}`."""

import json
from typing import Any, Final

from starlette.responses import JSONResponse

from caxton.domain.errors import CaxtonError

PREFIX: Final = "/openai/"
"""Where the face is; what is below answers in its form, errors included."""

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
    """Whether `path` belongs to the face."""
    return path.startswith(PREFIX)


def error_body(error: CaxtonError, request_id: str | None) -> dict[str, Any]:
    """The error as the face tells it; what Caxton knows besides is in `caxton`."""
    report = error.report()
    hints = "; ".join(hint.text + (f" ({hint.command})" if hint.command else "") for hint in report.hints)
    return {
        "message": f"{report.message}. {hints}" if hints else report.message,
        "type": _TYPES.get(error.status, "invalid_request_error" if error.status < 500 else "server_error"),
        "param": report.details.get("param")
        or ("model" if error.status == 404 and "capability" in report.details else None),
        "code": _CODES.get(report.code, report.code),
        "caxton": {
            "code": report.code,
            "hints": [hint.model_dump(exclude_none=True) for hint in report.hints],
            "details": report.details,
            "retryable": report.retryable,
            "request_id": request_id,
        },
    }


class _ErrorResponse(JSONResponse):
    """Can be written whatever was quoted of the request."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(errors="replace")


def error_response(error: CaxtonError, request_id: str | None) -> JSONResponse:
    """The response that tells `error`. Clients try again by themselves only where that may help."""
    headers = {"x-should-retry": "true" if error.retryable else "false"}
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after)))
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="caxton"'
    if error.status == 405:
        headers["Allow"] = ", ".join(error.details.get("allow", []))
    if error.status == 415:
        headers["Accept"] = ", ".join(error.details.get("accept", []))
    return _ErrorResponse({"error": error_body(error, request_id)}, error.status, headers)
