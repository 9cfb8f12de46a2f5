"""Memory for people: read, add, correct, relate, remove, export and import."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from caxton.domain import memory_export as export_lines
from caxton.domain.errors import Hint, InvalidInput, MemoryUnavailable, NotFound
from caxton.domain.events.memory import MemoriesFound, MemoryEdited, RelationRemoved, RetentionSet
from caxton.domain.ids import Scope, new_id
from caxton.domain.memory import (
    Entity,
    Match,
    MemoryId,
    MemoryPath,
    MemoryQuery,
    MemoryScope,
    Provenance,
    Relation,
    RelationId,
    Retention,
    ScopeKind,
    check_entity,
    check_json,
)
from caxton.domain.memory import memory_id as identity_of
from caxton.domain.memory_port import MemoryFilter, Place, places_of
from caxton.domain.permissions import Permission
from caxton.domain.ports import BlobStore
from caxton.domain.records import Records, Transaction
from caxton.memory.bulk import PAGE, BulkMemory
from caxton.memory.memories import Memories, Noticed
from caxton.recording import journal
from caxton.service.at_once import AtOnce
from caxton.service.context import Caller
from caxton.service.disk_guard import DiskGuard
from caxton.service.memory_requests import BulkChanges, Edit, NewMemory, Selection
from caxton.service.tallies import Tallies
from caxton.views.memory import BulkPreview, Imported, MemoryCounts, PageResult, PurgePreview, RetentionView, UndoView

MOST_EXPORTS = 8
"""Exports that a customer may have in progress; each holds a page while it is sent."""

SECONDS_A_CALL = 10.0
"""For which one call undoes or embeds; more is left for the next."""


class MemoryAdministration:
    """Use cases on memory."""

    def __init__(
        self,
        memories: Memories | None,
        records: Records,
        blobs: BlobStore,
        disk: DiskGuard,
        tallies: Tallies | None = None,
    ) -> None:
        """Work on `memories`; None where the server has none. `disk` has room for more; `tallies` counts searches."""
        self._disk = disk
        self._tallies = tallies
        self._exports = AtOnce(MOST_EXPORTS, "exports of memories")
        self._memories = memories
        self._records = records
        self._blobs = blobs

    @property
    def memories(self) -> Memories:
        """The memory.

        Raises:
            MemoryUnavailable: the server has none.
        """
        if self._memories is None:
            raise MemoryUnavailable(
                "this server has no memory",
                Hint(text="its operator installs it with `pip install 'caxton[memory]'`, where that is not done"),
                Hint(text="or sets enabled = true in [memory] of its caxton.toml"),
            )
        return self._memories

    @property
    def bulk(self) -> BulkMemory:
        """Operations on many memories."""
        return BulkMemory(self.memories, self._records, self._blobs)

    async def add(self, caller: Caller, memory: NewMemory) -> Entity:
        """Adds a memory; equal content in the same scope is kept once.

        Raises:
            DiskFull: there is no room.
        """
        self._disk.require(caller.scope.customer)
        if memory.scope.kind is ScopeKind.GLOBAL:
            caller.require(Permission.MEMORY_SHARE)
        noticed = Noticed(
            memory.text, memory.scope, memory.name, memory.type, memory.metadata, Provenance(actor=caller.actor)
        )
        [entity] = await self.memories.remember(caller.scope, [noticed], caller.actor)
        return entity

    async def search(self, caller: Caller, query: MemoryQuery) -> list[Match]:
        """The best matches, best first."""
        tallies = self._tallies
        if tallies is None:
            return await self.memories.recall(caller.scope, query, caller.actor)

        async def count(found: MemoriesFound) -> None:
            def told(times: int, _first: datetime, _last: datetime) -> MemoriesFound:
                return found.model_copy(update={"times": times})

            if tallies.read(caller, "memory", told):
                await tallies.soon()

        return await self.memories.recall(caller.scope, query, caller.actor, count=count)

    async def show(self, caller: Caller, memory_id: str) -> tuple[Entity, list[Relation]]:
        """A memory with its relations.

        Raises:
            NotFound: there is none of that id.
        """
        place, entity = await self._find(caller.scope, memory_id)
        memories = self.memories
        relations = await memories.run(place.customer, lambda: memories.backend.relations(place, [entity.id]))
        return entity, relations

    async def list_memories(
        self, caller: Caller, *, scope: MemoryScope, type_: str | None, after: str | None, limit: int
    ) -> list[Entity]:
        """Memories of a scope by id, from behind `after`."""
        place = Place.of(caller.scope.customer, caller.scope.workspace, scope)
        wanted = MemoryFilter(scope=scope, type=type_)
        memories, start = self.memories, MemoryId(after) if after else None
        return await memories.run(
            place.customer,
            lambda: memories.backend.get(place, memories.backend.ids(place, wanted, after=start, limit=limit)),
        )

    async def edit(self, caller: Caller, memory_id: str, edit: Edit) -> Entity:
        """Corrects a memory; the log has the hashes before and after.

        Raises:
            NotFound: there is none of that id.
            InvalidInput: the change is not possible.
        """
        place, entity = await self._find_to_change(caller, memory_id)
        changes: dict[str, Any] = edit.model_dump(exclude_none=True)
        memories = self.memories

        def changed(known: Entity) -> Entity:
            return known.model_copy(update={**changes, "updated_at": journal.now()})

        check_entity(changed(entity))

        def work() -> tuple[Entity, Entity]:
            text = changed(entity).text
            vector = memories.embedder.embed([text])[0]
            with memories.backend.lock(place):
                known = memories.backend.get(place, [entity.id])
                if not known:
                    raise _unknown(memory_id)
                after = changed(known[0])
                twin = memories.backend.get(place, [identity_of(after.content_hash)])
                if twin and twin[0].id != after.id and twin[0].content_hash == after.content_hash:
                    raise InvalidInput(f"{twin[0].id} says the same in the same scope", "delete one of the two")
                # Its name may have been changed meanwhile; that is rare, and embedded here.
                vectors = [vector] if after.text == text else memories.embedder.embed([after.text])
                memories.backend.put(place, [after], vectors)
            return known[0], after

        await memories.intend(caller.scope, caller.actor, "edit", [str(entity.id)])
        before, after = await memories.run(place.customer, work)
        told = MemoryEdited(memory_id=entity.id, before_hash=before.state_hash, after_hash=after.state_hash)
        await self._tell(caller, told)
        return after

    async def delete(self, caller: Caller, memory_id: str) -> None:
        """Removes a memory with its relations.

        Raises:
            NotFound: there is none of that id.
        """
        await self._find_to_change(caller, memory_id)
        await self.memories.forget(caller.scope, [MemoryId(memory_id)], caller.actor, "UserInitiated")

    async def relate(
        self, caller: Caller, source: str, relation_type: str, target: str, properties: Mapping[str, Any]
    ) -> Relation:
        """Relates two memories of the same place.

        Raises:
            DiskFull: there is no room.
        """
        self._disk.require(caller.scope.customer)
        place, _ = await self._find_to_change(caller, source)
        shared = place.workspace != caller.scope.workspace
        return await self.memories.relate(
            caller.scope,
            MemoryId(source),
            relation_type,
            MemoryId(target),
            properties,
            caller.actor,
            shared=shared,
        )

    async def unrelate(self, caller: Caller, relation_id: str) -> None:
        """Removes a relation. Who may not change what all workspaces share has none of its relations to remove.

        Raises:
            NotFound: there is none of that id.
        """
        memories = self.memories
        await memories.intend(caller.scope, caller.actor, "unrelate", [relation_id])
        for place in _places(caller.scope)[: 1 + (Permission.MEMORY_SHARE in caller.permissions)]:
            if await memories.run(
                place.customer, lambda place=place: memories.backend.unrelate(place, [RelationId(relation_id)])
            ):
                return await self._tell(caller, RelationRemoved(relation_id=relation_id))
        raise NotFound(f'there is no relation "{relation_id[:64]}"', details={"relation": relation_id[:64]})

    async def graph(
        self,
        caller: Caller,
        memory_id: str,
        *,
        hops: int,
        direction: Literal["out", "in", "both"],
        types: Sequence[str],
        limit: int,
    ) -> list[MemoryPath]:
        """What is reached from a memory, the nearest first.

        Raises:
            NotFound: there is none of that id.
        """
        place, entity = await self._find(caller.scope, memory_id)
        return await self.memories.graph(
            caller.scope,
            entity.id,
            hops=hops,
            direction=direction,
            types=types,
            limit=limit,
            shared=place.workspace != caller.scope.workspace,
        )

    async def statistics(self, caller: Caller) -> dict[str, MemoryCounts]:
        """How much there is, in the workspace and in what all workspaces share."""
        memories = self.memories
        found: dict[str, MemoryCounts] = {}
        for name, place in zip(("workspace", "shared"), _places(caller.scope), strict=True):
            stats = await memories.run(place.customer, lambda place=place: memories.backend.statistics(place))
            found[name] = MemoryCounts.model_validate(stats)
        return found

    async def purge(
        self, caller: Caller, selection: Selection, *, dry_run: bool, can_be_undone: bool = True
    ) -> PurgePreview:
        """Removes the memories of a selection; everything of the workspace, if nothing is selected.

        All of a workspace goes at once, with indices, retention and copies, and cannot be undone.

        Raises:
            NotPermitted: it is shared by all workspaces, and the caller may not change that.
        """
        place, wanted = self._selected(caller, selection)
        everything = selection.is_everything
        if dry_run:
            count, examples = await self.bulk.count(place, wanted)
            can_be_undone = can_be_undone and not everything
            return PurgePreview(count=count, dry_run=True, examples=examples, can_be_undone=can_be_undone)
        if everything:
            count = await self.bulk.purge_everything(place, caller.actor, "UserInitiated")
            return PurgePreview(count=count, dry_run=False, can_be_undone=False)
        count = await self.bulk.purge(
            place, wanted, caller.actor, "UserInitiated", selection.scope_name, can_be_undone=can_be_undone
        )
        if not can_be_undone:
            await self.bulk.forget_undo(place)
        return PurgePreview(count=count, dry_run=False, can_be_undone=can_be_undone and count > 0)

    async def edit_many(
        self, caller: Caller, selection: Selection, changes: BulkChanges, *, dry_run: bool
    ) -> BulkPreview:
        """Changes the memories of a selection.

        Raises:
            InvalidInput: there is nothing to change, or the metadata would become too large.
        """
        if changes.type is None and not changes.set and not changes.unset:
            raise InvalidInput("nothing to change", "give metadata to set or unset, or a type")
        place, wanted = self._selected(caller, selection)
        moment = journal.now()

        def change(entity: Entity) -> Entity:
            metadata = {name: value for name, value in entity.metadata.items() if name not in changes.unset}
            metadata |= changes.set
            check_json(metadata, "metadata")
            changed = entity.model_copy(update={"metadata": metadata, "type": changes.type or entity.type})
            return changed if changed == entity else changed.model_copy(update={"updated_at": moment})

        if dry_run:
            count, examples = await self.bulk.count(place, wanted)
            return BulkPreview(count=count, dry_run=True, examples=examples)
        count = await self.bulk.edit(place, wanted, change, caller.actor, selection.scope_name)
        return BulkPreview(count=count, dry_run=False)

    async def undo(self, caller: Caller, *, shared: bool, dry_run: bool) -> UndoView:
        """Undoes the last bulk operation, or a part of it: what is left is done with the next call.

        Raises:
            NotFound: there is nothing to undo.
        """
        place = _place_to_change(caller, shared=shared)
        pages = await self.bulk.last(place)
        if not pages and dry_run:
            return UndoView(dry_run=True)
        first = pages[0] if pages else None
        left, done = sum(page.count for page in pages), 0
        if not dry_run:
            result = await self.bulk.undo(place, caller.actor, seconds=SECONDS_A_CALL)
            left, done = result.left, result.done
        return UndoView(
            dry_run=dry_run,
            operation=first.kind if first else None,
            by=first.actor if first else None,
            at=first.made_at if first else None,
            done=done,
            left=left,
        )

    async def reembed(self, caller: Caller, *, shared: bool) -> PageResult:
        """Embeds memories again after a change of the embedder, or some of them: the rest with the next call.

        Raises:
            NotPermitted: it is shared by all workspaces, and the caller may not change that.
        """
        return await self.bulk.reembed(_place_to_change(caller, shared=shared), caller.actor, seconds=SECONDS_A_CALL)

    async def retention(self, caller: Caller, *, shared: bool) -> RetentionView:
        """How long, and how much, is remembered, and how many memories are outside of that now."""
        place = _places(caller.scope)[shared]
        retention = await self._records.read(lambda transaction: transaction.retention(place))
        outside = await self.bulk.apply_retention(place, retention, dry_run=True)
        return RetentionView(retention=retention, outside=outside)

    async def set_retention(self, caller: Caller, retention: Retention, *, shared: bool) -> RetentionView:
        """Decides how long, and how much, is remembered; it is applied daily.

        Raises:
            NotPermitted: it is shared by all workspaces, and the caller may not change that.
        """
        place = _place_to_change(caller, shared=shared)

        def put(transaction: Transaction) -> None:
            before = transaction.retention(place)
            transaction.put_retention(place, retention)
            told = RetentionSet(
                scope="global" if shared else "workspace",
                max_age_seconds=retention.max_age,
                max_entities=retention.max_entities,
                max_age_seconds_before=before.max_age,
                max_entities_before=before.max_entities,
            )
            event = journal.note(caller.scope, told, new_id("memory"), actor=caller.actor)
            transaction.add_events(caller.scope, [event])

        await self._records.write(put)
        return await self.retention(caller, shared=shared)

    async def apply_retention(self, caller: Caller, *, shared: bool) -> PurgePreview:
        """Removes now what is no longer to be remembered.

        Raises:
            NotPermitted: it is shared by all workspaces, and the caller may not change that.
        """
        place = _place_to_change(caller, shared=shared)
        retention = await self._records.read(lambda transaction: transaction.retention(place))
        count = await self.bulk.apply_retention(place, retention, actor=caller.actor)
        return PurgePreview(count=count, dry_run=False, can_be_undone=False)

    async def stale(self, caller: Caller, scopes: Sequence[MemoryScope]) -> int:
        """How many memories of the places of these scopes are found by their words only."""
        memories = self.memories
        places = {Place.of(caller.scope.customer, caller.scope.workspace, scope) for scope in scopes}
        counts = [
            await memories.run(place.customer, lambda place=place: memories.backend.stale_count(place))
            for place in places
        ]
        return sum(counts)

    async def export(self, caller: Caller, *, shared: bool = False, after: str | None = None) -> AsyncIterator[bytes]:
        """The workspace's memories as JSON lines, from behind a memory: a header, memories, relations, marks, an end.

        Raises:
            Overloaded: the customer has too many exports in progress.
        """
        place, memories = _places(caller.scope)[shared], self.memories
        behind = MemoryId(after) if after else None
        ids = await memories.run(place.customer, lambda: memories.backend.ids(place, MemoryFilter(), after=behind))
        if ids:  # what is damaged is told before the answer begins
            await memories.run(place.customer, lambda: memories.backend.get(place, ids[:PAGE]))
        return self._exports.counted(place.customer, self._export(place, ids, with_header=after is None))

    async def _export(self, place: Place, ids: Sequence[MemoryId], *, with_header: bool) -> AsyncGenerator[bytes]:
        memories = self.memories
        if with_header:
            yield export_lines.header(memories.embedder.id)
        for start in range(0, len(ids), PAGE):
            part = ids[start : start + PAGE]
            batch = await memories.run(place.customer, lambda part=part: memories.backend.get(place, part))
            relations = await memories.run(place.customer, lambda part=part: memories.backend.relations(place, part))
            own = set(part)
            if batch:
                yield export_lines.page(batch, [relation for relation in relations if relation.source in own])
        yield export_lines.end()

    async def bring_in(
        self, caller: Caller, text: str, *, shared: bool = False, operation: str | None = None, more: bool = False
    ) -> Imported:
        """Takes what an export wrote, or a part of it; what is there already is skipped, so that it can be done again.

        Raises:
            InvalidInput: a line is not what an export writes, or the end is missing: nothing was taken then.
            DiskFull: there is no room; nothing was taken.
        """
        self._disk.require(caller.scope.customer)
        found = export_lines.parse(text.split("\n"))  # and at nothing else that Python takes for the end of a line
        if not found.ended:
            raise InvalidInput("the file was cut off: its last line is missing", "nothing was taken; export it again")
        if any((entity.scope.kind is ScopeKind.GLOBAL) != shared for entity in found.entities):
            raise InvalidInput(
                "these are memories of all workspaces" if not shared else "these are memories of one workspace",
                "nothing was taken; import them with --scope global" if not shared else "leave out --scope global",
            )
        place = _place_to_change(caller, shared=shared)
        relations = dict(zip(found.relation_lines, found.relations, strict=True))
        return await self.bulk.bring_in(
            place, found.entities, relations, operation or new_id("op"), caller.actor, more=more
        )

    def _selected(self, caller: Caller, selection: Selection) -> tuple[Place, MemoryFilter]:
        named = selection.named_scope
        if named is not None and named.kind is ScopeKind.GLOBAL:
            caller.require(Permission.MEMORY_SHARE)
        place = Place.of(caller.scope.customer, caller.scope.workspace, named or MemoryScope())
        # Global memories have a place to themselves.
        own = None if named is None or named.kind is ScopeKind.GLOBAL else named
        return place, MemoryFilter(scope=own, type=selection.type, before=selection.before, where=selection.where)

    async def _find_to_change(self, caller: Caller, memory_id: str) -> tuple[Place, Entity]:
        place, entity = await self._find(caller.scope, memory_id)
        if place.workspace != caller.scope.workspace:
            caller.require(Permission.MEMORY_SHARE)
        return place, entity

    async def _find(self, scope: Scope, memory_id: str) -> tuple[Place, Entity]:
        found = await self.memories.find(scope, MemoryId(memory_id))
        if found is None:
            raise _unknown(memory_id)
        return found

    async def _tell(self, caller: Caller, payload: MemoryEdited | RelationRemoved) -> None:
        event = journal.note(caller.scope, payload, new_id("memory"), actor=caller.actor)
        await self._records.write(lambda transaction: transaction.add_events(caller.scope, [event]))


def _place_to_change(caller: Caller, *, shared: bool) -> Place:
    if shared:
        caller.require(Permission.MEMORY_SHARE)
    return _places(caller.scope)[shared]


def _places(scope: Scope) -> tuple[Place, Place]:
    return places_of(scope.customer, scope.workspace)


def _unknown(memory_id: str) -> NotFound:
    return NotFound(
        f'there is no memory "{memory_id[:64]}"',
        Hint(text="find it", command='caxton memory search "…"'),
        details={"memory": memory_id[:64]},
    )
