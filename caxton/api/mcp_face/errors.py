"""Errors as MCP clients expect them: JSON-RPC error objects, with what Caxton knows besides in `data`."""

from contextvars import ContextVar
from typing import Any, Final

from starlette.responses import JSONResponse

from caxton.api.told_errors import AnyJson, for_programs, headers_of, in_words
from caxton.domain.errors import CaxtonError

PATH: Final = "/mcp"
"""Where the face is."""

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
RESOURCE_NOT_FOUND: Final = -32002
"""Up to 2025-11-25; later revisions say INVALID_PARAMS."""
HEADER_MISMATCH: Final = -32020
MISSING_CAPABILITY: Final = -32021
UNSUPPORTED_VERSION: Final = -32022

REQUEST: ContextVar[tuple[str | int, bool] | None] = ContextVar("mcp_request", default=None)
"""The id of the request that is being answered, and whether it is one of 2026-07-28; None before it is known."""

_CODES: Final = {
    400: INVALID_PARAMS,
    404: INVALID_PARAMS,
    405: INVALID_REQUEST,
    413: INVALID_REQUEST,
    422: INVALID_PARAMS,
}
_AS_THEY_ARE: Final = frozenset({401, 403, 405, 408, 413, 414, 415, 421, 429, 431, 505})
"""HTTP statuses that older revisions see as well; what went wrong otherwise is told with 200, where their clients read it."""


class RpcError(Exception):
    """An error of the protocol itself."""

    def __init__(self, code: int, message: str, data: dict[str, Any] | None = None) -> None:
        """Say what is wrong with a request."""
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data

    @property
    def status(self) -> int:
        """The HTTP status that goes with the code."""
        request = REQUEST.get()
        if self.code in (PARSE_ERROR, INVALID_REQUEST, HEADER_MISMATCH, MISSING_CAPABILITY, UNSUPPORTED_VERSION):
            return 400
        if request is not None and not request[1]:
            return 200
        return {METHOD_NOT_FOUND: 404, INVALID_PARAMS: 400}.get(self.code, 200)

    def response(self) -> JSONResponse:
        """The response that tells it."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.data is not None:
            error["data"] = self.data
        request = REQUEST.get()
        return AnyJson({"jsonrpc": "2.0", "id": request and request[0], "error": error}, self.status)


def is_mcp(path: str) -> bool:
    """Whether `path` is the face."""
    return path == PATH


def told(error: CaxtonError) -> str:
    """What a person or a model reads of an error: what went wrong, and what to do next."""
    return in_words(error.report())


def error_data(error: CaxtonError, request_id: str | None) -> dict[str, Any]:
    """What programs read of an error."""
    return for_programs(error.report(), request_id)


def error_response(error: CaxtonError, request_id: str | None) -> JSONResponse:
    """The response that tells `error`. Beyond JSON-RPC's own codes, the code is that of HTTP."""
    request = REQUEST.get()
    code = _CODES.get(error.status, error.status)
    status = error.status
    if request is None:
        if error.status == 400:
            code = PARSE_ERROR if "is not JSON" in error.message else INVALID_REQUEST
    elif not request[1] and status < 500 and status not in _AS_THEY_ARE:
        status = 200
    elif status in (404, 422):
        status = 400  # 404 would say that there is no such method
    body = {"code": code, "message": told(error), "data": {"caxton": error_data(error, request_id)}}
    return AnyJson({"jsonrpc": "2.0", "id": request and request[0], "error": body}, status, headers_of(error))
