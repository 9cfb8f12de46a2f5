"""Messages on the wire: what a client sends, read and checked, for both ways of the protocol."""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from caxton import __version__
from caxton.api.mcp_face.errors import (
    HEADER_MISMATCH,
    INVALID_PARAMS,
    INVALID_REQUEST,
    UNSUPPORTED_VERSION,
    RpcError,
)

MODERN: Final = "2026-07-28"
"""The revision that says all in each request."""

LEGACY: Final = ("2025-11-25", "2025-06-18")
"""Revisions that begin with `initialize`, the newest first."""

VERSIONS: Final = (MODERN, *LEGACY)

_META: Final = "io.modelcontextprotocol/"
VERSION_KEY: Final = f"{_META}protocolVersion"
CAPABILITIES_KEY: Final = f"{_META}clientCapabilities"
SERVER_KEY: Final = f"{_META}serverInfo"
RELATED_TASK: Final = f"{_META}related-task"
TASKS: Final = f"{_META}tasks"
"""The extension for tasks."""

OWN_KEY: Final = "caxton/idempotency-key"
OWN_CONVERSATION: Final = "caxton/conversation"
OWN_EXECUTION: Final = "caxton/execution"
"""Keys of ours in `_meta`."""

SERVER: Final = {"name": "caxton", "title": "Caxton", "version": __version__}

LONGEST_ID: Final = 8_192
"""Characters of a request's id."""

_NAMED: Final = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
}
"""What the header Mcp-Name repeats, by method."""

_ENCODED = re.compile(r"=\?base64\?(.*)\?=", re.DOTALL)

ProgressToken = str | int


@dataclass(frozen=True, slots=True)
class Session:
    """What an older client said of itself with `initialize`; it brings it along, sealed, with each request."""

    name: str
    """Tells it from others."""
    version: str
    elicits: bool
    """Whether it can ask its user."""


@dataclass(frozen=True, slots=True)
class Headers:
    """The headers of one request; of two of one name, both."""

    raw: Sequence[tuple[str, str]] = field(default=())

    def get(self, name: str) -> str | None:
        """The header `name`.

        Raises:
            RpcError: it is there twice, and a proxy before us may have looked at the other one.
        """
        found = [value.strip(" \t") for known, value in self.raw if known.lower() == name]
        if len(found) > 1:
            raise RpcError(HEADER_MISMATCH, f"the header {name} is there more than once")
        return found[0] if found else None


@dataclass(frozen=True, slots=True)
class Call:
    """A request."""

    id: str | int
    method: str
    params: Mapping[str, Any]
    modern: bool
    version: str
    elicits: bool
    """Whether the client can ask its user."""
    has_tasks: bool
    """Whether the client takes a task in place of an answer, unasked."""
    streams: bool
    """Whether it takes a stream."""
    session: Session | None = None
    headers: Headers = Headers()

    @property
    def is_bridged(self) -> bool:
        """Whether it came over standard input and output: those clients send no headers of their own."""
        return self.headers.get("x-caxton-channel") == "mcp"

    @property
    def meta(self) -> Mapping[str, Any]:
        """`_meta` of its parameters."""
        found = self.params.get("_meta")
        return cast("Mapping[str, Any]", found) if isinstance(found, dict) else {}

    @property
    def progress_token(self) -> ProgressToken | None:
        """With what progress is to be told."""
        token = self.meta.get("progressToken")
        return token if isinstance(token, str | int) and not isinstance(token, bool) else None

    def check_token(self) -> None:
        """Makes sure that what is repeated with each step is short.

        Raises:
            RpcError: it is not.
        """
        token = self.progress_token
        if isinstance(token, str) and len(token) > LONGEST_ID:
            raise RpcError(INVALID_PARAMS, f'"progressToken" has {LONGEST_ID:,} characters at most')

    def text(self, name: str, most: int = 2_000) -> str:
        """A text among the parameters.

        Raises:
            RpcError: it is not there, or too long.
        """
        found = self.params.get(name)
        if not isinstance(found, str) or not 0 < len(found) <= most:
            raise RpcError(INVALID_PARAMS, f'"{name}" has to be a text of 1 to {most:,} characters')
        return found

    def optional_text(self, name: str, most: int = 8_192) -> str | None:
        """The same where it may be left out."""
        return None if self.params.get(name) is None else self.text(name, most)

    def object(self, name: str) -> dict[str, Any]:
        """An object among the parameters, which the caller may change; empty where there is none.

        Raises:
            RpcError: it is something else.
        """
        found = self.params.get(name)
        if found is None:
            return {}
        if not isinstance(found, dict):
            raise RpcError(INVALID_PARAMS, f'"{name}" has to be an object')
        return {**cast("dict[str, Any]", found)}


def is_modern(body: Mapping[str, Any], headers: Headers) -> bool:
    """Whether a message says all about itself, as since 2026-07-28, or belongs to what `initialize` began."""
    meta, method = _meta_of(body), body.get("method")
    if meta is not None and VERSION_KEY in meta:
        return True
    return method == "server/discover" or (method != "initialize" and headers.get("mcp-protocol-version") == MODERN)


def check_modern(body: Mapping[str, Any], headers: Headers) -> Mapping[str, Any]:
    """Checks that a request says what it must, in its headers the same as in its body; returns what its client can do.

    Raises:
        RpcError: it does not, or is of a revision that is not spoken here.
    """
    meta = _meta_of(body)
    missing = [key for key in (VERSION_KEY, CAPABILITIES_KEY) if meta is None or key not in meta]
    if meta is None or missing:
        raise RpcError(INVALID_PARAMS, f"params._meta has no {' and no '.join(missing)}")
    version, method = meta[VERSION_KEY], body.get("method")
    if headers.get("mcp-protocol-version") != version:
        raise RpcError(HEADER_MISMATCH, f"the header MCP-Protocol-Version is not what {VERSION_KEY} says")
    if headers.get("mcp-method") != method:
        raise RpcError(HEADER_MISMATCH, "the header Mcp-Method is not the method of the request")
    named = _NAMED.get(str(method))
    if named is not None:
        wanted, header = body["params"].get(named), headers.get("mcp-name")
        if (header is None) != (wanted is None) or (header is not None and decoded(header) != wanted):
            raise RpcError(HEADER_MISMATCH, f'the header Mcp-Name is not "{named}" of the request')
    if version != MODERN:  # the others begin with initialize
        raise unsupported(version, VERSIONS if version not in VERSIONS else (MODERN,))
    capabilities = meta[CAPABILITIES_KEY]
    if not isinstance(capabilities, dict):
        raise RpcError(INVALID_PARAMS, f"{CAPABILITIES_KEY} has to be an object")
    return cast("dict[str, Any]", capabilities)


def unsupported(version: object, supported: Sequence[str] = VERSIONS) -> RpcError:
    """The error for a revision that is not spoken here, or not in this way."""
    data = {"supported": list(supported), "requested": str(version)[:100]}
    return RpcError(UNSUPPORTED_VERSION, "Unsupported protocol version", data)


def elicits(capabilities: object) -> bool:
    """Whether a client with these capabilities shows forms to its user."""
    found = cast("dict[str, Any]", capabilities).get("elicitation") if isinstance(capabilities, dict) else None
    return isinstance(found, dict) and (not found or "form" in found)


def takes_tasks(capabilities: Mapping[str, Any]) -> bool:
    """Whether a client takes tasks unasked."""
    extensions = capabilities.get("extensions")
    return isinstance(extensions, dict) and TASKS in extensions


def request_id(body: Mapping[str, Any]) -> str | int:
    """The id of a request.

    Raises:
        RpcError: it has none that JSON-RPC knows.
    """
    found = body.get("id")
    if isinstance(found, bool) or not isinstance(found, str | int) or len(str(found)) > LONGEST_ID:
        raise RpcError(INVALID_REQUEST, "the id of a request is a text or a whole number")
    return found


def params_of(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters of a message.

    Raises:
        RpcError: they are no object.
    """
    found = body.get("params")
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise RpcError(INVALID_PARAMS, '"params" has to be an object')
    return cast("dict[str, Any]", found)


def answer(identity: str | int, result: Mapping[str, Any]) -> dict[str, Any]:
    """The message that answers a request."""
    return {"jsonrpc": "2.0", "id": identity, "result": result}


def notification(method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """A message that nobody answers."""
    return {"jsonrpc": "2.0", "method": method, "params": params}


def finished(call: Call, result: Mapping[str, Any]) -> dict[str, Any]:
    """A result as the client's revision has it."""
    if not call.modern:
        return dict(result)
    meta = {**result.get("_meta", {}), SERVER_KEY: SERVER}
    return {"resultType": "complete", **result, "_meta": meta}


def _meta_of(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    params = body.get("params")
    meta = cast("dict[str, Any]", params).get("_meta") if isinstance(params, dict) else None
    return cast("dict[str, Any]", meta) if isinstance(meta, dict) else None


def decoded(value: str) -> str | None:
    """A header's value as its client meant it; None where it is encoded badly."""
    found = _ENCODED.fullmatch(value)
    if found is None:
        return value
    try:
        content = base64.b64decode(found[1], validate=True)
        return content.decode() if base64.b64encode(content).decode() == found[1] else None
    except (binascii.Error, UnicodeDecodeError):
        return None
