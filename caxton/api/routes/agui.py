"""The route for AG-UI clients. What it does is loaded with the first request."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Request, Response

from caxton.api.guard import GuardedRoute, needs
from caxton.api.services import CurrentCaller, UseCases
from caxton.api.sse import EventStream
from caxton.domain.permissions import Permission

router = APIRouter(route_class=GuardedRoute, prefix="/v1/agui", tags=["AG-UI"])

_EXAMPLE: dict[str, Any] = {
    "threadId": "t-1",
    "runId": "r-1",
    "messages": [{"id": "m-1", "role": "user", "content": "How did sales develop?"}],
}
_BODY = {"schema": {"type": "object", "additionalProperties": True}, "example": _EXAMPLE}


@router.post(
    "/{capability}",
    response_class=EventStream,
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": _BODY}}},
)
@needs(
    Permission.MESSAGES_SEND,
    also={
        Permission.MESSAGES_READ: "to see arguments and results of calls",
        Permission.APPROVALS_READ: "to see what a person has to judge",
        Permission.APPROVALS_DECIDE: "with `resume`, which decides",
        Permission.APPROVALS_DECIDE_FOUNDER: "with `resume`, when the approval is for the founder",
    },
)
async def run(
    capability: Annotated[str, Path(min_length=1, max_length=300)],
    request: Request,
    caller: CurrentCaller,
    services: UseCases,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID", max_length=600)] = None,
) -> Response:
    """Runs a capability, or `agent:NAME`, as AG-UI 1.0 has it: takes a RunAgentInput, answers with its events.

    A thread is a conversation, a run a turn, an interrupt an approval. The same run again, with the header Last-Event-ID, goes on
    behind that event.
    """
    from caxton.api.agui.runs import run as tell

    return await tell(caller, services, capability, await request.body(), last_event_id)
