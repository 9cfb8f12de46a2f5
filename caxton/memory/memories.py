"""Operations on memory: find, store, relate, remove. Shared by people's requests, agents' tools and the store."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from caxton.domain.agents import AgentSpec
from caxton.domain.errors import InvalidInput, MemoryUnavailable
from caxton.domain.events import Payload
from caxton.domain.events.memory import MemoriesFound, MemoryChangeBegun, MemoryPurged, MemoryStored, RelationCreated
from caxton.domain.fair_threads import FairThreads
from caxton.domain.ids import Scope, new_id
from caxton.domain.memory import (
    MOST_HOPS,
    Entity,
    Match,
    MemoryId,
    MemoryPath,
    MemoryQuery,
    MemoryScope,
    Provenance,
    Relation,
    ScopeKind,
    check_entity,
    check_json,
    memory_id,
    relation_id,
)
from caxton.domain.memory_port import Embedder, MemoryBackend, Place, places_of
from caxton.domain.records import Records
from caxton.recording import journal
from caxton.recording.contents import hash_of

T = TypeVar("T")

log = logging.getLogger(__name__)

THREADS = 4
"""Uses of memory at a time, in fair shares: to find the meaning of a long text takes a tenth of a second of CPU."""

EXTRA_THREADS = 2
"""For customers that come while others use all of them."""

MAINTAIN_EVERY = 5.0
"""Seconds between looks whether a place has to be maintained."""


@dataclass(frozen=True, slots=True)
class Noticed:
    """A memory as it is to be kept."""

    text: str
    scope: MemoryScope
    name: str = ""
    type: str = "note"
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    provenance: Provenance = field(default_factory=Provenance)


class Memories:
    """Use of memory, each with its event. Blocking work goes to threads of its own."""

    def __init__(self, name: str, backend: MemoryBackend, embedder: Embedder, records: Records) -> None:
        """Join what memory needs; `name` is the back end's."""
        self.name = name
        self.backend = backend
        self.embedder = embedder
        self.records = records
        self._threads = FairThreads(THREADS, "memory", EXTRA_THREADS)
        self._background = ThreadPoolExecutor(1, thread_name_prefix="memory-background")
        """For what nobody waits for."""
        self._maintainer = ThreadPoolExecutor(1, thread_name_prefix="memory-maintenance")
        self._closing = False
        self._failed: MemoryUnavailable | None = None
        """How the last use of it failed: damaged files show only when they are read."""

    async def embed(self, scope: Scope, texts: Sequence[str]) -> list[list[float]]:
        """A vector for each text, as memories have them.

        Raises:
            MemoryUnavailable: the embedder cannot be reached.
        """
        return await self._run(scope.customer, lambda: self.embedder.embed(texts))

    async def remember(self, scope: Scope, noticed: Sequence[Noticed], actor: str) -> list[Entity]:
        """Keeps memories; equal content in one scope is kept once. They can be found when this returns.

        Raises:
            InvalidInput: a text is empty or too long.
            MemoryUnavailable: they could not be kept.
        """
        started = time.perf_counter()
        entities = list({entity.id: entity for entity in map(_entity, noticed)}.values())

        def work() -> list[Entity]:
            kept: list[Entity] = []
            by_place: dict[Place, list[Entity]] = {}
            for entity in entities:
                by_place.setdefault(Place.of(scope.customer, scope.workspace, entity.scope), []).append(entity)
            for place, found in by_place.items():
                vectors = self.embedder.embed([entity.text for entity in found])
                with self.backend.lock(place):  # two that remember the same at once lose nothing of either
                    merged = [self._joined(place, entity) for entity in found]
                    self.backend.put(place, merged, vectors)
                kept += merged
            return kept

        await self.intend(scope, actor, "remember", sorted({str(entity.scope) for entity in entities}), len(entities))
        kept = await self._run(scope.customer, work)
        took = round((time.perf_counter() - started) * 1000, 3)
        await self._tell(
            scope,
            actor,
            [
                MemoryStored(
                    memory_id=entity.id,
                    scope=str(entity.scope),
                    content_hash=entity.content_hash,
                    embedding_generated=True,
                    storage_time_ms=took,
                )
                for entity in kept
            ],
        )
        return kept

    def _joined(self, place: Place, fresh: Entity) -> Entity:
        """What is to be kept of `fresh`: joined with what is there of equal content, under an id that no other content has."""
        for attempt in range(20):
            identity = memory_id(fresh.content_hash, attempt)
            known = self.backend.get(place, [identity])
            if not known or known[0].content_hash == fresh.content_hash:
                joined = _merge(known[0] if known else None, fresh.model_copy(update={"id": identity}))
                check_entity(joined)
                return joined
        raise InvalidInput("this was remembered and edited away too often", "edit the memory instead")

    async def recall(
        self,
        scope: Scope,
        query: MemoryQuery,
        actor: str,
        *,
        agent: str | None = None,
        count: Callable[[MemoriesFound], Awaitable[None]] | None = None,
    ) -> list[Match]:
        """The best matches over all scopes of the query, best first. `count` takes the event in place of the log.

        Raises:
            MemoryUnavailable: nothing can be searched.
        """
        started = time.perf_counter()

        def work() -> list[Match]:
            places: dict[Place, list[MemoryScope]] = {}
            for each in query.scopes:
                places.setdefault(Place.of(scope.customer, scope.workspace, each), []).append(each)
            places = {place: scopes for place, scopes in places.items() if self.backend.exists(place)}
            vector = self.embedder.embed([query.text])[0] if places and query.mode != "text" else None
            matches: list[Match] = []
            for place, scopes in places.items():
                own = query.model_copy(update={"scopes": tuple(scopes)})
                matches += self.backend.search(place, own, vector)
            matches.sort(key=lambda match: (-match.score, match.entity.id))
            found = matches[: query.limit]
            moment = journal.now()
            for place in places:
                ids = [
                    match.entity.id
                    for match in found
                    if Place.of(scope.customer, scope.workspace, match.entity.scope) == place
                ]
                self._background.submit(self.backend.touch, place, ids, moment)
            return found

        found = await self._run(scope.customer, work)
        told = MemoriesFound(
            query_hash=hash_of(query.text),
            results=[str(match.entity.id) for match in found][:50],
            count=len(found),
            search_time_ms=round((time.perf_counter() - started) * 1000, 3),
            used_semantic=query.mode != "text",
        )
        if count is not None:
            await count(told)
        else:
            await self._tell(scope, actor, [told], agent=agent)
        return found

    async def relate(
        self,
        scope: Scope,
        source: MemoryId,
        relation_type: str,
        target: MemoryId,
        properties: Mapping[str, Any],
        actor: str,
        *,
        shared: bool = False,
    ) -> Relation:
        """Keeps a relation between two memories of one place.

        Raises:
            InvalidInput: one of them does not exist there.
        """
        place = places_of(scope.customer, scope.workspace)[shared]
        check_json(properties, "properties")
        relation = Relation(
            id=relation_id(source, relation_type, target),
            source=source,
            target=target,
            type=relation_type,
            properties=dict(properties),
            created_at=journal.now(),
        )

        def work() -> None:
            present = {entity.id for entity in self.backend.get(place, [source, target])}
            for end in (source, target):
                if end not in present:
                    raise InvalidInput(f'there is no memory "{end[:64]}"', "find its id with a search")
            self.backend.relate(place, [relation])

        await self.intend(scope, actor, "relate", [source, target])
        await self._run(scope.customer, work)
        told = RelationCreated(
            relation_id=relation.id, from_memory=source, to_memory=target, relation_type=relation_type
        )
        await self._tell(scope, actor, [told])
        return relation

    async def graph(
        self,
        scope: Scope,
        start: MemoryId,
        *,
        hops: int,
        direction: str,
        types: Sequence[str],
        limit: int,
        shared: bool = False,
    ) -> list[MemoryPath]:
        """Memories that are reached over relations, the nearest first."""
        place = places_of(scope.customer, scope.workspace)[shared]
        within = max(1, min(hops, MOST_HOPS))
        return await self._run(
            scope.customer,
            lambda: self.backend.traverse(place, start, hops=within, direction=direction, types=types, limit=limit),
        )

    async def find(self, scope: Scope, identity: MemoryId) -> tuple[Place, Entity] | None:
        """The memory of that id with its place: the workspace's, or that of what all workspaces share."""
        for place in places_of(scope.customer, scope.workspace):
            found = await self._run(scope.customer, lambda place=place: self.backend.get(place, [identity]))
            if found:
                return place, found[0]
        return None

    async def forget(self, scope: Scope, ids: Sequence[MemoryId], actor: str, reason: str) -> int:
        """Removes memories with their relations. Returns how many there were."""
        places = places_of(scope.customer, scope.workspace)
        await self.intend(scope, actor, "forget", list(map(str, ids)), len(ids))
        removed = await self._run(scope.customer, lambda: sum(self.backend.delete(place, ids) for place in places))
        if removed:
            await self._tell(scope, actor, [MemoryPurged(scope="ids", count_removed=removed, reason=reason)])
        return removed

    async def keep_maintained(self) -> None:
        """Builds and merges indices where there is something to do, forever, in a thread of its own.

        Every process does it for what it has written: an API without a worker writes, too.
        """
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(MAINTAIN_EVERY)
            try:
                await loop.run_in_executor(self._maintainer, self._maintain)
            except Exception:
                log.exception("memory could not be maintained; it is tried again in %d seconds", MAINTAIN_EVERY)

    def _maintain(self) -> None:
        for place in self.backend.unsettled():
            if self._closing:
                return
            try:
                self.backend.maintain(place)
            except MemoryUnavailable as error:
                log.warning("memory could not be maintained: %s", error.message)

    def warm(self) -> None:
        """Loads the model in the background, so that the first request does not wait for it."""
        self._background.submit(self._warm)

    def _warm(self) -> None:
        try:
            self.embedder.embed(["warm"])
        except MemoryUnavailable as error:
            log.warning("memory does not work yet: %s", error.message)

    async def check(self) -> str:
        """What it is made of, if it answers.

        Raises:
            MemoryUnavailable: it does not.
        """
        await asyncio.get_running_loop().run_in_executor(self._background, self.backend.check)
        if self._failed is not None:
            raise self._failed
        return f"{self.name}, {self.embedder.id}"

    async def run(self, customer: str, work: Callable[[], T]) -> T:
        """Runs other blocking work on the back end, on behalf of `customer`."""
        return await self._run(customer, work)

    async def _run(self, customer: str, work: Callable[[], T]) -> T:
        try:
            found = await self._threads.run(customer, None, work)
        except MemoryUnavailable as error:
            self._failed = error
            raise
        self._failed = None
        return found

    async def intend(
        self, scope: Scope, actor: str, operation: str, subjects: Sequence[str] = (), count: int | None = None
    ) -> None:
        """Tells in the log what is about to be changed: memory is not part of the store's transactions, so this comes first.

        Raises:
            StoreUnavailable: it cannot be told, so nothing must be changed.
            DiskFull: the same.
        """
        begun = MemoryChangeBegun(operation=operation, subjects=[each[:200] for each in subjects[:20]], count=count)
        await self._tell(scope, actor, [begun])

    async def _tell(self, scope: Scope, actor: str, told: Sequence[Payload], *, agent: str | None = None) -> None:
        events = [journal.note(scope, payload, new_id("memory"), actor=actor, agent=agent) for payload in told]
        if events:
            await self.records.write(lambda transaction: transaction.add_events(scope, events))

    def close(self) -> None:
        """Ends the threads."""
        self._closing = True
        self._threads.close()
        self._background.shutdown()
        self.backend.close()
        self._maintainer.shutdown()


def scopes_of(spec: AgentSpec, workspace_conversation: str | None) -> tuple[MemoryScope, ...]:
    """The scopes that an agent searches: its own kind, and what is shared with everybody."""
    own = own_scope(spec, workspace_conversation)
    shared = (MemoryScope(kind=ScopeKind.WORKSPACE), MemoryScope(kind=ScopeKind.GLOBAL))
    return tuple(dict.fromkeys((own, *shared)))


def own_scope(spec: AgentSpec, conversation: str | None) -> MemoryScope:
    """The scope that an agent writes to."""
    kind = spec.memory.scope
    if kind is ScopeKind.AGENT:
        return MemoryScope(kind=kind, owner=spec.name)
    if kind is ScopeKind.CONVERSATION and conversation:
        return MemoryScope(kind=kind, owner=conversation)
    return MemoryScope(kind=ScopeKind.WORKSPACE if kind is ScopeKind.CONVERSATION else kind)


def _entity(noticed: Noticed) -> Entity:
    text = noticed.text.replace("\0", "").strip()
    moment = journal.now()
    entity = Entity(
        id=MemoryId(""),
        scope=noticed.scope,
        name=noticed.name,
        type=noticed.type,
        observations=[text or " "],
        metadata=dict(noticed.metadata),
        provenance=noticed.provenance,
        created_at=moment,
        updated_at=moment,
    )
    check_entity(entity)
    return entity.model_copy(update={"id": memory_id(entity.content_hash)})


def _merge(known: Entity | None, fresh: Entity) -> Entity:
    """Equal content again: one memory, as new as the latest, with the metadata of both."""
    if known is None:
        return fresh
    return known.model_copy(update={"metadata": {**known.metadata, **fresh.metadata}, "updated_at": fresh.updated_at})
