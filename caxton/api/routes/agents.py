"""Agents and capabilities."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from caxton.api.guard import GuardedRoute, needs
from caxton.api.in_turn import in_turn
from caxton.api.services import CurrentCaller, UseCases
from caxton.domain.given import GivenText, WantedName
from caxton.domain.permissions import Permission
from caxton.views.agents import AgentView, CapabilityView

router = APIRouter(route_class=GuardedRoute, prefix="/v1", tags=["agents"])


class AgentPage(BaseModel):
    """Agents by name."""

    agents: list[AgentView]


class CapabilityPage(BaseModel):
    """Capabilities by name."""

    capabilities: list[CapabilityView]


class GraceBody(BaseModel):
    """How to stop."""

    model_config = ConfigDict(extra="forbid")

    grace: float | None = Field(
        default=None, ge=0, le=86_400, description="Seconds that work in progress gets to finish."
    )


@router.get("/agents")
@needs(Permission.AGENTS_READ)
@in_turn
async def agents(caller: CurrentCaller, services: UseCases) -> AgentPage:
    """All agents of the workspace."""
    return AgentPage(agents=await services.agents.list_agents(caller))


@router.get("/agents/{name}")
@needs(Permission.AGENTS_READ)
async def agent(name: WantedName, caller: CurrentCaller, services: UseCases) -> AgentView:
    """One agent."""
    return await services.agents.show(caller, name)


@router.post("/agents/{name}/start")
@needs(Permission.AGENTS_OPERATE)
async def start(name: WantedName, caller: CurrentCaller, services: UseCases) -> AgentView:
    """Starts an agent that was stopped or has failed."""
    return await services.agents.start(caller, name)


@router.post("/agents/{name}/stop")
@needs(Permission.AGENTS_OPERATE)
async def stop(name: WantedName, caller: CurrentCaller, services: UseCases, body: GraceBody | None = None) -> AgentView:
    """Stops an agent: no new work, work in progress finishes within the grace period."""
    return await services.agents.stop(caller, name, body.grace if body else None)


@router.post("/agents/{name}/restart")
@needs(Permission.AGENTS_OPERATE)
async def restart(
    name: WantedName, caller: CurrentCaller, services: UseCases, body: GraceBody | None = None
) -> AgentView:
    """Stops and starts an agent."""
    return await services.agents.restart(caller, name, body.grace if body else None)


@router.get("/capabilities")
@needs(Permission.AGENTS_READ)
@in_turn
async def capabilities(
    caller: CurrentCaller, services: UseCases, query: Annotated[GivenText | None, Query(max_length=200)] = None
) -> CapabilityPage:
    """What can be asked for."""
    return CapabilityPage(capabilities=await services.agents.capabilities(caller, query))


class ResumeBody(BaseModel):
    """Why it is resumed."""

    model_config = ConfigDict(extra="forbid")

    reason: GivenText = Field(default="", max_length=500)


@router.post("/agents/{name}/resume")
@needs(Permission.AGENTS_OPERATE)
async def resume(
    name: WantedName, caller: CurrentCaller, services: UseCases, body: ResumeBody | None = None
) -> AgentView:
    """Lets an agent that was suspended take work again."""
    return await services.agents.resume(caller, name, body.reason if body else "")
