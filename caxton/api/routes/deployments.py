"""Deployments, and the content that they consist of."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse

from caxton.api.guard import GuardedRoute, needs
from caxton.api.in_turn import in_turn
from caxton.api.openapi import BYTES, body_of
from caxton.api.routes.messages import IdempotencyKey
from caxton.api.services import CurrentCaller, UseCases
from caxton.domain.deployments import Deployment, DeploymentPlan, GivenDeployment
from caxton.domain.errors import InvalidInput
from caxton.domain.given import GivenDeploymentId, GivenDigest
from caxton.domain.permissions import Permission
from caxton.views.drains import DrainView

router = APIRouter(route_class=GuardedRoute, prefix="/v1", tags=["deployments"])

Address = Annotated[GivenDigest, Path(description="SHA-256 of the content.")]


class Content(StreamingResponse):
    """Bytes of whatever kind."""

    media_type = BYTES
    has_length = True


class DrainPage(BaseModel):
    """Versions that were replaced and have work in progress."""

    drains: list[DrainView]


class DeploymentPage(BaseModel):
    """Deployments, newest first."""

    deployments: list[Deployment]


@router.post("/deployments/plan")
@needs(Permission.DEPLOYMENTS_WRITE)
async def plan(body: GivenDeployment, caller: CurrentCaller, services: UseCases) -> DeploymentPlan:
    """What a deployment would change, and which content is missing for it."""
    return await services.deployments.plan(caller, body.request)


@router.put("/blobs/{digest}", status_code=204, openapi_extra=body_of(BYTES))
@needs(Permission.DEPLOYMENTS_WRITE)
async def put_blob(digest: Address, request: Request, caller: CurrentCaller, services: UseCases) -> Response:
    """Stores content under its address."""
    await services.deployments.put_blob(caller, digest, _chunks(request))
    return Response(status_code=204)


@router.get("/blobs/{digest}", response_class=Content)
@needs(Permission.MESSAGES_READ)
async def get_blob(digest: Address, caller: CurrentCaller, services: UseCases) -> Response:
    """Content by its address: a file that a tool made, or a long message."""
    size, chunks = await services.deployments.content(caller, digest)
    # Never shown by a browser in our origin: content comes from tools.
    headers = {"Content-Disposition": "attachment", "Content-Length": str(size)}
    return Content(chunks, headers=headers)


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    """The body as it comes.

    Raises:
        InvalidInput: the client has gone before the end.
    """
    try:
        async for chunk in request.stream():
            if chunk:
                yield chunk
    except ClientDisconnect:
        raise InvalidInput("the upload was broken off") from None


@router.post("/deployments", status_code=201)
@needs(Permission.DEPLOYMENTS_WRITE)
async def deploy(
    body: GivenDeployment, caller: CurrentCaller, services: UseCases, idempotency_key: IdempotencyKey = None
) -> Deployment:
    """Deploys all of it or nothing."""
    return await services.deployments.deploy(caller, body.request, idempotency_key=idempotency_key)


@router.get("/deployments")
@needs(Permission.DEPLOYMENTS_READ)
@in_turn
async def deployments(
    caller: CurrentCaller, services: UseCases, limit: Annotated[int, Query(ge=1, le=500)] = 20
) -> DeploymentPage:
    """The history of deployments."""
    return DeploymentPage(deployments=await services.deployments.list_deployments(caller, limit))


@router.get("/drains")
@needs(Permission.DEPLOYMENTS_READ)
async def drains(
    caller: CurrentCaller,
    services: UseCases,
    deployment: Annotated[GivenDeploymentId | None, Query(description="Only versions that were live by it.")] = None,
) -> DrainPage:
    """Versions that are not live any more, and finish what they have in progress."""
    return DrainPage(drains=await services.drains.list_drains(caller, deployment))


@router.get("/deployments/{deployment_id}")
@needs(Permission.DEPLOYMENTS_READ)
@in_turn
async def deployment(deployment_id: GivenDeploymentId, caller: CurrentCaller, services: UseCases) -> Deployment:
    """One deployment."""
    return await services.deployments.show(caller, deployment_id)


@router.post("/deployments/{deployment_id}/rollback", status_code=201)
@needs(Permission.DEPLOYMENTS_WRITE)
async def rollback(deployment_id: GivenDeploymentId, caller: CurrentCaller, services: UseCases) -> Deployment:
    """Brings back what was deployed before."""
    return await services.deployments.rollback(caller, deployment_id)
