"""Errors as clients of the A2A protocol expect them: `google.rpc.Status`, and JSON-RPC errors with the same details."""

from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from starlette.responses import JSONResponse

from caxton.api.told_errors import AnyJson, for_programs, headers_of, in_words
from caxton.domain.errors import CaxtonError, UnsupportedMediaType

PREFIX: Final = "/a2a/v1"
"""Where the face is; what is below answers in its form, errors included."""

OLDER: Final = "/a2a/v0.3"
"""Where version 0.3 is spoken over HTTP+JSON."""

CARD: Final = "/.well-known/agent-card.json"
KEYS: Final = "/.well-known/agent-card-keys.json"

A2A_JSON: Final = "application/a2a+json"
"""What clients may send, and get where they ask for nothing else; the binding itself speaks of application/json."""

INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL: Final = -32603
NO_JSON: Final = -32700

_TYPES: Final = "type.googleapis.com/"

_NOT_TARGETS: Final = frozenset({"tasks", "extendedAgentCard", "message:send", "message:stream"})

_STATUSES: Final = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
    507: "RESOURCE_EXHAUSTED",
}


class A2AError(CaxtonError):
    """An error that the protocol has a name and a number for."""

    code = "a2a_error"
    status = 400
    reason_name: ClassVar[str] = "INVALID_PARAMS"
    number: ClassVar[int] = INVALID_PARAMS
    status_name: ClassVar[str] = "FAILED_PRECONDITION"


class InvalidParams(A2AError):
    """A parameter is missing, or is not what it has to be."""

    code = "invalid_params"
    status_name = "INVALID_ARGUMENT"


class TaskNotFound(A2AError):
    """There is no such task, or it is another workspace's."""

    code = "task_not_found"
    status = 404
    reason_name, number, status_name = "TASK_NOT_FOUND", -32001, "NOT_FOUND"

    @classmethod
    def of(cls, task_id: str) -> "TaskNotFound":
        """The error for a task of this id."""
        return cls(f'there is no task "{task_id[:100]}"', details={"taskId": task_id[:100]})


class TaskNotCancelable(A2AError):
    """The task is over."""

    code = "task_not_cancelable"
    status = 409
    reason_name, number = "TASK_NOT_CANCELABLE", -32002


class PushNotSupported(A2AError):
    """The server sends no push notifications."""

    code = "push_not_supported"
    reason_name, number = "PUSH_NOTIFICATION_NOT_SUPPORTED", -32003


class UnsupportedOperation(A2AError):
    """The task, or the server, cannot do that."""

    code = "unsupported_operation"
    reason_name, number = "UNSUPPORTED_OPERATION", -32004


class ContentTypeNotSupported(A2AError):
    """A part is of a type that no agent takes."""

    code = "content_type_not_supported"
    status = 415
    reason_name, number, status_name = "CONTENT_TYPE_NOT_SUPPORTED", -32005, "INVALID_ARGUMENT"


class VersionNotSupported(A2AError):
    """The client speaks a version that the server does not."""

    code = "version_not_supported"
    reason_name, number = "VERSION_NOT_SUPPORTED", -32009


class MethodNotFound(A2AError):
    """There is no such method of JSON-RPC."""

    code = "method_not_found"
    status = 404
    reason_name, number, status_name = "METHOD_NOT_FOUND", METHOD_NOT_FOUND, "NOT_FOUND"


class InvalidRequest(A2AError):
    """It is JSON, and no request of JSON-RPC."""

    code = "invalid_request"
    reason_name, number, status_name = "INVALID_REQUEST", INVALID_REQUEST, "INVALID_ARGUMENT"


class NoJson(InvalidRequest):
    """It is no JSON."""

    code = "no_json"
    number = NO_JSON


def is_a2a(path: str) -> bool:
    """Whether `path` belongs to the face."""
    return path == PREFIX or path.startswith((f"{PREFIX}/", f"{OLDER}/")) or path in (CARD, KEYS)


def is_rpc(path: str) -> bool:
    """Whether `path` is one of those that JSON-RPC requests are sent to."""
    target = path.removeprefix(PREFIX).strip("/")
    return path.startswith(PREFIX) and "/" not in target and target not in _NOT_TARGETS


def number_of(error: CaxtonError) -> int:
    """The error's code in JSON-RPC."""
    if isinstance(error, A2AError):
        return error.number
    if isinstance(error, UnsupportedMediaType):
        return ContentTypeNotSupported.number
    if error.status in (401, 403):
        return INVALID_REQUEST
    return INVALID_PARAMS if error.status < 500 and error.status != 429 else INTERNAL


def details_of(error: CaxtonError, request_id: str | None) -> list[dict[str, Any]]:
    """What both bindings tell of an error: its reason, what is wrong with which field, and what Caxton knows besides."""
    report = error.report()
    reason: str | None = error.reason_name if isinstance(error, A2AError) else None
    if isinstance(error, UnsupportedMediaType):
        reason = ContentTypeNotSupported.reason_name
    facts = {name: str(value) for name, value in report.details.items() if isinstance(value, str | int | float)}
    moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    found: list[dict[str, Any]] = [
        {
            "@type": f"{_TYPES}google.rpc.ErrorInfo",
            "reason": reason or report.code.upper(),
            "domain": "a2a-protocol.org" if reason else "caxton",
            "metadata": {**facts, "timestamp": moment},
        }
    ]
    violations = _violations(report.details)
    if violations:
        found.append({"@type": f"{_TYPES}google.rpc.BadRequest", "fieldViolations": violations})
    if report.retry_after is not None:
        found.append({"@type": f"{_TYPES}google.rpc.RetryInfo", "retryDelay": f"{report.retry_after:.3f}s"})
    found.append({"@type": f"{_TYPES}google.protobuf.Struct", "value": for_programs(report, request_id)})
    return found


def _violations(details: dict[str, Any]) -> list[dict[str, str]]:
    given: list[dict[str, str]] = details.get("problems") or details.get("violations") or []
    return [{"field": each.get("path", ""), "description": each.get("message", "")} for each in given]


def status_body(error: CaxtonError, request_id: str | None) -> dict[str, Any]:
    """The error as a `google.rpc.Status`."""
    given = error.status_name if isinstance(error, A2AError) else None
    status = given or _STATUSES.get(error.status, "INVALID_ARGUMENT" if error.status < 500 else "INTERNAL")
    told = {"code": error.status, "status": status, "message": in_words(error.report())}
    return {"error": {**told, "details": details_of(error, request_id)}}


def rpc_body(error: CaxtonError, request_id: str | None, identity: Any = None) -> dict[str, Any]:
    """The error as the answer to the JSON-RPC request with this id."""
    told = {"code": number_of(error), "message": in_words(error.report()), "data": details_of(error, request_id)}
    return {"jsonrpc": "2.0", "id": identity, "error": told}


def error_response(path: str, error: CaxtonError, request_id: str | None) -> JSONResponse:
    """The response that tells `error`, in the form of the binding that `path` belongs to."""
    headers = headers_of(error)
    if is_rpc(path):
        return AnyJson(rpc_body(error, request_id), error.status, headers)
    return AnyJson(status_body(error, request_id), error.status, headers)
