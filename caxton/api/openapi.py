"""The description of the API: what FastAPI derives from the routes, made true where it cannot know."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from fastapi import FastAPI
from pydantic import BaseModel, Field

from caxton.api.a2a_face.errors import PREFIX, is_a2a, is_rpc
from caxton.api.examples import EXAMPLES
from caxton.api.mcp_face.errors import is_mcp
from caxton.api.openai_face.errors import is_openai
from caxton.api.web import PROTECTED_RESOURCE, is_open
from caxton.domain.errors import Hint

PROBLEM = "application/problem+json"

BYTES = "application/octet-stream"
EVENTS = "text/event-stream"
STREAMS = frozenset({EVENTS, "application/x-ndjson"})

KEY = "key"

_PROBLEMS = {
    400: "The request is not valid.",
    401: "The API key is missing or not valid.",
    403: "The API key does not allow this.",
    404: "There is no such thing, or it is another customer's.",
    405: "The address does not take this method.",
    408: "The request came too slowly.",
    409: "That cannot be done in the present state.",
    413: "The request is larger than allowed.",
    414: "The address is too long.",
    415: "The body is of a type that is not taken here.",
    421: "The server is not known by the name that the request is for.",
    422: "A definition, or an agent's or tool's input, is not valid; or a limit of the agent was reached.",
    429: "Too much work is waiting, or a limit on requests or a budget is used up.",
    431: "The headers are larger than allowed.",
    500: "Something went wrong inside Caxton.",
    502: "The agent, its model or its tool failed.",
    503: "A part of the server, or every agent that could do it, is not available now.",
    504: "It took longer than allowed.",
    505: "A stream cannot be told in this version of HTTP.",
    507: "The disk is full.",
}
BEFORE = (400, 403, 408, 414, 421, 431, 500)
"""What any request may be answered, also without a key."""
ALWAYS = (*BEFORE, 401, 429, 503)
"""What any route may answer that wants a key."""
WITH_BODY = (413, 415)
CHANGING = (409, 507)
WORK = frozenset(
    {
        "/v1/messages",
        "/v1/conversations/{conversation_id}/messages",
        "/v1/schedules/{agent}/{name}/trigger",
        "/v1/hooks/{hook_id}",
        "/openai/v1/chat/completions",
        "/openai/v1/responses",
        "/mcp",
        "/v1/agui/{capability}",
        f"{PREFIX}/message:send",
        f"{PREFIX}/message:stream",
        f"{PREFIX}/{{target}}/message:send",
        f"{PREFIX}/{{target}}/message:stream",
        "/v1/tools/{name}/call",
        "/v1/deployments",
        "/v1/deployments/{deployment_id}/rollback",
    }
)
"""What makes an agent or a tool work, or checks one."""
WORKING = (422, 502, 504)
SURFACE = "/v1/tools/{name}/surface"
"""Asks a server that is not ours: only of tools that have one."""


class ServerSentEvent(BaseModel):
    """One event of a stream."""

    id: str | None = Field(default=None, description="To come back to this place, as `Last-Event-ID`.")
    event: str | None = Field(default=None, description="What kind of event.")
    data: str | None = Field(default=None, description="JSON.")


class Problem(BaseModel):
    """What went wrong (RFC 9457, problem details)."""

    type: str | None = Field(description="The kind of problem, as `urn:caxton:error:` and its code.")
    title: str
    status: int
    detail: str
    code: str = Field(description="The kind of problem, for programs.")
    hints: list[Hint] = Field(description="What to do next.")
    details: dict[str, Any] = Field(description="Facts on it, for programs.")
    retryable: bool = Field(description="Whether the same request may succeed later.")
    request_id: str | None = Field(description="Under which the server's log has it.")
    help: str | None = Field(description="Where the documentation that comes with Caxton tells of it.")
    reason: str | None = Field(default=None, description="Technical detail.")
    retry_after: float | None = Field(default=None, description="Seconds after which to try again.")


class OpenAIError(BaseModel):
    """What went wrong, in OpenAI's form."""

    error: dict[str, Any] = Field(
        description="`message`, `type`, `param` and `code` as OpenAI has them; `caxton` has hints and details."
    )


class A2AError(BaseModel):
    """What went wrong, in the form of the A2A protocol."""

    error: dict[str, Any] = Field(description="A `google.rpc.Status`, with `google.rpc.ErrorInfo` among its details.")


class JsonRpcError(BaseModel):
    """What went wrong, in the form of JSON-RPC."""

    jsonrpc: str
    id: str | int | float | None = Field(description="Of the request; null where it could not be read.")
    error: dict[str, Any] = Field(description="`code`, `message`, and `data` with hints and details.")


_FORMS: Mapping[str, tuple[str, type[BaseModel]]] = {
    "OpenAIError": ("application/json", OpenAIError),
    "A2AError": ("application/json", A2AError),
    "JsonRpcError": ("application/json", JsonRpcError),
}
"""Forms of errors beside problem details: media type and schema, by the name of the schema."""


def body_of(media_type: str) -> dict[str, Any]:
    """For a route that reads its body itself: it is of this type, and has to be there."""
    binary = {"type": "string", "format": "binary"} if media_type == BYTES else {"type": "string"}
    return {"requestBody": {"required": True, "content": {media_type: {"schema": binary}}}}


def describe(api: FastAPI) -> None:
    """Makes `api` describe itself as it is."""
    derive = api.openapi

    def openapi() -> dict[str, Any]:
        if api.openapi_schema is None:
            api.openapi_schema = _completed(derive())
        return api.openapi_schema

    api.openapi = openapi  # pyright: ignore[reportAttributeAccessIssue] - FastAPI's way to extend it


def _completed(document: dict[str, Any]) -> dict[str, Any]:
    schemas = document["components"]["schemas"]
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    problem = Problem.model_json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs", {})
    # These two are left out where they say nothing; the others are always there.
    problem["required"] = [name for name in problem["properties"] if name not in ("reason", "retry_after")]
    schemas["Problem"] = problem
    schemas["ServerSentEvent"] = ServerSentEvent.model_json_schema()
    document["components"]["responses"] = {
        f"Problem{status}": {
            "description": text,
            "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status, text in _PROBLEMS.items()
    }
    for form, (media_type, model) in _FORMS.items():
        schemas[form] = model.model_json_schema()
        document["components"]["responses"] |= {
            f"{form}{status}": {
                "description": text,
                "content": {media_type: {"schema": {"$ref": f"#/components/schemas/{form}"}}},
            }
            for status, text in _PROBLEMS.items()
        }
    document["components"].setdefault("securitySchemes", {})[KEY] = {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key of the server, as `Authorization: Bearer cx_…`. On the server's machine, `admin.key` in its "
        "data folder has one; `caxton key create` makes others.",
    }
    document.setdefault("security", [{KEY: []}])
    for path, method, operation in _operations(document):
        responses: dict[str, Any] = operation["responses"]
        if "HTTPValidationError" in str(responses.get("422")):
            del responses["422"]
        for response in responses.values():
            if EVENTS in response.get("content", {}):  # before OpenAPI 3.2, the schema of a stream is that of one event
                response["content"][EVENTS]["schema"] = {"$ref": "#/components/schemas/ServerSentEvent"}
        if is_open(path):
            operation["security"] = []
        example = EXAMPLES.get(f"{method} {path}")
        if example is not None:
            operation["requestBody"]["content"]["application/json"]["example"] = example
        form = _form(path)
        for status in _statuses(path, method, operation):
            responses.setdefault(str(status), {"$ref": f"#/components/responses/{form}{status}"})
        operation["responses"] = dict(sorted(responses.items()))
    return _modern(document)


def _form(path: str) -> str:
    """The form of errors below a path."""
    if is_openai(path):
        return "OpenAIError"
    if is_mcp(path) or (is_a2a(path) and is_rpc(path)):
        return "JsonRpcError"
    return "A2AError" if is_a2a(path) else "Problem"


def _statuses(path: str, method: str, operation: Mapping[str, Any]) -> list[int]:
    found = {*BEFORE} if is_open(path) and method == "get" else {*ALWAYS}
    if "{" in path or method != "get" or path.startswith(PROTECTED_RESOURCE):
        found.add(404)
    if "requestBody" in operation:
        found.update(WITH_BODY)
    if method != "get" or path == SURFACE:
        found.update(CHANGING)
    if (method == "post" and path in WORK) or path == SURFACE:
        found.update(WORKING)
    if STREAMS & {*operation["responses"].get("200", {}).get("content", {})}:
        found.add(505)
    return sorted(found)


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def _modern(value: Any) -> Any:
    """Names that a library writes as Python has them, as JSON Schema has them."""
    if isinstance(value, dict):
        found = cast("dict[str, Any]", value)
        return {
            _MODERN.get(name, name) if _is_bound(name, each) else name: _modern(each) for name, each in found.items()
        }
    if isinstance(value, list):
        return [_modern(each) for each in cast("list[Any]", value)]
    return value


_MODERN = {"gt": "exclusiveMinimum", "lt": "exclusiveMaximum", "ge": "minimum", "le": "maximum"}


def _is_bound(name: str, value: Any) -> bool:
    return name in _MODERN and isinstance(value, int | float) and not isinstance(value, bool)
