"""Schedules of agents."""

from typing import Annotated, Self

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from caxton.api.guard import GuardedRoute, needs
from caxton.api.routes.messages import LONGEST_WAIT, IdempotencyKey, answer
from caxton.api.services import CurrentCaller, UseCases
from caxton.domain.executions import TurnView
from caxton.domain.given import GivenText, GivenTime, WantedName
from caxton.domain.ids import Name
from caxton.domain.permissions import Permission
from caxton.views.schedules import BackfillView, ScheduleDetails, ScheduleView

router = APIRouter(route_class=GuardedRoute, prefix="/v1/schedules", tags=["schedules"])


class SchedulePage(BaseModel):
    """Schedules by agent and name."""

    schedules: list[ScheduleView]


class PauseBody(BaseModel):
    """Why it is paused or resumed."""

    model_config = ConfigDict(extra="forbid")

    reason: GivenText = Field(default="", max_length=500)


class BackfillBody(BaseModel):
    """A range of the past."""

    model_config = ConfigDict(extra="forbid")

    start: GivenTime = Field(description="The first due time that is run.")
    end: GivenTime = Field(description="The last one.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end <= self.start:
            raise ValueError("`start` must come before `end`")
        return self


@router.get("")
@needs(Permission.SCHEDULES_READ)
async def schedules(
    caller: CurrentCaller, services: UseCases, agent: Annotated[Name | None, Query()] = None
) -> SchedulePage:
    """Schedules of the workspace, or of one agent, with their next due times."""
    return SchedulePage(schedules=await services.schedules.list_schedules(caller, agent))


@router.get("/{agent}/{name}")
@needs(Permission.SCHEDULES_READ)
async def schedule(agent: WantedName, name: WantedName, caller: CurrentCaller, services: UseCases) -> ScheduleDetails:
    """One schedule, with its latest runs."""
    return await services.schedules.show(caller, agent, name)


@router.post("/{agent}/{name}/pause")
@needs(Permission.SCHEDULES_OPERATE)
async def pause(
    agent: WantedName, name: WantedName, caller: CurrentCaller, services: UseCases, body: PauseBody | None = None
) -> ScheduleDetails:
    """Lets due times pass without a run."""
    return await services.schedules.pause(caller, agent, name, body.reason if body else "")


@router.post("/{agent}/{name}/resume")
@needs(Permission.SCHEDULES_OPERATE)
async def resume(
    agent: WantedName, name: WantedName, caller: CurrentCaller, services: UseCases, body: PauseBody | None = None
) -> ScheduleDetails:
    """Runs due times again from now on."""
    return await services.schedules.resume(caller, agent, name, body.reason if body else "")


@router.post("/{agent}/{name}/trigger", responses={202: {"model": TurnView}})
@needs(Permission.SCHEDULES_OPERATE)
async def trigger(
    agent: WantedName,
    name: WantedName,
    caller: CurrentCaller,
    services: UseCases,
    response: Response,
    wait: Annotated[bool, Query(description="Wait for the reply (200), or answer once it is accepted (202).")] = False,
    idempotency_key: IdempotencyKey = None,
) -> TurnView:
    """Runs a schedule now, also one that is paused."""
    seconds = LONGEST_WAIT if wait else None
    view = await services.schedules.trigger(caller, agent, name, idempotency_key, wait=seconds)
    return answer(view, response, wait=wait)


@router.post("/{agent}/{name}/backfill", status_code=202)
@needs(Permission.SCHEDULES_OPERATE)
async def backfill(
    agent: WantedName, name: WantedName, body: BackfillBody, caller: CurrentCaller, services: UseCases
) -> BackfillView:
    """Runs due times of the past, one after another; those that have been run before are not run again."""
    return await services.schedules.backfill(caller, agent, name, body.start, body.end)
