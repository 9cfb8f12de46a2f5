"""Memory."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from caxton.api.services import CurrentCaller, UseCases
from caxton.domain.errors import InvalidInput
from caxton.domain.memory import MOST_HOPS, Entity, Match, MemoryPath, MemoryQuery, MemoryScope, Relation
from caxton.service.memory import Edit, Imported, MemoryCounts, NewMemory, PurgePreview

router = APIRouter(prefix="/v1/memory", tags=["memory"])

ScopeText = Annotated[
    str, Query(max_length=90, description='"workspace", "global", "agent:NAME" or "conversation:ID".')
]


class MemoryPage(BaseModel):
    """Memories by id."""

    memories: list[Entity]
    next: str | None = None


class MemoryView(BaseModel):
    """A memory with its relations."""

    memory: Entity
    relations: list[Relation]


class MatchPage(BaseModel):
    """What was found, best first."""

    matches: list[Match]


class PathPage(BaseModel):
    """What is reached, nearest first."""

    paths: list[MemoryPath]


class RelationBody(BaseModel):
    """A relation to keep."""

    model_config = ConfigDict(extra="forbid")

    source: str = Field(min_length=1, max_length=64)
    type: str = Field(min_length=1, max_length=64, pattern=r"^[\w .-]+$")
    target: str = Field(min_length=1, max_length=64)
    properties: dict[str, Any] = {}


class PurgeBody(BaseModel):
    """What to remove."""

    model_config = ConfigDict(extra="forbid")

    scope: str | None = Field(default=None, max_length=90, description="Without it: everything of the workspace.")
    before: AwareDatetime | None = Field(default=None, description="Only what was not touched since then.")
    dry_run: bool = True


@router.post("", status_code=201)
async def add(body: NewMemory, caller: CurrentCaller, services: UseCases) -> Entity:
    """Adds a memory; equal content in one scope is kept once. It can be found when this answers."""
    return await services.memory.add(caller, body)


@router.post("/search")
async def search(body: MemoryQuery, caller: CurrentCaller, services: UseCases) -> MatchPage:
    """Finds memories by meaning, by words, or by both."""
    return MatchPage(matches=await services.memory.search(caller, body))


@router.get("")
async def list_memories(
    caller: CurrentCaller,
    services: UseCases,
    scope: ScopeText = "workspace",
    type: Annotated[str | None, Query(max_length=64)] = None,
    after: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> MemoryPage:
    """Memories of one scope, by id."""
    found = await services.memory.list_memories(caller, scope=_scope(scope), type_=type, after=after, limit=limit)
    return MemoryPage(memories=found, next=found[-1].id if len(found) == limit else None)


@router.get("/stats")
async def statistics(caller: CurrentCaller, services: UseCases) -> dict[str, MemoryCounts]:
    """How much there is."""
    return await services.memory.statistics(caller)


@router.post("/relations", status_code=201)
async def relate(body: RelationBody, caller: CurrentCaller, services: UseCases) -> Relation:
    """Relates two memories."""
    return await services.memory.relate(caller, body.source, body.type, body.target, body.properties)


@router.delete("/relations/{relation_id}", status_code=204)
async def unrelate(relation_id: str, caller: CurrentCaller, services: UseCases) -> Response:
    """Removes a relation."""
    await services.memory.unrelate(caller, relation_id)
    return Response(status_code=204)


@router.post("/purge")
async def purge(body: PurgeBody, caller: CurrentCaller, services: UseCases) -> PurgePreview:
    """Removes memories, or shows what would be removed."""
    scope = _scope(body.scope) if body.scope else None
    return await services.memory.purge(caller, scope, body.before, dry_run=body.dry_run)


@router.get("/export", response_class=StreamingResponse)
async def export(caller: CurrentCaller, services: UseCases) -> StreamingResponse:
    """The workspace's memories as lines of JSON."""
    lines = await services.memory.export(caller)
    headers = {"Content-Disposition": 'attachment; filename="memory.ndjson"'}
    return StreamingResponse(lines, media_type="application/x-ndjson", headers=headers)


@router.post("/import")
async def bring_in(request: Request, caller: CurrentCaller, services: UseCases) -> Imported:
    """Takes what an export wrote: all of it or nothing."""
    try:
        text = (await request.body()).decode()
    except UnicodeDecodeError:
        raise InvalidInput("this is no export of memories: it is no text") from None
    return await services.memory.bring_in(caller, text)


@router.get("/{memory_id}")
async def show(memory_id: str, caller: CurrentCaller, services: UseCases) -> MemoryView:
    """One memory with its relations."""
    memory, relations = await services.memory.show(caller, memory_id)
    return MemoryView(memory=memory, relations=relations)


@router.patch("/{memory_id}")
async def edit(memory_id: str, body: Edit, caller: CurrentCaller, services: UseCases) -> Entity:
    """Corrects a memory."""
    return await services.memory.edit(caller, memory_id, body)


@router.delete("/{memory_id}", status_code=204)
async def delete(memory_id: str, caller: CurrentCaller, services: UseCases) -> Response:
    """Removes a memory with its relations."""
    await services.memory.delete(caller, memory_id)
    return Response(status_code=204)


@router.get("/{memory_id}/graph")
async def graph(
    memory_id: str,
    caller: CurrentCaller,
    services: UseCases,
    hops: Annotated[int, Query(ge=1, le=MOST_HOPS)] = 1,
    direction: Annotated[Literal["out", "in", "both"], Query()] = "both",
    type: Annotated[list[str] | None, Query(max_length=20)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> PathPage:
    """What is reached from a memory over its relations."""
    found = await services.memory.graph(
        caller, memory_id, hops=hops, direction=direction, types=type or [], limit=limit
    )
    return PathPage(paths=found)


def _scope(text: str) -> MemoryScope:
    try:
        return MemoryScope.parse(text)
    except ValueError:
        raise InvalidInput(
            f'"{text[:64]}" is no scope', 'write "workspace", "global", "agent:NAME" or "conversation:ID"'
        ) from None
