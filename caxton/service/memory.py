"""Memory for people: look, add, correct, relate, remove, take out and bring in."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from caxton.activities import journal
from caxton.activities.memories import Memories, Noticed
from caxton.domain.errors import Hint, InvalidInput, MemoryUnavailable, NotFound
from caxton.domain.events.memory import MemoryEdited, MemoryPurged
from caxton.domain.ids import Scope, new_id
from caxton.domain.memory import (
    METADATA_LIMIT,
    Entity,
    Match,
    MemoryId,
    MemoryPath,
    MemoryQuery,
    MemoryScope,
    Provenance,
    Relation,
    RelationId,
    ScopeKind,
)
from caxton.domain.memory_port import MemoryFilter, Place
from caxton.domain.records import Records
from caxton.service.context import Caller, Role

FORMAT = 1
"""Version of the lines of an export."""

PAGE = 500
"""Entities read at once, by exports and purges."""


class NewMemory(BaseModel):
    """A memory to add."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(min_length=1, max_length=64 << 10)
    scope: MemoryScope = MemoryScope()
    name: str = Field(default="", max_length=200)
    type: str = Field(default="note", min_length=1, max_length=64, pattern=r"^[\w.-]+$")
    metadata: dict[str, Any] = {}


class Edit(BaseModel):
    """What to change of a memory; what is None stays."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(default=None, max_length=200)
    observations: list[str] | None = Field(default=None, min_length=1, max_length=100)
    metadata: dict[str, Any] | None = None


class MemoryCounts(BaseModel):
    """How much there is in a workspace, or in what all workspaces share."""

    entities: int
    relations: int
    by_scope: dict[str, int]
    bytes: int
    indexed: int


class PurgePreview(BaseModel):
    """What a purge removes, or has removed."""

    count: int
    dry_run: bool
    examples: list[str] = []
    """Beginnings of the first texts."""


class Imported(BaseModel):
    """What an import brought."""

    entities: int
    relations: int


class MemoryAdministration:
    """Use cases on memory."""

    def __init__(self, memories: Memories | None, records: Records) -> None:
        """Work on `memories`; None where the server has none."""
        self._memories = memories
        self.records = records

    @property
    def memories(self) -> Memories:
        """The memory.

        Raises:
            MemoryUnavailable: the server has none.
        """
        if self._memories is None:
            raise MemoryUnavailable(
                "this server has no memory", Hint(text="set enabled = true in [memory] of its caxton.toml")
            )
        return self._memories

    async def add(self, caller: Caller, memory: NewMemory) -> Entity:
        """Adds a memory; equal content in the same scope is kept once."""
        caller.require(Role.DEVELOPER)
        check_metadata(memory.metadata)
        noticed = Noticed(
            memory.text, memory.scope, memory.name, memory.type, memory.metadata, Provenance(actor=caller.actor)
        )
        [entity] = await self.memories.remember(caller.scope, [noticed], caller.actor)
        return entity

    async def search(self, caller: Caller, query: MemoryQuery) -> list[Match]:
        """The best matches, best first."""
        return await self.memories.recall(caller.scope, query, caller.actor)

    async def show(self, caller: Caller, memory_id: str) -> tuple[Entity, list[Relation]]:
        """A memory with its relations.

        Raises:
            NotFound: there is none of that id.
        """
        place, entity = await self._find(caller.scope, memory_id)
        memories = self.memories
        relations = await memories.run(lambda: memories.backend.relations(place, [entity.id]))
        return entity, relations

    async def list_memories(
        self, caller: Caller, *, scope: MemoryScope, type_: str | None, after: str | None, limit: int
    ) -> list[Entity]:
        """Memories of a scope by id, from behind `after`."""
        place = Place.of(caller.scope.customer, caller.scope.workspace, scope)
        wanted = MemoryFilter(scope=scope, type=type_)
        memories, start = self.memories, MemoryId(after) if after else None
        return await memories.run(
            lambda: memories.backend.get(place, memories.backend.ids(place, wanted, after=start, limit=limit))
        )

    async def edit(self, caller: Caller, memory_id: str, edit: Edit) -> Entity:
        """Corrects a memory; the log has the hashes before and after.

        Raises:
            NotFound: there is none of that id.
            InvalidInput: the change is not possible.
        """
        caller.require(Role.DEVELOPER)
        place, entity = await self._find(caller.scope, memory_id)
        changes: dict[str, Any] = edit.model_dump(exclude_none=True)
        if "metadata" in changes:
            check_metadata(changes["metadata"])
        if any(not text.strip() for text in changes.get("observations", [])):
            raise InvalidInput("an observation is empty")
        after = entity.model_copy(update={**changes, "updated_at": journal.now()})
        memories = self.memories

        def put() -> None:
            memories.backend.put(place, [after], memories.embedder.embed([after.text]))

        await memories.run(put)
        told = MemoryEdited(memory_id=entity.id, before_hash=entity.content_hash, after_hash=after.content_hash)
        await self._tell(caller, told)
        return after

    async def delete(self, caller: Caller, memory_id: str) -> None:
        """Removes a memory with its relations.

        Raises:
            NotFound: there is none of that id.
        """
        caller.require(Role.DEVELOPER)
        await self._find(caller.scope, memory_id)
        await self.memories.forget(caller.scope, [MemoryId(memory_id)], caller.actor, "UserInitiated")

    async def relate(
        self, caller: Caller, source: str, relation_type: str, target: str, properties: Mapping[str, Any]
    ) -> Relation:
        """Relates two memories of the same place."""
        caller.require(Role.DEVELOPER)
        place, _ = await self._find(caller.scope, source)
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
        """Removes a relation.

        Raises:
            NotFound: there is none of that id.
        """
        caller.require(Role.DEVELOPER)
        memories = self.memories
        for place in self._places(caller.scope):
            if await memories.run(lambda place=place: memories.backend.unrelate(place, [RelationId(relation_id)])):
                return
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
        for name, place in zip(("workspace", "shared"), self._places(caller.scope), strict=True):
            stats = await memories.run(lambda place=place: memories.backend.statistics(place))
            found[name] = MemoryCounts(
                entities=stats.entities,
                relations=stats.relations,
                by_scope=dict(stats.by_scope),
                bytes=stats.bytes,
                indexed=stats.indexed,
            )
        return found

    async def purge(
        self, caller: Caller, scope: MemoryScope | None, before: datetime | None, *, dry_run: bool
    ) -> PurgePreview:
        """Removes the memories of a scope (of the whole workspace, for None), or those not touched since a moment.

        Raises:
            NotPermitted: the caller is no operator.
        """
        caller.require(Role.OPERATOR)
        memories = self.memories
        place = Place.of(caller.scope.customer, caller.scope.workspace, scope or MemoryScope())
        wanted = MemoryFilter(scope=scope, before=before)
        count, examples, after = 0, list[str](), None
        if not dry_run and scope is None and before is None:
            stats = await memories.run(lambda: memories.backend.statistics(place))
            await memories.run(lambda: memories.backend.forget(place))
            count = stats.entities
        else:
            while True:
                batch = await memories.run(lambda after=after: _page(memories, place, wanted, after))
                if not batch:
                    break
                examples += [entity.text[:80] for entity in batch][: max(0, 5 - len(examples))]
                count, after = count + len(batch), batch[-1].id
                if not dry_run:
                    await memories.run(
                        lambda batch=batch: memories.backend.delete(place, [entity.id for entity in batch])
                    )
            if not dry_run and count:
                await memories.run(lambda: memories.backend.maintain(place))
        if not dry_run and count:
            purged = MemoryPurged(scope=str(scope or "workspace"), count_removed=count, reason="UserInitiated")
            await self._tell(caller, purged)
        return PurgePreview(count=count, dry_run=dry_run, examples=examples if dry_run else [])

    async def export(self, caller: Caller) -> AsyncIterator[bytes]:
        """The workspace's memories as lines of JSON: a header, entities, relations. Vectors are made again on import.

        Raises:
            NotPermitted: the caller is no operator.
        """
        caller.require(Role.OPERATOR)
        return self._export(caller)

    async def _export(self, caller: Caller) -> AsyncIterator[bytes]:
        memories = self.memories
        place = self._places(caller.scope)[0]
        header = {"caxton": "memory", "format": FORMAT, "embedder": memories.embedder.id}
        yield _line(header)
        after: MemoryId | None = None
        while True:
            batch = await memories.run(lambda after=after: _page(memories, place, MemoryFilter(), after))
            if not batch:
                break
            relations = await memories.run(
                lambda batch=batch: memories.backend.relations(place, [entity.id for entity in batch])
            )
            ids = {entity.id for entity in batch}
            yield b"".join(_line({"entity": entity.model_dump(mode="json")}) for entity in batch)
            own = [relation for relation in relations if relation.source in ids]
            yield b"".join(_line({"relation": relation.model_dump(mode="json")}) for relation in own)
            after = batch[-1].id
        yield _line({"end": True})

    async def bring_in(self, caller: Caller, text: str) -> Imported:
        """Takes what an export wrote; what is there already is replaced, so that an import can be done again.

        Raises:
            InvalidInput: a line is not what an export writes, or the end is missing: nothing was taken then.
        """
        caller.require(Role.OPERATOR)
        entities, relations = _read_export(text)
        memories = self.memories
        place = self._places(caller.scope)[0]

        def put() -> None:
            for start in range(0, len(entities), 64):
                batch = entities[start : start + 64]
                memories.backend.put(place, batch, memories.embedder.embed([entity.text for entity in batch]))
            memories.backend.relate(place, relations)

        await memories.run(put)
        return Imported(entities=len(entities), relations=len(relations))

    def _places(self, scope: Scope) -> tuple[Place, Place]:
        own = Place.of(scope.customer, scope.workspace, MemoryScope())
        return own, Place.of(scope.customer, scope.workspace, MemoryScope(kind=ScopeKind.GLOBAL))

    async def _find(self, scope: Scope, memory_id: str) -> tuple[Place, Entity]:
        memories = self.memories
        for place in self._places(scope):
            found = await memories.run(lambda place=place: memories.backend.get(place, [MemoryId(memory_id)]))
            if found:
                return place, found[0]
        raise NotFound(
            f'there is no memory "{memory_id[:64]}"',
            Hint(text="find it", command='caxton memory search "…"'),
            details={"memory": memory_id[:64]},
        )

    async def _tell(self, caller: Caller, payload: MemoryEdited | MemoryPurged) -> None:
        event = journal.note(caller.scope, payload, new_id("memory"), actor=caller.actor)
        await self.records.write(lambda transaction: transaction.add_events(caller.scope, [event]))


def _page(memories: Memories, place: Place, wanted: MemoryFilter, after: MemoryId | None) -> list[Entity]:
    return memories.backend.get(place, memories.backend.ids(place, wanted, after=after, limit=PAGE))


def check_metadata(metadata: Mapping[str, Any]) -> None:
    """Refuses metadata that is too large.

    Raises:
        InvalidInput: it is.
    """
    if len(json.dumps(metadata, ensure_ascii=False).encode(errors="replace")) > METADATA_LIMIT:
        raise InvalidInput(f"the metadata is larger than {METADATA_LIMIT >> 10} KB")


def _line(data: Mapping[str, Any]) -> bytes:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _read_export(text: str) -> tuple[list[Entity], list[Relation]]:
    entities: list[Entity] = []
    relations: list[Relation] = []
    ended = False
    for number, line in enumerate(filter(str.strip, text.splitlines()), 1):
        try:
            data = json.loads(line)
            if number == 1:
                _check_header(data)
            elif "entity" in data:
                entities.append(Entity.model_validate(data["entity"]))
            elif "relation" in data:
                relations.append(Relation.model_validate(data["relation"]))
            elif data.get("end"):
                ended = True
            else:
                raise InvalidInput(f"line {number} is nothing that an export writes")
        except (ValueError, ValidationError, AttributeError):
            raise InvalidInput(
                f"line {number} is nothing that an export writes", "nothing was taken; give what an export wrote"
            ) from None
    if not ended:
        raise InvalidInput("the file was cut off: its last line is missing", "nothing was taken; export it again")
    return entities, relations


def _check_header(data: Mapping[str, Any]) -> None:
    if data.get("caxton") != "memory":
        raise InvalidInput("this is no export of memories", "nothing was taken")
    if int(data.get("format", 0)) > FORMAT:
        raise InvalidInput(
            f"the file is of a newer version of Caxton (format {data['format']})", "upgrade first; nothing was taken"
        )
