"""Errors that a service tells in the body of an answer, in whichever form it has for them."""

import re
from typing import Any, Final, cast

_WORDS: Final[tuple[tuple[int, re.Pattern[str]], ...]] = (
    (400, re.compile(r"context.?(length|size|window)|prompt is too long|too many (input )?tokens in", re.IGNORECASE)),
    (402, re.compile(r"insufficient.?(quota|balance|credit|funds)|billing|payment", re.IGNORECASE)),
    (429, re.compile(r"rate.?limit|too.?many.?(requests|tokens)|resource.?exhausted|throttl|\b429\b", re.IGNORECASE)),
    (503, re.compile(r"overload|unavailable|capacity|no.?available|queue|\b503\b", re.IGNORECASE)),
    (401, re.compile(r"auth\w*.?error|unauthenticated|invalid.?api.?key|unauthorized", re.IGNORECASE)),
    (403, re.compile(r"permission|forbidden|access.?denied", re.IGNORECASE)),
    (404, re.compile(r"model.?not.?found|not.?found.?error|no such model", re.IGNORECASE)),
    (400, re.compile(r"invalid.?(request|argument|param\w*|input)|bad.?request|validation", re.IGNORECASE)),
)
"""What an error without a status is: the first that fits."""

_CODES: Final = ("code", "status", "status_code", "statusCode", "http_code", "error_code")

_MESSAGES: Final = ("message", "msg", "error_msg", "error_message", "detail", "error", "status_msg")

SERVER_FAILURE: Final = 502


def error_in(fields: dict[str, Any], *, named_error: bool = False) -> dict[str, Any] | None:
    """The error that an answer, or a piece of one, holds; None if it holds none.

    Args:
        fields: the answer.
        named_error: whether the service called the event an error.
    """
    error: Any = fields.get("error")
    if error:
        return _as_fields(error)
    base = fields.get("base_resp")  # MiniMax
    if isinstance(base, dict) and cast("dict[str, Any]", base).get("status_code"):
        return cast("dict[str, Any]", base)
    if fields.get("choices"):
        return None
    is_error = named_error or fields.get("object") == "error" or fields.get("type") == "error"
    said = any(isinstance(fields.get(name), (str, list)) and fields[name] for name in _MESSAGES)
    return fields if is_error or (said and "choices" not in fields) else None


def status_of(error: dict[str, Any]) -> int:
    """The HTTP status that `error` should have come with."""
    for name in _CODES:
        given = error.get(name)
        if isinstance(given, str) and given.isdecimal():
            given = int(given)
        if isinstance(given, int) and 400 <= given < 600:
            return _mended(given, error)
    said = " ".join(str(value)[:500] for value in error.values() if isinstance(value, (str, int)))
    return next((status for status, pattern in _WORDS if pattern.search(said)), SERVER_FAILURE)


def as_error_body(error: dict[str, Any]) -> dict[str, Any]:
    """`error` in OpenAI's form: a message, and a type and code as words."""
    message = next((error[name] for name in _MESSAGES if isinstance(error.get(name), str) and error[name]), "")
    told: dict[str, Any] = {"message": message}
    for name in ("type", "code", "param", "status"):
        if isinstance(error.get(name), (str, int)) and error[name] != "":
            told[name] = str(error[name])
    if told.get("type") == "exceed_context_size_error":  # llama.cpp's word
        told["code"] = "context_length_exceeded"
    return {"error": told}


def body_of_refusal(body: Any) -> dict[str, Any] | None:
    """OpenAI's form of the body of an answer whose status tells of an error; None if it has that form, or none at all."""
    if isinstance(body, list) and body:  # Gemini's
        body = cast("list[Any]", body)[0]
    if not isinstance(body, dict):
        return None
    fields = cast("dict[str, Any]", body)
    error = error_in(fields, named_error=True)
    return None if error is None else as_error_body(error)


def _mended(status: int, error: dict[str, Any]) -> int:
    """Some servers call a request that is too long a failure of their own."""
    said = " ".join(str(error.get(name, ""))[:500] for name in ("message", "type"))
    return 400 if status == 500 and _WORDS[0][1].search(said) else status


def _as_fields(error: Any) -> dict[str, Any]:
    if isinstance(error, dict):
        return cast("dict[str, Any]", error)
    if isinstance(error, list) and error:
        return _as_fields(cast("list[Any]", error)[0])
    return {"message": error if isinstance(error, str) else ""}
