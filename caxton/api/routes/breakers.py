"""Circuit breakers."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from caxton.api.guard import GuardedRoute, needs
from caxton.api.in_turn import in_turn
from caxton.api.services import CurrentCaller, UseCases
from caxton.domain.breakers import BreakerKind
from caxton.domain.given import WantedName
from caxton.domain.permissions import Permission
from caxton.views.breakers import BreakerView

router = APIRouter(route_class=GuardedRoute, prefix="/v1/breakers", tags=["governance"])


Kind = Literal["agent", "tool", "model"]
"""What has a circuit breaker; model: a provider of models."""


class BreakerPage(BaseModel):
    """Circuit breakers by kind and name."""

    breakers: list[BreakerView]


@router.get("")
@needs(Permission.AGENTS_READ)
@in_turn
async def breakers(caller: CurrentCaller, services: UseCases) -> BreakerPage:
    """Circuit breakers that are not closed, or have failures to remember: of agents, tools and model providers."""
    return BreakerPage(breakers=await services.breakers.list_breakers(caller))


@router.post("/{kind}/{name}/reset")
@needs(Permission.AGENTS_OPERATE)
async def reset(kind: Kind, name: WantedName, caller: CurrentCaller, services: UseCases) -> BreakerView:
    """Closes one, and forgets its failures. Answers with it as it was."""
    return await services.breakers.reset(caller, BreakerKind(kind), name)
