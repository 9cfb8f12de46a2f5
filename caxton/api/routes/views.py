"""Views of the event log, and metrics that derive from it."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from caxton.api.guard import GuardedRoute, needs
from caxton.api.services import CurrentCaller, UseCases
from caxton.domain.given import GivenText, GivenTime, WantedName
from caxton.domain.permissions import Permission
from caxton.projections.metrics import MetricDefinition
from caxton.projections.views import PROJECTIONS
from caxton.views.event_log import MetricValue, ProjectedView

router = APIRouter(route_class=GuardedRoute, prefix="/v1", tags=["events"])


class ViewList(BaseModel):
    """The views that there are."""

    views: dict[str, str]
    """What each shows, by name."""


class MetricList(BaseModel):
    """Metrics over a span of time."""

    metrics: list[MetricValue]


@router.get("/views")
@needs(Permission.EVENTS_READ)
async def views(caller: CurrentCaller) -> ViewList:  # noqa: ARG001 - the gate wants a key here too
    """The views that there are."""
    return ViewList(views={name: projection.description for name, projection in PROJECTIONS.items()})


@router.get("/views/{view}")
@needs(Permission.EVENTS_READ)
async def show(
    view: WantedName,
    caller: CurrentCaller,
    services: UseCases,
    key: Annotated[GivenText | None, Query(max_length=200, description="One document of the view.")] = None,
) -> ProjectedView:
    """A view of the workspace, caught up with the log."""
    return await services.projections.show(caller, view, key)


@router.post("/views/{view}/rebuild")
@needs(Permission.VIEWS_REBUILD)
async def rebuild(view: WantedName, caller: CurrentCaller, services: UseCases) -> ProjectedView:
    """Drops the customer's view, and builds it again from the log."""
    return await services.projections.rebuild(caller, view)


@router.get("/metrics")
@needs(Permission.EVENTS_READ)
async def metrics(
    caller: CurrentCaller,
    services: UseCases,
    since: Annotated[GivenTime | None, Query(description="Whole hours; a day ago, unless it is given.")] = None,
    until: Annotated[GivenTime | None, Query(description="Now, unless it is given.")] = None,
) -> MetricList:
    """Metrics of the workspace that derive from events: those that every workspace has, and its own."""
    return MetricList(metrics=await services.projections.metrics(caller, since, until))


@router.put("/metrics/{name}")
@needs(Permission.METRICS_DEFINE)
async def define(
    name: WantedName, body: MetricDefinition, caller: CurrentCaller, services: UseCases
) -> MetricDefinition:
    """Defines a metric of the workspace, over all events that there are."""
    return await services.projections.define(caller, name, body)


@router.delete("/metrics/{name}", status_code=204)
@needs(Permission.METRICS_DEFINE)
async def remove(name: WantedName, caller: CurrentCaller, services: UseCases) -> Response:
    """Removes a metric of the workspace."""
    await services.projections.remove(caller, name)
    return Response(status_code=204)
