"""Rollouts: how they stand, and what is to be done."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from caxton.api.guard import GuardedRoute, needs
from caxton.api.services import CurrentCaller, UseCases
from caxton.domain.given import GivenId, GivenText
from caxton.domain.ids import Name
from caxton.domain.permissions import Permission
from caxton.views.rollouts import RolloutView

router = APIRouter(route_class=GuardedRoute, prefix="/v1/rollouts", tags=["deployments"])


class RolloutPage(BaseModel):
    """Rollouts, the latest first."""

    rollouts: list[RolloutView]


class Why(BaseModel):
    """Why it is done."""

    model_config = ConfigDict(extra="forbid")

    reason: GivenText = Field(default="", max_length=500)


class Promotion(Why):
    """How far it goes on."""

    full: bool = False
    """At once to all of the traffic, whatever stages there are left."""


@router.get("")
@needs(Permission.DEPLOYMENTS_READ)
async def rollouts(
    caller: CurrentCaller,
    services: UseCases,
    agent: Annotated[Name | None, Query()] = None,
    live: Annotated[bool | None, Query(description="Only those in progress, or only those that have ended.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 20,
) -> RolloutPage:
    """Rollouts of the workspace, or of one agent."""
    return RolloutPage(rollouts=await services.rollouts.list_rollouts(caller, agent, live=live, limit=limit))


@router.get("/{rollout_id}")
@needs(Permission.DEPLOYMENTS_READ)
async def rollout(rollout_id: GivenId, caller: CurrentCaller, services: UseCases) -> RolloutView:
    """One rollout, with what the comparison says."""
    return await services.rollouts.show(caller, rollout_id)


@router.post("/{rollout_id}/pause")
@needs(Permission.DEPLOYMENTS_WRITE)
async def pause(rollout_id: GivenId, body: Why, caller: CurrentCaller, services: UseCases) -> RolloutView:
    """Leaves the shares as they are until it is resumed."""
    return await services.rollouts.command(caller, rollout_id, "pause", body.reason)


@router.post("/{rollout_id}/resume")
@needs(Permission.DEPLOYMENTS_WRITE)
async def resume(rollout_id: GivenId, body: Why, caller: CurrentCaller, services: UseCases) -> RolloutView:
    """Begins its stage again."""
    return await services.rollouts.command(caller, rollout_id, "resume", body.reason)


@router.post("/{rollout_id}/promote")
@needs(Permission.DEPLOYMENTS_WRITE)
async def promote(rollout_id: GivenId, body: Promotion, caller: CurrentCaller, services: UseCases) -> RolloutView:
    """Goes on to the next stage, or to all of the traffic."""
    return await services.rollouts.command(caller, rollout_id, "promote", body.reason, full=body.full)


@router.post("/{rollout_id}/abort")
@needs(Permission.DEPLOYMENTS_WRITE)
async def abort(rollout_id: GivenId, body: Why, caller: CurrentCaller, services: UseCases) -> RolloutView:
    """Takes all new conversations away from the candidate, at once."""
    return await services.rollouts.command(caller, rollout_id, "abort", body.reason)


@router.post("/{rollout_id}/retry")
@needs(Permission.DEPLOYMENTS_WRITE)
async def retry(rollout_id: GivenId, body: Why, caller: CurrentCaller, services: UseCases) -> RolloutView:
    """Begins a rollout that was rolled back again, with its first stage."""
    return await services.rollouts.command(caller, rollout_id, "retry", body.reason)


@router.post("/{rollout_id}/undo")
@needs(Permission.DEPLOYMENTS_WRITE)
async def undo(rollout_id: GivenId, body: Why, caller: CurrentCaller, services: UseCases) -> RolloutView:
    """Brings the older version back after a promotion of the last hour, at once."""
    return await services.rollouts.command(caller, rollout_id, "undo", body.reason)
