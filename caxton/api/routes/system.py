"""Health, metrics, keys and facts about the server."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, Response
from pydantic import BaseModel, ConfigDict, Field

from caxton import __version__
from caxton.api.services import CurrentCaller, UseCases
from caxton.domain.ids import Name
from caxton.domain.records import ApiKey
from caxton.observability.metrics import METRICS
from caxton.service.context import Role
from caxton.service.system import Readiness

router = APIRouter(tags=["system"])


class HealthView(BaseModel):
    """The server answers."""

    status: str = "ok"
    version: str = __version__


class KeyView(BaseModel):
    """An API key without the key."""

    id: str
    customer: str
    name: str
    role: Role
    created_at: datetime
    revoked_at: datetime | None = None


class NewKeyView(KeyView):
    """A new API key: its text is shown this once."""

    key: str


class KeyPage(BaseModel):
    """API keys, oldest first."""

    keys: list[KeyView]


class KeyBody(BaseModel):
    """A key to make."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    role: Role = Role.DEVELOPER
    customer: Name | None = Field(default=None, description="Whose key; only the server's own administrator may say.")


@router.get("/health")
async def health() -> HealthView:
    """Whether the server answers at all; for liveness probes."""
    return HealthView()


@router.get("/ready", responses={503: {"model": Readiness}})
async def ready(services: UseCases, response: Response) -> Readiness:
    """Whether each component works; for readiness probes."""
    readiness = await services.health.check()
    if readiness.status != "ready":
        response.status_code = 503
    return readiness


@router.get("/metrics", response_class=Response)
async def metrics(accept: Annotated[str | None, Header()] = None) -> Response:
    """Prometheus metrics."""
    content, media_type = METRICS.render(accept)
    return Response(content, media_type=media_type)


@router.get("/v1/server")
async def server(caller: CurrentCaller, services: UseCases) -> dict[str, Any]:
    """What runs here, and as whom you are known."""
    return {
        **services.facts,
        "customer": caller.scope.customer,
        "workspace": caller.scope.workspace,
        "key": {"name": caller.name, "role": caller.role},
    }


@router.get("/v1/keys")
async def keys(caller: CurrentCaller, services: UseCases) -> KeyPage:
    """The customer's API keys."""
    return KeyPage(keys=[_view(key) for key in await services.keys.list_keys(caller)])


@router.post("/v1/keys", status_code=201)
async def create_key(body: KeyBody, caller: CurrentCaller, services: UseCases) -> NewKeyView:
    """Makes an API key; its text is shown this once."""
    key, text = await services.keys.create(caller, body.name, body.role, body.customer)
    return NewKeyView(**_view(key).model_dump(), key=text)


@router.delete("/v1/keys/{key_id}", status_code=204)
async def revoke_key(key_id: str, caller: CurrentCaller, services: UseCases) -> Response:
    """Ends an API key."""
    await services.keys.revoke(caller, key_id)
    return Response(status_code=204)


def _view(key: ApiKey) -> KeyView:
    return KeyView(
        id=key.id,
        customer=key.customer,
        name=key.name,
        role=Role(key.role),
        created_at=key.created_at,
        revoked_at=key.revoked_at,
    )
