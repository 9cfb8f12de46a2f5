"""Retention periods."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from caxton.api.guard import GuardedRoute, needs
from caxton.api.services import CurrentCaller, UseCases
from caxton.domain.permissions import Permission
from caxton.domain.retention import Period, Periods
from caxton.views.retention import KindView, RetentionView

router = APIRouter(route_class=GuardedRoute, prefix="/v1/retention", tags=["retention"])


@router.get("")
@needs(Permission.RETENTION_READ)
async def retention(caller: CurrentCaller, services: UseCases) -> RetentionView:
    """How long the workspace keeps what, and how much is older."""
    return await services.retention.show(caller.scope)


@router.put("")
@needs(Permission.RETENTION_MANAGE)
async def set_retention(
    body: Periods,
    caller: CurrentCaller,
    services: UseCases,
    dry_run: Annotated[bool, Query(description="Only tell how much would go.")] = False,
) -> RetentionView:
    """Decides how long the workspace keeps what, in seconds; null: as the settings say. It is applied within a minute."""
    return await services.retention.set(caller, body, dry_run=dry_run)


class EventsPeriod(BaseModel):
    """How long the customer's event log stays in the database."""

    model_config = ConfigDict(extra="forbid")

    period: Period = Field(description='Seconds, "forever", or null: as the server\'s settings say.')


@router.put("/events")
@needs(Permission.EVENTS_DETACH)
async def set_events_retention(
    body: EventsPeriod,
    caller: CurrentCaller,
    services: UseCases,
    dry_run: Annotated[bool, Query(description="Only tell how much would leave the database.")] = False,
) -> KindView:
    """Decides how long events of all workspaces stay in the database; then they leave it as files, which still verify."""
    return await services.retention.set_events(caller, body.period, dry_run=dry_run)
