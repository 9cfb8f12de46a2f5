"""Memory: what agents remember.

Generated from `async_resources/memory.py` by `python -m caxton.client.unasync`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from caxton.client.sync_resources.calls import Calls, segment
from caxton.client.transport_sync import given
from caxton.domain.errors import NotFound
from caxton.domain.memory import Entity, MemoryPath, Relation
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

DEPLOY_TIMEOUT = 600.0
"""Seconds to wait for a deployment: compiling a large module takes half a minute."""


class MemoryCalls(Calls):
    """Memory: what agents remember."""

    def remember(self, memory: Mapping[str, Any]) -> Entity:
        """Adds a memory: text, and perhaps scope, name, type, metadata."""
        return Entity.model_validate(self._post("/v1/memory", memory))

    def search_memory(self, query: Mapping[str, Any]) -> MatchPage:
        """Finds memories: text, and perhaps mode, scopes, limit, min_similarity, where, type, half_life."""
        return MatchPage.model_validate(self._post("/v1/memory/search", query))

    def memories(
        self, *, scope: str = "workspace", type: str | None = None, after: str | None = None, limit: int = 50
    ) -> tuple[list[Entity], str | None]:
        """Memories of a scope by id, and where to go on."""
        found = self._get("/v1/memory", scope=scope, type=type, after=after, limit=limit)
        return [Entity.model_validate(each) for each in found["memories"]], found.get("next")

    def memory(self, memory_id: str) -> tuple[Entity, list[Relation]]:
        """A memory with its relations."""
        found = self._get(f"/v1/memory/{_memory(memory_id)}")
        relations = [Relation.model_validate(each) for each in found["relations"]]
        return Entity.model_validate(found["memory"]), relations

    def edit_memory(self, memory_id: str, changes: Mapping[str, Any]) -> Entity:
        """Corrects a memory: observations, name or metadata."""
        response = self._transport.request("PATCH", f"/v1/memory/{_memory(memory_id)}", json=changes)
        return Entity.model_validate(response.json())

    def delete_memory(self, memory_id: str) -> None:
        """Removes a memory with its relations."""
        self._transport.request("DELETE", f"/v1/memory/{_memory(memory_id)}")

    def relate_memories(
        self, source: str, relation: str, target: str, properties: Mapping[str, Any] | None = None
    ) -> Relation:
        """Relates two memories; a relation of the same type between them is replaced."""
        body = {"source": source, "type": relation, "target": target, "properties": dict(properties or {})}
        return Relation.model_validate(self._post("/v1/memory/relations", body))

    def unrelate_memories(self, relation_id: str) -> None:
        """Removes a relation."""
        self._transport.request("DELETE", f"/v1/memory/relations/{segment(relation_id)}")

    def memory_graph(
        self, memory_id: str, *, hops: int = 1, direction: str = "both", types: list[str] | None = None
    ) -> list[MemoryPath]:
        """Memories that are reached over relations, the nearest first."""
        found = self._get(f"/v1/memory/{_memory(memory_id)}/graph", hops=hops, direction=direction, type=types or None)
        return [MemoryPath.model_validate(each) for each in found["paths"]]

    def purge_memory(
        self,
        *,
        scope: str | None = None,
        type: str | None = None,
        before: str | None = None,
        where: Mapping[str, Any] | None = None,
        can_be_undone: bool = True,
        dry_run: bool = True,
    ) -> PurgePreview:
        """Removes memories, or (`dry_run`) shows what would be removed."""
        body = given({"scope": scope, "type": type, "before": before, "where": where})
        body |= {"dry_run": dry_run, "can_be_undone": can_be_undone}
        return PurgePreview.model_validate(self._post("/v1/memory/purge", body))

    def edit_memories(
        self,
        changes: Mapping[str, Any],
        *,
        scope: str | None = None,
        type: str | None = None,
        before: str | None = None,
        where: Mapping[str, Any] | None = None,
        dry_run: bool = True,
    ) -> BulkPreview:
        """Changes many memories (set, unset, type), or (`dry_run`) shows which."""
        body = given({"scope": scope, "type": type, "before": before, "where": where})
        body |= {"dry_run": dry_run, "changes": changes}
        return BulkPreview.model_validate(self._post("/v1/memory/edit", body))

    def undo_memory(self, *, shared: bool = False, dry_run: bool = True) -> UndoView:
        """Undoes the last bulk operation, or a part of it: call again while something is `left`."""
        found = self._post("/v1/memory/undo", {"dry_run": dry_run}, params=_of_all(shared))
        return UndoView.model_validate(found)

    def reembed_memory(self, *, shared: bool = False) -> PageResult:
        """Embeds memories again after a change of the embedder: call again while something is `left`."""
        return PageResult.model_validate(self._post("/v1/memory/reembed", {}, params=_of_all(shared)))

    def memory_retention(self, *, shared: bool = False) -> RetentionView:
        """How long, and how much, is remembered."""
        return RetentionView.model_validate(self._get("/v1/memory/retention", **_of_all(shared)))

    def set_memory_retention(
        self, *, max_age: float | None, max_entities: int | None, shared: bool = False
    ) -> RetentionView:
        """Decides how long (seconds), and how much, is remembered."""
        body = {"max_age": max_age, "max_entities": max_entities}
        response = self._transport.request("PUT", "/v1/memory/retention", params=_of_all(shared), json=body)
        return RetentionView.model_validate(response.json())

    def apply_memory_retention(self, *, shared: bool = False) -> PurgePreview:
        """Removes now what is no longer to be remembered."""
        return PurgePreview.model_validate(self._post("/v1/memory/retention/apply", {}, params=_of_all(shared)))

    def export_memory(self, *, shared: bool = False, after: str | None = None) -> Iterator[str]:
        """The workspace's memories as JSON lines, from behind a memory."""
        return self._transport.lines("/v1/memory/export", params={**_of_all(shared), "after": after})

    def import_memory(
        self, content: bytes, *, shared: bool = False, operation: str | None = None, more: bool = False
    ) -> Imported:
        """Takes what an export wrote, or a part of it; parts of one `operation` are undone together."""
        params = {**_of_all(shared), "operation": operation, "more": "true" if more else None}
        response = self._transport.request(
            "POST",
            "/v1/memory/import",
            params=params,
            content=content,
            content_type="application/x-ndjson",
            timeout=DEPLOY_TIMEOUT,
        )
        return Imported.model_validate(response.json())

    def memory_stats(self) -> dict[str, MemoryCounts]:
        """How much is remembered, in the workspace and in what all workspaces share."""
        return {name: MemoryCounts.model_validate(each) for name, each in self._get("/v1/memory/stats").items()}


def _memory(memory_id: str) -> str:
    """The segment of a memory's id.

    Raises:
        NotFound: no memory has such an id.
    """
    if not memory_id.startswith("mem_"):
        raise NotFound(f'there is no memory "{memory_id[:64]}"', "ids begin with mem_")
    return segment(memory_id)


def _of_all(shared: bool) -> dict[str, Any]:
    """The query that means the memories of all workspaces rather than the workspace's own."""
    return {"global": "true"} if shared else {}
