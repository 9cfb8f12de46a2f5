"""Operations on many memories at once: page by page, each page with what is needed to undo it.

Before a page is changed, the memories as they are go into the blob store, and a row says so; the rows of the place's last
operation are what can be undone. A crash between the two leaves a page that undoes nothing.
"""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel

from caxton.domain.errors import MemoryUnavailable, NotFound, Overloaded
from caxton.domain.events import SYSTEM, Payload
from caxton.domain.events.memory import MemoriesChanged, MemoryChangeBegun, MemoryPurged, UndoExpired
from caxton.domain.ids import Digest, Scope, new_id
from caxton.domain.memory import Entity, MemoryId, Relation, RelationId, Retention, ScopeKind
from caxton.domain.memory_port import GLOBAL_PLACE, MemoryFilter, Place
from caxton.domain.ports import BlobStore
from caxton.domain.records import Records, Transaction, UndoPage
from caxton.memory.memories import Memories
from caxton.recording import journal
from caxton.views.memory import Imported, LeftOut, PageResult

PAGE = 500
"""Memories that are changed at once."""

EMBED_AT_ONCE = 64
"""Texts that are embedded before they are written."""

OPERATION_IDLE = timedelta(seconds=30)
"""After which an operation that was not ended is taken for dead."""

UNDO_KEPT = timedelta(days=7)
"""How long an operation can be undone; then its copies are removed."""


class UndoContent(BaseModel):
    """What a page of an operation did."""

    operation: str
    page: str
    """Makes the content, and with it its address, this page's own."""
    removed: list[Entity] = []
    removed_relations: list[Relation] = []
    changed: list[Entity] = []
    """As they were before."""
    added: list[MemoryId] = []
    added_relations: list[RelationId] = []

    @property
    def concerned(self) -> set[MemoryId]:
        """The memories that it removed, changed or added."""
        return {*self.added, *(entity.id for entity in (*self.removed, *self.changed))}


@dataclass
class BulkMemory:
    """Operations on many memories of one place."""

    memories: Memories
    records: Records
    blobs: BlobStore

    async def count(self, place: Place, wanted: MemoryFilter) -> tuple[int, list[str]]:
        """How many are meant, and the beginnings of the first texts."""
        memories = self.memories
        ids = await memories.run(place.customer, lambda: memories.backend.ids(place, wanted))
        first = await memories.run(place.customer, lambda: memories.backend.get(place, ids[:5]))
        return len(ids), [entity.text.replace("\n", ": ", bool(entity.name))[:80] for entity in first]

    async def purge(
        self, place: Place, wanted: MemoryFilter, actor: str, reason: str, scope: str, *, can_be_undone: bool
    ) -> int:
        """Removes the memories that are meant, with their relations. Returns how many there were.

        Raises:
            MemoryUnavailable: the memory does not work; what was removed before is removed.
        """
        memories, undo = self.memories, _Undo(self, place, new_id("op"), "purge", actor)
        ids = await memories.run(place.customer, lambda: memories.backend.ids(place, wanted))
        if ids:
            await self._intend(place, actor, "purge", scope, len(ids))
        removed = 0
        for start in range(0, len(ids), PAGE):
            part = ids[start : start + PAGE]
            if can_be_undone:
                entities = await memories.run(place.customer, lambda part=part: memories.backend.get(place, part))
                relations = await memories.run(
                    place.customer, lambda part=part: memories.backend.relations(place, part)
                )
                await undo.note(removed=entities, removed_relations=relations)
            removed += await memories.run(place.customer, lambda part=part: memories.backend.delete(place, part))
        await undo.close()
        if removed:
            purged = MemoryPurged(scope=scope, count_removed=removed, reason=reason)
            await self._tell(place, actor, purged)
        return removed

    async def purge_everything(self, place: Place, actor: str, reason: str) -> int:
        """Removes a place as a whole: memories, relations, indices, old versions, copies for undoing, retention."""
        memories = self.memories
        try:
            count = (await memories.run(place.customer, lambda: memories.backend.statistics(place))).entities
        except MemoryUnavailable:
            count = 0  # it is damaged, and this is how to be rid of it
        await self._intend(place, actor, "purge everything", _name(place), count)
        await memories.run(place.customer, lambda: memories.backend.forget(place))
        await self.forget_undo(place)
        await self.records.write(lambda transaction: transaction.put_retention(place, Retention()))
        await self._tell(place, actor, MemoryPurged(scope=_name(place), count_removed=count, reason=reason))
        return count

    async def edit(
        self, place: Place, wanted: MemoryFilter, change: Callable[[Entity], Entity], actor: str, scope: str
    ) -> int:
        """Changes the memories that are meant. Returns how many were changed."""
        undo = _Undo(self, place, new_id("op"), "edit", actor)
        memories = self.memories
        ids = await memories.run(place.customer, lambda: memories.backend.ids(place, wanted))
        if ids:
            await self._intend(place, actor, "edit", scope, len(ids))
        before, after, changed = hashlib.sha256(), hashlib.sha256(), 0
        for start in range(0, len(ids), PAGE):
            part = ids[start : start + PAGE]
            entities = await memories.run(place.customer, lambda part=part: memories.backend.get(place, part))
            concerned = [entity for entity in entities if change(entity) != entity]
            if not concerned:
                continue
            await undo.note(changed=concerned)
            for old, new in await memories.run(
                place.customer, lambda found=concerned: self._change_now(place, found, change)
            ):
                changed += 1
                before.update(old.state_hash.encode())
                after.update(new.state_hash.encode())
        await undo.close()
        if changed:
            told = MemoriesChanged(
                operation="edit",
                scope=scope,
                count=changed,
                before_hash=before.hexdigest(),
                after_hash=after.hexdigest(),
            )
            await self._tell(place, actor, told)
        return changed

    def _change_now(
        self, place: Place, found: Sequence[Entity], change: Callable[[Entity], Entity]
    ) -> list[tuple[Entity, Entity]]:
        """Changes entities as they are by now; what was removed meanwhile stays away."""
        memories = self.memories
        vectors = dict(
            zip([each.text for each in found], memories.embedder.embed([each.text for each in found]), strict=True)
        )
        with memories.backend.lock(place):
            pairs = [(entity, change(entity)) for entity in memories.backend.get(place, [each.id for each in found])]
            fresh = [new.text for _, new in pairs if new.text not in vectors]  # edited meanwhile: few, if any
            vectors |= dict(zip(fresh, memories.embedder.embed(fresh), strict=True)) if fresh else {}
            memories.backend.put(place, [new for _, new in pairs], [vectors[new.text] for _, new in pairs])
        return pairs

    async def bring_in(
        self,
        place: Place,
        entities: Sequence[Entity],
        relations: Mapping[int, Relation],
        operation: str,
        actor: str,
        *,
        more: bool,
    ) -> Imported:
        """Takes memories of an export; what is there already as it is costs next to nothing, so an import can be resumed.

        A relation is taken if both its ends are there by then. One that is not is left out and told, not refused: a memory
        that was removed while an export was written leaves relations to it in the file.

        Args:
            place: where to.
            entities: memories.
            relations: relations by their lines.
            operation: the import that this is a part of: parts of one import are undone together.
            actor: who does it.
            more: whether other parts follow: then no other operation takes this one's place.

        Raises:
            Overloaded: another operation on many memories is in progress.
        """
        memories, undo = self.memories, _Undo(self, place, operation, "import", actor)
        brought = Imported()
        if entities or relations:
            await self._intend(place, actor, "import", _name(place), len(entities) + len(relations))
        for start in range(0, len(entities), PAGE):
            part = list({entity.id: entity for entity in entities[start : start + PAGE]}.values())
            ids = [entity.id for entity in part]
            known = {
                entity.id: entity
                for entity in await memories.run(place.customer, lambda ids=ids: memories.backend.get(place, ids))
            }
            fresh = [entity for entity in part if entity.id not in known]
            changed = [entity for entity in part if entity.id in known and not _same(known[entity.id], entity)]
            if fresh or changed:
                await undo.note(
                    changed=[known[entity.id] for entity in changed],
                    added=[entity.id for entity in fresh],
                )
                await self._put(place, [*fresh, *changed])
            brought.entities += len(fresh) + len(changed)
            brought.skipped += len(part) - len(fresh) - len(changed)
        numbered = list(relations.items())
        for start in range(0, len(numbered), PAGE):
            part = dict(numbered[start : start + PAGE])
            left_out = await memories.run(place.customer, lambda part=part: self._without_ends(place, part))
            brought.left_out += left_out
            for each in left_out:
                del part[each.line]
            ends = [relation.source for relation in part.values()]
            present = await memories.run(place.customer, lambda ends=ends: memories.backend.relations(place, ends))
            known_relations = {relation.id for relation in present}
            fresh = [relation for relation in part.values() if relation.id not in known_relations]
            if fresh:
                await undo.note(added_relations=[relation.id for relation in fresh])
                await memories.run(place.customer, lambda fresh=fresh: memories.backend.relate(place, fresh))
            brought.relations += len(fresh)
        if not more:
            await undo.close()
        if brought.entities or brought.relations:
            told = MemoriesChanged(operation="import", scope=_name(place), count=brought.entities)
            await self._tell(place, actor, told)
        return brought

    def _without_ends(self, place: Place, relations: Mapping[int, Relation]) -> list[LeftOut]:
        ends = list({end for relation in relations.values() for end in (relation.source, relation.target)})
        present = {entity.id for entity in self.memories.backend.get(place, ends)}
        found: list[LeftOut] = []
        for line, relation in relations.items():
            missing = [end for end in (relation.source, relation.target) if end not in present]
            found += [LeftOut(line=line, missing=end) for end in missing[:1]]
        return found

    async def last(self, place: Place) -> list[UndoPage]:
        """The place's last bulk operation, as far as it can be undone."""
        return await self.records.read(lambda transaction: transaction.undo_pages(place))

    async def content(self, place: Place, page: UndoPage) -> UndoContent:
        """What a page of an operation did."""
        return UndoContent.model_validate_json(await self.blobs.get(place.customer, page.digest))

    async def undo(self, place: Place, actor: str, *, seconds: float) -> PageResult:
        """Undoes the last bulk operation, its last page first, for about so many seconds.

        Memories are as they were before the operation; those that were changed by it and removed since stay away.

        Raises:
            NotFound: there is nothing to undo.
        """
        pages = await self.last(place)
        if not pages:
            raise NotFound(
                "there is no bulk operation to undo", "purges, imports and edits of many can be undone, for a week"
            )
        await self._intend(place, actor, "undo", _name(place), sum(page.count for page in pages))
        ends, done = time.monotonic() + seconds, 0
        while pages:
            page = pages.pop()
            await self._undo_page(place, await self.content(place, page))
            done += page.count
            await self._remove_pages(place, [page.number])
            if time.monotonic() > ends:
                break
        if not pages:
            await self._tell(place, actor, MemoriesChanged(operation="undo", scope=_name(place), count=done))
        return PageResult(done=done, left=sum(page.count for page in pages))

    async def _undo_page(self, place: Place, content: UndoContent) -> None:
        memories = self.memories

        def look() -> tuple[list[Entity], list[Entity]]:
            backend = memories.backend
            there = {
                entity.id: entity
                for entity in backend.get(place, [each.id for each in (*content.removed, *content.changed)])
            }
            back = [entity for entity in content.removed if entity.id not in there]
            as_before = [entity for entity in content.changed if entity.id in there]
            return back, as_before

        if content.added:
            await memories.run(place.customer, lambda: memories.backend.delete(place, content.added))
        if content.added_relations:
            await memories.run(place.customer, lambda: memories.backend.unrelate(place, content.added_relations))
        back, as_before = await memories.run(place.customer, look)
        await self._put(place, [*back, *as_before])
        if content.removed_relations:
            await memories.run(place.customer, lambda: memories.backend.relate(place, content.removed_relations))

    async def reembed(self, place: Place, actor: str, *, seconds: float) -> PageResult:
        """Embeds memories again whose vectors another embedder made, for about so many seconds."""
        memories, ends, done = self.memories, time.monotonic() + seconds, 0

        def work() -> int:
            stale = memories.backend.stale(place, EMBED_AT_ONCE)
            if stale:
                vectors = memories.embedder.embed([entity.text for entity in stale])
                memories.backend.reembed(place, stale, vectors)
            return len(stale)

        if await memories.run(place.customer, lambda: memories.backend.stale(place, 1)):
            await self._intend(place, actor, "reembed", _name(place), None)
        while count := await memories.run(place.customer, work):
            done += count
            if time.monotonic() > ends:
                break
        stats = await memories.run(place.customer, lambda: memories.backend.statistics(place))
        if done:
            await self._tell(place, actor, MemoriesChanged(operation="reembed", scope=_name(place), count=done))
        return PageResult(done=done, left=stats.stale)

    async def apply_retention(
        self, place: Place, retention: Retention, *, dry_run: bool = False, actor: str = SYSTEM
    ) -> int:
        """Removes what a place is no longer to remember. Returns how many that were."""
        removed = 0
        for wanted in _outside(retention):
            if dry_run:
                removed = max(removed, (await self.count(place, wanted))[0])
            else:
                removed += await self.purge(place, wanted, actor, "RetentionPolicy", _name(place), can_be_undone=False)
        return removed

    async def expire_undo(self, moment: datetime) -> int:
        """Removes the copies of operations that can no longer be undone. Returns of how many places."""
        places = await self.records.read(lambda transaction: transaction.places_with_undo(moment - UNDO_KEPT, 1000))
        for place in places:
            await self._tell(place, SYSTEM, UndoExpired(scope=_name(place)))
            await self.forget_undo(place)
        return len(places)

    async def forget_undo(self, place: Place) -> None:
        """Removes the copies of the last operation."""
        await self._remove_pages(place, None)

    async def _remove_pages(self, place: Place, numbers: Sequence[int] | None) -> None:
        digests = await self.records.write(lambda transaction: transaction.remove_undo_pages(place, numbers))
        await self.blobs.delete(place.customer, digests)

    async def _put(self, place: Place, entities: Sequence[Entity]) -> None:
        memories = self.memories

        def work(part: Sequence[Entity]) -> None:
            memories.backend.put(place, part, memories.embedder.embed([entity.text for entity in part]))

        for start in range(0, len(entities), EMBED_AT_ONCE):
            await memories.run(place.customer, lambda start=start: work(entities[start : start + EMBED_AT_ONCE]))

    async def _intend(self, place: Place, actor: str, operation: str, scope: str, count: int | None) -> None:
        await self._tell(place, actor, MemoryChangeBegun(operation=operation, subjects=[scope], count=count))

    async def _tell(self, place: Place, actor: str, payload: Payload) -> None:
        # Events belong to a workspace; those of what all workspaces share to the customer's first.
        workspace = "default" if place.workspace == GLOBAL_PLACE else place.workspace
        scope = Scope(customer=place.customer, workspace=workspace)
        event = journal.note(scope, payload, new_id("memory"), actor=actor)
        await self.records.write(lambda transaction: transaction.add_events(scope, [event]))


@dataclass
class _Undo:
    """Notes what an operation is about to do."""

    bulk: BulkMemory
    place: Place
    operation: str
    kind: str
    actor: str
    noted_before: set[MemoryId] | None = None
    """What a killed attempt at the same operation has noted, and perhaps not done: it counts once."""

    async def note(self, **content: Any) -> None:
        """Notes a page before it is done; the first of an operation replaces what could be undone until now.

        Raises:
            Overloaded: another operation is in progress.
        """
        page = UndoContent(operation=self.operation, page=new_id("page"), **content)
        if self.noted_before is None:
            self.noted_before = await self._half_done()
        count = len(page.concerned - self.noted_before)
        bulk, place = self.bulk, self.place
        digest = await bulk.blobs.put(place.customer, page.model_dump_json(exclude_none=True).encode())

        def add(transaction: Transaction) -> list[Digest]:
            known = transaction.undo_pages(place)
            replaced: list[Digest] = []
            if known and known[0].operation != self.operation:
                if known[-1].open and journal.now() - known[-1].made_at < OPERATION_IDLE:
                    raise Overloaded(
                        f"another {known[0].kind} of many memories is in progress",
                        "wait until it is done",
                        retry_after=OPERATION_IDLE.total_seconds(),
                    )
                replaced, known = transaction.remove_undo_pages(place), []
            number = known[-1].number + 1 if known else 0
            row = UndoPage(self.operation, number, self.kind, self.actor, journal.now(), count, digest)
            transaction.add_undo_page(place, row)
            return replaced

        try:
            replaced = await bulk.records.write(add)
        except Overloaded:
            await bulk.blobs.delete(place.customer, [digest])
            raise
        await bulk.blobs.delete(place.customer, replaced)

    async def _half_done(self) -> set[MemoryId]:
        """Memories of the operation's last page: all before it were done when it was noted."""
        pages = await self.bulk.last(self.place)
        if not pages or pages[-1].operation != self.operation:
            return set()
        return (await self.bulk.content(self.place, pages[-1])).concerned

    async def close(self) -> None:
        """The operation is over: another may take its place."""
        bulk, place = self.bulk, self.place
        await bulk.records.write(lambda transaction: transaction.close_undo_pages(place, self.operation))


def _outside(retention: Retention) -> list[MemoryFilter]:
    found: list[MemoryFilter] = []
    if retention.max_age is not None:
        found.append(MemoryFilter(before=journal.now() - timedelta(seconds=retention.max_age)))
    if retention.max_entities is not None:
        found.append(MemoryFilter(beyond=retention.max_entities))
    return found


def _same(known: Entity, brought: Entity) -> bool:
    """Whether nothing would change; how often something was used is not content."""
    uses = {"accessed": 0, "last_accessed": None}
    return known.model_copy(update=uses) == brought.model_copy(update=uses)


def _name(place: Place) -> str:
    return str(ScopeKind.GLOBAL if place.workspace == GLOBAL_PLACE else ScopeKind.WORKSPACE)
