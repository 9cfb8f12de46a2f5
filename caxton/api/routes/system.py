"""Health, metrics and facts about the server."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response

from caxton import __version__
from caxton.api.guard import GuardedRoute, needs, open_to_all
from caxton.api.services import CurrentCaller, UseCases
from caxton.domain.permissions import Permission
from caxton.observability.metrics import METRICS
from caxton.service.context import Caller
from caxton.views.system import Health, QueueList, Readiness

router = APIRouter(route_class=GuardedRoute, tags=["system"])


METRICS_TYPES = {kind: {"schema": {"type": "string"}} for kind in ("text/plain", "application/openmetrics-text")}


@router.get("/health")
@open_to_all
async def health() -> Health:
    """Whether the server answers at all; for liveness probes."""
    return Health(version=__version__)


@router.get("/ready", responses={503: {"model": Readiness}})
@open_to_all
async def ready(request: Request, services: UseCases, response: Response) -> Readiness:
    """Whether each component works; for readiness probes. Details are for keys that may inspect the server."""
    readiness = await services.health.check()
    if readiness.status != "ready":
        response.status_code = 503
    caller: Caller | None = getattr(request.state, "caller", None)
    return readiness if caller and Permission.SERVER_INSPECT in caller.permissions else readiness.without_details()


@router.get("/metrics", response_class=Response, responses={200: {"content": METRICS_TYPES}})
@needs(Permission.SERVER_INSPECT)
async def metrics(accept: Annotated[str | None, Header()] = None) -> Response:
    """Prometheus metrics of the whole server, with the names of all customers."""
    content, media_type = METRICS.render(accept)
    return Response(content, media_type=media_type)


@router.get("/v1/server")
@needs(Permission.SERVER_READ, also={Permission.SERVER_INSPECT: "for addresses, folders and the engine"})
async def server(caller: CurrentCaller, services: UseCases) -> dict[str, Any]:
    """What runs here, as whom you are known, and what you may do."""
    inspects = Permission.SERVER_INSPECT in caller.permissions
    return {
        "version": __version__,
        **(services.facts if inspects else {}),
        "customer": caller.scope.customer,
        "workspace": caller.scope.workspace,
        "key": {"name": caller.name, "role": caller.role, "permissions": sorted(caller.permissions)},
    }


@router.get("/v1/queues")
@needs(Permission.MESSAGES_READ, also={Permission.SERVER_INSPECT: "for those of all customers"})
async def queues(
    caller: CurrentCaller,
    services: UseCases,
    everywhere: Annotated[bool, Query(description="Those of all customers.")] = False,
) -> QueueList:
    """Limits that calls of models and tools pass or wait for just now, with the length of each queue and its age."""
    return await services.queues.list(caller, everywhere=everywhere)
