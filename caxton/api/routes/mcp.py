"""The route for MCP clients. What it does is loaded with the first request."""

from typing import Any

from fastapi import APIRouter, Request, Response

from caxton.api.guard import GuardedRoute, needs
from caxton.api.mcp_face.errors import PATH
from caxton.api.services import CurrentCaller, UseCases
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
