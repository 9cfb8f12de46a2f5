"""Agents and capabilities."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from caxton.api.services import CurrentCaller, UseCases
from caxton.service.agents import AgentView, CapabilityView

router = APIRouter(prefix="/v1", tags=["agents"])


class AgentPage(BaseModel):
    """Agents by name."""

    agents: list[AgentView]


class CapabilityPage(BaseModel):
    """Capabilities by name."""

    capabilities: list[CapabilityView]


class GraceBody(BaseModel):
    """How to stop."""

    model_config = ConfigDict(extra="forbid")

    grace: float | None = Field(default=None, ge=0, le=86_400, description="Seconds that work in hand gets to finish.")


@router.get("/agents")
async def agents(caller: CurrentCaller, services: UseCases) -> AgentPage:
    """All agents of the workspace."""
    return AgentPage(agents=await services.agents.list_agents(caller))


@router.get("/agents/{name}")
async def agent(name: str, caller: CurrentCaller, services: UseCases) -> AgentView:
    """One agent."""
    return await services.agents.show(caller, name)


@router.post("/agents/{name}/start")
async def start(name: str, caller: CurrentCaller, services: UseCases) -> AgentView:
    """Starts an agent that was stopped or has failed."""
    return await services.agents.start(caller, name)


@router.post("/agents/{name}/stop")
async def stop(name: str, caller: CurrentCaller, services: UseCases, body: GraceBody | None = None) -> AgentView:
    """Stops an agent: no new work, work in hand finishes within the grace period."""
    return await services.agents.stop(caller, name, body.grace if body else None)


@router.post("/agents/{name}/restart")
async def restart(name: str, caller: CurrentCaller, services: UseCases, body: GraceBody | None = None) -> AgentView:
    """Stops and starts an agent."""
    return await services.agents.restart(caller, name, body.grace if body else None)


@router.get("/capabilities")
async def capabilities(
    caller: CurrentCaller, services: UseCases, query: Annotated[str | None, Query(max_length=200)] = None
) -> CapabilityPage:
    """What can be asked for."""
    return CapabilityPage(capabilities=await services.agents.capabilities(caller, query))


class ResumeBody(BaseModel):
    """Why it is resumed."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(default="", max_length=500)


@router.post("/agents/{name}/resume")
async def resume(name: str, caller: CurrentCaller, services: UseCases, body: ResumeBody | None = None) -> AgentView:
    """Lets an agent that was suspended take work again."""
    return await services.agents.resume(caller, name, body.reason if body else "")
