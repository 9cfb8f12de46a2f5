"""Triggers, and the webhooks by which deliveries arrive."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel
from starlette.requests import ClientDisconnect

from caxton.api.guard import GuardedRoute, needs, open_to_all
from caxton.api.services import CurrentCaller, Services, UseCases
from caxton.domain.errors import InvalidInput
from caxton.domain.given import WantedName
from caxton.domain.ids import Name
from caxton.domain.permissions import Permission
from caxton.domain.triggers import Acknowledgement, DeployedTrigger
from caxton.views.triggers import TriggerView

router = APIRouter(route_class=GuardedRoute, prefix="/v1/triggers", tags=["triggers"])


class HookRoute(GuardedRoute):
    """A route whose body is read only when its signature is good."""

    reads_itself = True


hooks = APIRouter(route_class=HookRoute, prefix="/v1/hooks", tags=["triggers"])

JSON_BODY: dict[str, Any] = {"requestBody": {"required": True, "content": {"application/json": {"schema": {}}}}}


class TriggerPage(BaseModel):
    """Triggers by agent and name."""

    triggers: list[TriggerView]


@router.get("")
@needs(Permission.TRIGGERS_READ)
async def triggers(
    caller: CurrentCaller, services: UseCases, agent: Annotated[Name | None, Query()] = None
) -> TriggerPage:
    """Triggers of the workspace, or of one agent, with the addresses of their webhooks."""
    return TriggerPage(triggers=await services.triggers.list_triggers(caller, agent))


@router.get("/{agent}/{name}")
@needs(Permission.TRIGGERS_READ)
async def trigger(agent: WantedName, name: WantedName, caller: CurrentCaller, services: UseCases) -> TriggerView:
    """One trigger."""
    return await services.triggers.show(caller, agent, name)


@hooks.post("/{hook_id}", status_code=202, openapi_extra=JSON_BODY)
@open_to_all
async def deliver(
    hook_id: Annotated[str, Path(min_length=1, max_length=64)], request: Request, services: UseCases
) -> Acknowledgement:
    """Takes a signed delivery of GitHub, Stripe or Standard Webhooks, and acknowledges it when it is accepted.

    The address is the trigger's alone: it says whose it is, so no key is needed. The same delivery is accepted once.
    """
    found = await services.hooks.find(hook_id)
    return await services.hooks.deliver(found, request.scope["state"]["headers"], await _read(request, found, services))


async def _read(request: Request, trigger: DeployedTrigger, services: Services) -> bytes:
    """The body, as far as the trigger takes it. It counts among those that its customer has in progress, not among others'.

    Raises:
        PayloadTooLarge: it is larger.
        Overloaded: too much is in progress.
        InvalidInput: the sender has gone before the end.
    """
    limit, state = trigger.definition.max_body, request.scope["state"]
    if int(request.headers.get("content-length", "0")) > limit:
        raise await services.hooks.too_large(trigger)
    path, body = request.url.path, bytearray()
    try:
        with state["bodies"].reading(path, state["headers"], trigger.scope.customer, request.receive) as receive:
            async for chunk in Request(request.scope, receive).stream():
                body += chunk
                if len(body) > limit:
                    raise await services.hooks.too_large(trigger)
    except ClientDisconnect:
        raise InvalidInput("the delivery was broken off") from None
    return bytes(body)
