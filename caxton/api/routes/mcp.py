"""The route for MCP clients. What it does is loaded with the first request."""

import ipaddress
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from caxton.api.guard import GuardedRoute, needs, open_to_all
from caxton.api.mcp_face.errors import PATH
from caxton.api.services import CurrentCaller, UseCases
from caxton.api.web import PROTECTED_RESOURCE
from caxton.domain.errors import NotFound
from caxton.domain.permissions import Permission

router = APIRouter(route_class=GuardedRoute, tags=["MCP"])

_OBJECT: dict[str, Any] = {"type": "object", "additionalProperties": True}
_EXAMPLE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "fetch-data", "arguments": {"request": "How did sales develop?"}},
}


@router.post(
    PATH,
    response_class=Response,
    responses={
        200: {
            "description": "The answer; or a stream that ends with it.",
            "content": {"application/json": {"schema": _OBJECT}, "text/event-stream": {"schema": {"type": "string"}}},
        },
        202: {"description": "A notification, or the answer to a question of the server, was taken."},
    },
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": _OBJECT, "example": _EXAMPLE}}}
    },
)
@needs(
    Permission.AGENTS_READ,
    also={
        Permission.MESSAGES_SEND: "to see and call tools",
        Permission.MESSAGES_READ: "to read conversations, traces and tasks",
        Permission.CONVERSATIONS_END: "to cancel requests and tasks",
        Permission.APPROVALS_DECIDE: "to be asked for decisions",
    },
)
async def mcp(request: Request, caller: CurrentCaller, services: UseCases) -> Response:
    """Takes a message of the Model Context Protocol: capabilities are tools; agents, conversations and traces resources."""
    from caxton.api.mcp_face.exchange import exchange

    return await exchange(request, caller, services)


class ProtectedResource(BaseModel):
    """Whose tokens are accepted (RFC 9728)."""

    resource: str
    authorization_servers: list[str]
    bearer_methods_supported: list[str] = ["header"]
    resource_name: str = "Caxton"


@router.get(PROTECTED_RESOURCE)
@open_to_all
async def protected_resource(request: Request, services: UseCases) -> ProtectedResource:
    """Says to clients which identity provider's tokens are accepted beside API keys; 404 where none are."""
    issuer = services.authentication.issuer
    if issuer is None:
        raise NotFound("no tokens of an identity provider are accepted here", "use an API key")
    host = request.headers.get("host", "")
    return ProtectedResource(resource=f"{_scheme(host)}://{host}{PATH}", authorization_servers=[issuer])


@router.get(f"{PROTECTED_RESOURCE}{PATH}")
@open_to_all
async def protected_resource_of_mcp(request: Request, services: UseCases) -> ProtectedResource:
    """The same, where clients of MCP look first."""
    return await protected_resource(request, services)


def _scheme(host: str) -> str:
    """Beyond this machine, tokens want TLS; a proxy before the server has taken it off."""
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    try:
        is_local = ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        is_local = name.lower() == "localhost"
    return "http" if is_local else "https"
