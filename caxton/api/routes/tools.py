"""Tools."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from caxton.api.guard import GuardedRoute, needs
from caxton.api.in_turn import in_turn
from caxton.api.json_object import JsonObject
from caxton.api.services import CurrentCaller, UseCases
from caxton.domain.given import GivenDigest, WantedName
from caxton.domain.permissions import Permission
from caxton.views.tools import SurfaceView, ToolCallResult, ToolLogLine, ToolView

router = APIRouter(route_class=GuardedRoute, prefix="/v1/tools", tags=["tools"])


class ToolPage(BaseModel):
    """Tools by name."""

    tools: list[ToolView]


class CallBody(BaseModel):
    """A call by hand."""

    model_config = ConfigDict(extra="forbid")

    function: WantedName
    arguments: JsonObject = {}


class ReleaseBody(BaseModel):
    """Why."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(default="", max_length=2_000, pattern=r"^[^\x00]*$")


class LogPage(BaseModel):
    """Calls and what was logged in them, oldest first."""

    lines: list[ToolLogLine]


@router.get("")
@needs(Permission.TOOLS_READ)
@in_turn
async def tools(caller: CurrentCaller, services: UseCases) -> ToolPage:
    """All tools of the workspace, with their schemas and statistics."""
    return ToolPage(tools=await services.tools.list_tools(caller))


@router.get("/{name}")
@needs(Permission.TOOLS_READ)
async def tool(name: WantedName, caller: CurrentCaller, services: UseCases) -> ToolView:
    """One tool."""
    return await services.tools.show(caller, name)


@router.post("/{name}/call")
@needs(Permission.TOOLS_CALL)
async def call(name: WantedName, body: CallBody, caller: CurrentCaller, services: UseCases) -> ToolCallResult:
    """Calls a function by hand: in its sandbox, or at its MCP server."""
    return await services.tools.call(caller, name, body.function, body.arguments)


class AcceptBody(BaseModel):
    """What is accepted."""

    model_config = ConfigDict(extra="forbid")

    surface: GivenDigest


@router.get("/{name}/surface")
@needs(Permission.TOOLS_CALL)
async def surface(name: WantedName, caller: CurrentCaller, services: UseCases) -> SurfaceView:
    """Asks the tool's MCP server what it offers now, and compares with what it offered when it was deployed."""
    return await services.tool_surfaces.show(caller, name)


@router.post("/{name}/surface")
@needs(Permission.TOOLS_GRANT)
async def accept_surface(name: WantedName, body: AcceptBody, caller: CurrentCaller, services: UseCases) -> SurfaceView:
    """Accepts what the tool's MCP server offers now, if its hash is the one that is given."""
    return await services.tool_surfaces.accept(caller, name, body.surface)


@router.post("/{name}/release")
@needs(Permission.TOOLS_RELEASE)
async def release(
    name: WantedName, caller: CurrentCaller, services: UseCases, body: ReleaseBody | None = None
) -> ToolView:
    """Lets a quarantined tool take calls again."""
    return await services.tools.release(caller, name, body.reason if body else "")


@router.get("/{name}/logs")
@needs(Permission.TOOLS_READ)
async def logs(
    name: WantedName, caller: CurrentCaller, services: UseCases, limit: Annotated[int, Query(ge=1, le=1000)] = 50
) -> LogPage:
    """The latest calls."""
    return LogPage(lines=await services.tools.logs(caller, name, limit))
