"""Grants to tools."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from caxton.api.guard import GuardedRoute, needs
from caxton.api.in_turn import in_turn
from caxton.api.services import CurrentCaller, UseCases
from caxton.domain.grants import GrantRequest, ToolGrant
from caxton.domain.ids import Name
from caxton.domain.permissions import Permission
from caxton.views.tools import GrantsView

router = APIRouter(route_class=GuardedRoute, prefix="/v1/tool-grants", tags=["tools"])

GrantId = Annotated[str, Path(min_length=1, max_length=64, pattern=r"^[a-z0-9_-]+$")]


@router.get("")
@needs(Permission.TOOLS_READ)
@in_turn
async def tool_grants(
    caller: CurrentCaller, services: UseCases, tool: Annotated[Name | None, Query()] = None
) -> GrantsView:
    """Grants of the workspace, those of the server's settings first; and the limits that need none."""
    return await services.tool_grants.list_grants(caller, tool)


@router.post("", status_code=201)
@needs(Permission.TOOLS_GRANT)
async def grant(body: GrantRequest, caller: CurrentCaller, services: UseCases) -> ToolGrant:
    """Grants a tool network origins, environment variables, folders of the server or limits."""
    return await services.tool_grants.grant(caller, body)


@router.delete("/{grant_id}")
@needs(Permission.TOOLS_GRANT)
async def revoke(grant_id: GrantId, caller: CurrentCaller, services: UseCases) -> ToolGrant:
    """Takes a grant back."""
    return await services.tool_grants.revoke(caller, grant_id)
