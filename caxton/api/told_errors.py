"""What responses that tell an error have in common, whatever protocol they are in."""

import json
from typing import Any

from starlette.responses import JSONResponse

from caxton.domain.errors import CaxtonError, ErrorReport


class AnyJson(JSONResponse):
    """Can be written whatever was quoted of the request."""

    def render(self, content: Any) -> bytes:
        """The text, without what is no Unicode."""
        return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(errors="replace")


def headers_of(error: CaxtonError) -> dict[str, str]:
    """What HTTP says of `error`: when to come again, and what is taken instead."""
    report = error.report()
    headers: dict[str, str] = {}
    if report.retry_after is not None:
        headers["Retry-After"] = str(max(1, round(report.retry_after)))
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="caxton"'
    if error.status == 405:
        headers["Allow"] = ", ".join(report.details.get("allow", []))
    if error.status == 415:
        headers["Accept"] = ", ".join(report.details.get("accept", []))
        if "accept_encoding" in report.details:
            headers["Accept-Encoding"] = ", ".join(report.details["accept_encoding"])
    return headers


def in_words(report: ErrorReport) -> str:
    """What a person or a model reads of an error: what went wrong, and what to do next."""
    hints = "; ".join(hint.text + (f" ({hint.command})" if hint.command else "") for hint in report.hints)
    return f"{report.message}. {hints}" if hints else report.message


def for_programs(report: ErrorReport, request_id: str | None) -> dict[str, Any]:
    """What programs read of an error, beside what their protocol has a place for."""
    return {
        "code": report.code,
        "hints": [hint.model_dump(exclude_none=True) for hint in report.hints],
        "details": report.details,
        "retryable": report.retryable,
        "request_id": request_id,
    }
