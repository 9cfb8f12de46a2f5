"""Memory."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from caxton.api.guard import GuardedRoute, needs
from caxton.api.ndjson import NDJSON, Lines
from caxton.api.openapi import body_of
from caxton.api.services import CurrentCaller, UseCases
from caxton.domain.errors import InvalidInput
from caxton.domain.given import GivenId, GivenText
from caxton.domain.memory import (
    MOST_HOPS,
    RELATION_PATTERN,
    Entity,
    MemoryPath,
    MemoryQuery,
    Relation,
    Retention,
)
from caxton.domain.permissions import Permission
from caxton.service.memory_requests import BulkChanges, Edit, NewMemory, Selection, scope_named
from caxton.views.memory import (
    BulkPreview,
    Imported,
    MatchPage,
    MemoryCounts,
    PageResult,
    PurgePreview,
    RetentionView,
    UndoView,
)

router = APIRouter(route_class=GuardedRoute, prefix="/v1/memory", tags=["memory"])

SHARED = {Permission.MEMORY_SHARE: "for memories that all workspaces share"}

ScopeText = Annotated[
    GivenText, Query(max_length=90, description='"workspace", "global", "agent:NAME" or "conversation:ID".')
]


class MemoryPage(BaseModel):
    """Memories by id."""

    memories: list[Entity]
    next: str | None = None


class MemoryView(BaseModel):
    """A memory with its relations."""

    memory: Entity
    relations: list[Relation]


class PathPage(BaseModel):
    """What is reached, nearest first."""

    paths: list[MemoryPath]


class RelationBody(BaseModel):
    """A relation to keep."""

    model_config = ConfigDict(extra="forbid")

    source: GivenId = Field(max_length=64)
    type: str = Field(min_length=1, max_length=64, pattern=RELATION_PATTERN)
    target: GivenId = Field(max_length=64)
    properties: dict[str, Any] = {}


class SelectionBody(Selection):
    """Which memories, and whether only to look."""

    dry_run: bool = True


class PurgeBody(SelectionBody):
    """What to remove."""

    can_be_undone: bool = Field(default=True, description="Keep a copy for a week, unless it is everything.")


class EditManyBody(SelectionBody):
    """What to change of many memories."""

    changes: BulkChanges


class DryRunBody(BaseModel):
    """Whether only to look."""

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = True


RelationType = Annotated[str, Field(min_length=1, max_length=64, pattern=RELATION_PATTERN)]

Shared = Annotated[bool, Query(alias="global", description="What all workspaces share, not the workspace's own.")]


@router.post("", status_code=201)
@needs(Permission.MEMORY_WRITE, also=SHARED)
async def add(body: NewMemory, caller: CurrentCaller, services: UseCases) -> Entity:
    """Adds a memory; equal content in one scope is kept once. It can be found when this answers."""
    return await services.memory.add(caller, body)


@router.post("/search")
@needs(Permission.MEMORY_READ)
async def search(body: MemoryQuery, caller: CurrentCaller, services: UseCases) -> MatchPage:
    """Finds memories by meaning, by words, or by both."""
    matches = await services.memory.search(caller, body)
    stale = await services.memory.stale(caller, body.scopes) if body.mode != "text" else 0
    return MatchPage(matches=matches, stale=stale)


@router.get("")
@needs(Permission.MEMORY_READ)
async def list_memories(
    caller: CurrentCaller,
    services: UseCases,
    scope: ScopeText = "workspace",
    type: Annotated[GivenText | None, Query(max_length=64)] = None,
    after: Annotated[GivenId | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> MemoryPage:
    """Memories of one scope, by id."""
    found = await services.memory.list_memories(caller, scope=scope_named(scope), type_=type, after=after, limit=limit)
    return MemoryPage(memories=found, next=found[-1].id if len(found) == limit else None)


@router.get("/stats")
@needs(Permission.MEMORY_READ)
async def statistics(caller: CurrentCaller, services: UseCases) -> dict[str, MemoryCounts]:
    """How much there is."""
    return await services.memory.statistics(caller)


@router.post("/relations", status_code=201)
@needs(Permission.MEMORY_WRITE, also=SHARED)
async def relate(body: RelationBody, caller: CurrentCaller, services: UseCases) -> Relation:
    """Relates two memories."""
    return await services.memory.relate(caller, body.source, body.type, body.target, body.properties)


@router.delete("/relations/{relation_id}", status_code=204)
@needs(Permission.MEMORY_WRITE, also=SHARED)
async def unrelate(relation_id: GivenId, caller: CurrentCaller, services: UseCases) -> Response:
    """Removes a relation."""
    await services.memory.unrelate(caller, relation_id)
    return Response(status_code=204)


@router.post("/purge")
@needs(Permission.MEMORY_MANAGE, also=SHARED)
async def purge(body: PurgeBody, caller: CurrentCaller, services: UseCases) -> PurgePreview:
    """Removes memories, or shows what would be removed."""
    return await services.memory.purge(caller, body, dry_run=body.dry_run, can_be_undone=body.can_be_undone)


@router.post("/edit")
@needs(Permission.MEMORY_MANAGE, also=SHARED)
async def edit_many(body: EditManyBody, caller: CurrentCaller, services: UseCases) -> BulkPreview:
    """Changes many memories, or shows which."""
    return await services.memory.edit_many(caller, body, body.changes, dry_run=body.dry_run)


@router.post("/undo")
@needs(Permission.MEMORY_MANAGE, also=SHARED)
async def undo(body: DryRunBody, caller: CurrentCaller, services: UseCases, shared: Shared = False) -> UndoView:
    """Undoes the last bulk operation, or shows what that is. Call again while something is left."""
    return await services.memory.undo(caller, shared=shared, dry_run=body.dry_run)


@router.post("/reembed")
@needs(Permission.MEMORY_MANAGE, also=SHARED)
async def reembed(caller: CurrentCaller, services: UseCases, shared: Shared = False) -> PageResult:
    """Embeds memories again after a change of the embedder. Call again while something is left."""
    return await services.memory.reembed(caller, shared=shared)


@router.get("/retention")
@needs(Permission.MEMORY_READ)
async def retention(caller: CurrentCaller, services: UseCases, shared: Shared = False) -> RetentionView:
    """How long, and how much, is remembered."""
    return await services.memory.retention(caller, shared=shared)


@router.put("/retention")
@needs(Permission.MEMORY_MANAGE, also=SHARED)
async def set_retention(
    body: Retention, caller: CurrentCaller, services: UseCases, shared: Shared = False
) -> RetentionView:
    """Decides how long, and how much, is remembered; it is applied daily."""
    return await services.memory.set_retention(caller, body, shared=shared)


@router.post("/retention/apply")
@needs(Permission.MEMORY_MANAGE, also=SHARED)
async def apply_retention(caller: CurrentCaller, services: UseCases, shared: Shared = False) -> PurgePreview:
    """Removes now what is no longer to be remembered."""
    return await services.memory.apply_retention(caller, shared=shared)


@router.get("/export", response_class=Lines)
@needs(Permission.MEMORY_MANAGE)
async def export(
    caller: CurrentCaller,
    services: UseCases,
    shared: Shared = False,
    after: Annotated[GivenId | None, Query(max_length=64, description="Go on behind this memory.")] = None,
) -> Response:
    """The workspace's memories as JSON lines."""
    lines = await services.memory.export(caller, shared=shared, after=after)
    headers = {"Content-Disposition": 'attachment; filename="memory.ndjson"'}
    return Lines(lines, headers=headers)


@router.post("/import", openapi_extra=body_of(NDJSON))
@needs(Permission.MEMORY_MANAGE, also=SHARED)
async def bring_in(
    request: Request,
    caller: CurrentCaller,
    services: UseCases,
    shared: Shared = False,
    operation: Annotated[
        str | None,
        Query(max_length=40, pattern=r"^[A-Za-z0-9_]+$", description="Parts of one import are undone together."),
    ] = None,
    more: Annotated[
        bool, Query(description="Other parts follow; no other bulk operation takes this one's place.")
    ] = False,
) -> Imported:
    """Takes what an export wrote, or a part of it: all of what is sent or nothing."""
    try:
        text = (await request.body()).decode()
    except UnicodeDecodeError:
        raise InvalidInput("this is not an export of memories: it is not text") from None
    return await services.memory.bring_in(caller, text, shared=shared, operation=operation, more=more)


@router.get("/{memory_id}")
@needs(Permission.MEMORY_READ)
async def show(memory_id: GivenId, caller: CurrentCaller, services: UseCases) -> MemoryView:
    """One memory with its relations."""
    memory, relations = await services.memory.show(caller, memory_id)
    return MemoryView(memory=memory, relations=relations)


@router.patch("/{memory_id}")
@needs(Permission.MEMORY_WRITE, also=SHARED)
async def edit(memory_id: GivenId, body: Edit, caller: CurrentCaller, services: UseCases) -> Entity:
    """Corrects a memory."""
    return await services.memory.edit(caller, memory_id, body)


@router.delete("/{memory_id}", status_code=204)
@needs(Permission.MEMORY_WRITE, also=SHARED)
async def delete(memory_id: GivenId, caller: CurrentCaller, services: UseCases) -> Response:
    """Removes a memory with its relations."""
    await services.memory.delete(caller, memory_id)
    return Response(status_code=204)


@router.get("/{memory_id}/graph")
@needs(Permission.MEMORY_READ)
async def graph(
    memory_id: GivenId,
    caller: CurrentCaller,
    services: UseCases,
    hops: Annotated[int, Query(ge=1, le=MOST_HOPS)] = 1,
    direction: Annotated[Literal["out", "in", "both"], Query()] = "both",
    type: Annotated[list[RelationType] | None, Query(max_length=20)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> PathPage:
    """What is reached from a memory over its relations."""
    found = await services.memory.graph(
        caller, memory_id, hops=hops, direction=direction, types=type or [], limit=limit
    )
    return PathPage(paths=found)
