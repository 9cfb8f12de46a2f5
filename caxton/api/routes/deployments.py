"""Deployments, and the content that they consist of."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel

from caxton.api.routes.messages import IdempotencyKey
from caxton.api.services import CurrentCaller, UseCases
from caxton.domain.deployments import Deployment, DeploymentPlan, DeploymentRequest
from caxton.domain.ids import DeploymentId, Digest

router = APIRouter(prefix="/v1", tags=["deployments"])

Address = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the content.")]


class DeploymentPage(BaseModel):
    """Deployments, newest first."""

    deployments: list[Deployment]


@router.post("/deployments/plan")
async def plan(body: DeploymentRequest, caller: CurrentCaller, services: UseCases) -> DeploymentPlan:
    """What a deployment would change, and which content is missing for it."""
    return await services.deployments.plan(caller, body)


@router.put("/blobs/{digest}", status_code=204)
async def put_blob(digest: Address, request: Request, caller: CurrentCaller, services: UseCases) -> Response:
    """Stores content under its address."""
    await services.deployments.put_blob(caller, Digest(digest), await request.body())
    return Response(status_code=204)


@router.get("/blobs/{digest}", response_class=Response)
async def get_blob(digest: Address, caller: CurrentCaller, services: UseCases) -> Response:
    """Content by its address: a file that a tool made, or a long message."""
    content = await services.blobs.get(caller.scope.customer, Digest(digest))
    # Never rendered by a browser in our origin: content comes from tools.
    headers = {"Content-Disposition": "attachment", "X-Content-Type-Options": "nosniff"}
    return Response(content, media_type="application/octet-stream", headers=headers)


@router.post("/deployments", status_code=201)
async def deploy(
    body: DeploymentRequest, caller: CurrentCaller, services: UseCases, idempotency_key: IdempotencyKey = None
) -> Deployment:
    """Deploys all of it or nothing."""
    return await services.deployments.deploy(caller, body, idempotency_key=idempotency_key)


@router.get("/deployments")
async def deployments(
    caller: CurrentCaller, services: UseCases, limit: Annotated[int, Query(ge=1, le=500)] = 20
) -> DeploymentPage:
    """The history of deployments."""
    return DeploymentPage(deployments=await services.deployments.list_deployments(caller, limit))


@router.get("/deployments/{deployment_id}")
async def deployment(deployment_id: str, caller: CurrentCaller, services: UseCases) -> Deployment:
    """One deployment."""
    return await services.deployments.show(caller, DeploymentId(deployment_id))


@router.post("/deployments/{deployment_id}/rollback", status_code=201)
async def rollback(deployment_id: str, caller: CurrentCaller, services: UseCases) -> Deployment:
    """Brings back what was deployed before."""
    return await services.deployments.rollback(caller, DeploymentId(deployment_id))
