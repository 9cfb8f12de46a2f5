"""Tools."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from caxton.api.json_object import JsonObject
from caxton.api.services import CurrentCaller, UseCases
from caxton.service.tools import ToolCallView, ToolLogLine, ToolView

router = APIRouter(prefix="/v1/tools", tags=["tools"])


class ToolPage(BaseModel):
    """Tools by name."""

    tools: list[ToolView]


class CallBody(BaseModel):
    """A call by hand."""

    model_config = ConfigDict(extra="forbid")

    function: str
    arguments: JsonObject = {}


class LogPage(BaseModel):
    """Calls and what was logged in them, oldest first."""

    lines: list[ToolLogLine]


@router.get("")
async def tools(caller: CurrentCaller, services: UseCases) -> ToolPage:
    """All tools of the workspace, with their schemas and statistics."""
    return ToolPage(tools=await services.tools.list_tools(caller))


@router.get("/{name}")
async def tool(name: str, caller: CurrentCaller, services: UseCases) -> ToolView:
    """One tool."""
    return await services.tools.show(caller, name)


@router.post("/{name}/call")
async def call(name: str, body: CallBody, caller: CurrentCaller, services: UseCases) -> ToolCallView:
    """Calls a function by hand, in its sandbox."""
    return await services.tools.call(caller, name, body.function, body.arguments)


@router.get("/{name}/logs")
async def logs(
    name: str, caller: CurrentCaller, services: UseCases, limit: Annotated[int, Query(ge=1, le=1000)] = 50
) -> LogPage:
    """The latest calls."""
    return LogPage(lines=await services.tools.logs(caller, name, limit))
