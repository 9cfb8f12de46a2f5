"""Qdrant as a back end: collections for each workspace, so that no query can reach another's memories.

An entity is a point with the vectors of its meaning and a sparse vector of its words. All that is not a vector is payload.
Qdrant indexes and compacts by itself; what deleted content leaves in a server's files goes when it next optimises a segment.
"""

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from caxton.adapters.memory.accesses import Accesses
from caxton.adapters.memory.lance_rows import made_from, micros, relation_row, row_entity, row_relation, vector_column
from caxton.adapters.memory.qdrant_collections import WORDS, Collections, Name
from caxton.adapters.memory.qdrant_options import Server, server_of
from caxton.adapters.memory.qdrant_points import Filters, entity_payload, is_usual, point_id
from caxton.adapters.memory.ranking import candidates, cosine, ranked
from caxton.adapters.memory.walking import walk
from caxton.adapters.memory.words import asked, weights
from caxton.domain.memory import Entity, Match, MemoryId, MemoryPath, MemoryQuery, Relation, RelationId
from caxton.domain.memory_port import MemoryConfig, MemoryFilter, MemoryStatistics, Place

log = logging.getLogger(__name__)

SEARCH_WIDTH = 100
"""`ef` of HNSW: how many neighbours are kept in view."""

MOST_SCOPES = 1_000_000
"""Scopes of one place that are counted."""

SECONDS_BEFORE_MAINTENANCE = 30.0


def qdrant_memory(config: MemoryConfig) -> "QdrantMemory":
    """The factory that stands in the entry points. It does not ask the server anything: that may come up later.

    Raises:
        InvalidSettings: an option is wrong.
        MemoryUnavailable: there is no server, and another process has the folder open.
    """
    return QdrantMemory(config, server_of(config.options))


class QdrantMemory:
    """The MemoryBackend port over Qdrant."""

    def __init__(self, config: MemoryConfig, server: Server | None) -> None:
        """Keep memories on `server`, or below the configured folder for this process alone."""
        self._column = vector_column(config.embedder_id)
        self._collections = Collections(config.folder, self._column, config.dimensions, server)
        self._client = self._collections.client
        self._models = self._collections.models
        self._filters = Filters(self._models)
        self._accesses = Accesses()
        self._changed: dict[Place, float] = {}
        self._guard = threading.Lock()
        self._locks: dict[Place, AbstractContextManager[Any]] = {}

    # --- entities ---

    def put(self, place: Place, entities: Sequence[Entity], vectors: Sequence[Sequence[float]]) -> None:
        """Keeps entities, in place of those of the same ids."""
        self._accesses.forget(place, [entity.id for entity in entities])
        points = {entity.id: self._point(entity, vector) for entity, vector in zip(entities, vectors, strict=True)}
        self._upsert(place, "entities", list(points.values()))

    def _point(self, entity: Entity, vector: Sequence[float]) -> Any:
        vectors: dict[str, Any] = {self._column: list(vector)}
        numbers, values = weights(entity.text)
        if numbers:
            vectors[WORDS] = self._models.SparseVector(indices=numbers, values=values)
        return self._models.PointStruct(id=point_id(entity.id), vector=vectors, payload=entity_payload(entity))

    def get(self, place: Place, ids: Sequence[MemoryId]) -> list[Entity]:
        """Those of the entities that exist, in the order of `ids`."""
        found = {row["id"]: row for row in self._collections.retrieve(place, "entities", ids)}
        return [self._entity(place, found[identity]) for identity in ids if identity in found]

    def exists(self, place: Place) -> bool:
        """Whether anything was ever kept there."""
        return self._collections.run(place, "entities", lambda _: True, False)

    def search(self, place: Place, query: MemoryQuery, vector: Sequence[float] | None) -> list[Match]:
        """The best matches, best first."""
        requests: dict[str, Any] = {}
        if query.mode != "text" and vector is not None:
            width = self._models.SearchParams(hnsw_ef=max(SEARCH_WIDTH, candidates(query)))
            # The local mode looks at every point, and warns of parameters.
            requests[self._column] = list(vector), width if self._collections.remote else None
        numbers, values = asked(query.text)
        if query.mode != "vector" and numbers:
            requests[WORDS] = self._models.SparseVector(indices=numbers, values=values), None
        found = self._query(place, query, requests) if requests else {}
        worded = found.get(WORDS, [])

        def similarity_of(row: Mapping[str, Any]) -> float | None:
            kept: list[float] | None = row.get(self._column)
            return None if kept is None or vector is None else cosine(vector, kept)

        return ranked(
            query,
            found.get(self._column, []),
            worded,
            lambda row: self._entity(place, row),
            similarity_of=similarity_of,
            count=self._collections.count(place, "entities") if query.mode == "hybrid" and worded else 0,
        )

    def _query(
        self, place: Place, query: MemoryQuery, requests: Mapping[str, tuple[Any, Any]]
    ) -> dict[str, list[tuple[dict[str, Any], float]]]:
        """Payload and score of what is nearest, for each named vector: one request.

        What is found by its words in a hybrid search has its vector of the meaning with it.
        """
        condition = self._filters.of_query(query)
        asking = [
            self._models.QueryRequest(
                query=self._models.NearestQuery(nearest=wanted),
                using=name,
                filter=condition,
                params=params,
                limit=candidates(query),
                with_payload=True,
                with_vector=[self._column] if name == WORDS and query.mode == "hybrid" else False,
            )
            for name, (wanted, params) in requests.items()
        ]
        answers: list[Any] = self._collections.run(
            place, "entities", lambda collection: self._client.query_batch_points(collection, requests=asking), []
        )
        return {
            name: [({**(point.vector or {}), **point.payload}, float(point.score)) for point in answer.points]
            for name, answer in zip(requests, answers, strict=False)
        }

    def ids(
        self, place: Place, wanted: MemoryFilter, *, after: MemoryId | None = None, limit: int | None = None
    ) -> list[MemoryId]:
        """Ids of the entities that are meant, sorted, from behind `after`."""
        condition = self._filters.of_filter(wanted)
        if wanted.conversations:
            return self._ids_of(place, wanted)[:limit]
        if wanted.beyond is None and self._is_sorted(place, after):
            start = point_id(after) if after is not None else None
            more = limit + 1 if limit is not None else None  # `after` itself may be the first
            rows = self._collections.scroll(place, "entities", condition, ["id"], limit=more, start=start)
        else:
            rows = self._collections.scroll(place, "entities", condition, ["id", "updated_at"])
        if wanted.beyond is not None:
            rows.sort(key=lambda row: (row["updated_at"], row["id"]), reverse=True)
            rows = rows[wanted.beyond :]
        found = sorted(row["id"] for row in rows if after is None or row["id"] > after)
        return [MemoryId(identity) for identity in found[:limit]]

    def _ids_of(self, place: Place, wanted: MemoryFilter) -> list[MemoryId]:
        """Those of conversations: where a memory comes from is text that Qdrant does not look into."""
        rows = self._collections.scroll(
            place, "entities", self._filters.of_filter(wanted), ["id", "scope", "provenance"]
        )
        scopes = {f"conversation:{each}" for each in wanted.conversations}
        made = [made_from(each) for each in wanted.conversations]
        of_them = [
            row["id"] for row in rows if row["scope"] in scopes or any(each in row["provenance"] for each in made)
        ]
        return [MemoryId(identity) for identity in sorted(of_them)]

    def _is_sorted(self, place: Place, after: MemoryId | None) -> bool:
        """Whether Qdrant's order is that of our ids."""
        if after is not None and not is_usual(after):
            return False
        return not self._collections.count(place, "entities", self._filters.all([self._filters.equal("odd", True)]))

    def delete(self, place: Place, ids: Sequence[MemoryId]) -> int:
        """Removes entities with their relations: these first, so that one that failed can be repeated."""
        if not ids:
            return 0
        self._accesses.forget(place, ids)
        self._delete(
            place, "relations", self._filters.any(self._filters.one_of(end, ids) for end in ("source", "target"))
        )
        return self._delete(place, "entities", self._filters.all([self._filters.ids(ids)]))

    def touch(self, place: Place, ids: Sequence[MemoryId], moment: datetime) -> None:
        """Counts an access: here at once, in Qdrant with the next maintenance."""
        if ids:
            self._accesses.count(place, ids, moment)
            self._note_change(place)

    def _write_accesses(self, place: Place) -> None:
        accesses = self._accesses.take(place)
        by_values: dict[tuple[int, int], list[str]] = {}
        for row in self._collections.retrieve(place, "entities", list(accesses)):
            count, moment = accesses[row["id"]]
            by_values.setdefault((row["accessed"] + count, micros(moment)), []).append(row["id"])
        models = self._models
        operations = [
            models.SetPayloadOperation(
                set_payload=models.SetPayload(
                    payload={"accessed": count, "last_accessed": moment},
                    filter=self._filters.all([self._filters.ids(ids)]),  # no error when one has been removed since
                )
            )
            for (count, moment), ids in by_values.items()
        ]
        if operations:
            self._collections.run(
                place, "entities", lambda name: self._client.batch_update_points(name, operations, wait=True), None
            )

    def _entity(self, place: Place, row: Mapping[str, Any]) -> Entity:
        return self._accesses.joined(place, row_entity(row))

    def lock(self, place: Place) -> AbstractContextManager[None]:
        """No other thread of this process writes meanwhile; Qdrant has no locks between processes."""
        with self._guard:
            return self._locks.setdefault(place, threading.RLock())

    def stale_count(self, place: Place) -> int:
        """How many entities have vectors that another embedder made."""
        return self._collections.count(place, "entities", self._filters.without(self._column))

    def stale(self, place: Place, limit: int) -> list[Entity]:
        """Some entities whose vectors another embedder made."""
        rows = self._collections.scroll(place, "entities", self._filters.without(self._column), limit=limit)
        return [self._entity(place, row) for row in rows]

    def reembed(self, place: Place, entities: Sequence[Entity], vectors: Sequence[Sequence[float]]) -> None:
        """Gives entities new vectors; one that was changed or removed since it was read is left as it is."""
        self._accesses.forget(place, [entity.id for entity in entities])
        points = [self._point(entity, vector) for entity, vector in zip(entities, vectors, strict=True)]
        self._upsert(
            place,
            "entities",
            points,
            update_filter=self._filters.unchanged(entities),
            update_mode=self._models.UpdateMode.UPDATE_ONLY,
        )

    # --- relations ---

    def relate(self, place: Place, relations: Sequence[Relation]) -> None:
        """Keeps relations."""
        rows = {relation.id: relation_row(relation) for relation in relations}
        points = [self._models.PointStruct(id=point_id(each), vector={}, payload=row) for each, row in rows.items()]
        self._upsert(place, "relations", points)

    def relations(self, place: Place, ids: Sequence[MemoryId]) -> list[Relation]:
        """All relations from or to the entities."""
        rows = self._touching(place, ("source", "target"), ids)
        return sorted((row_relation(row) for row in rows), key=lambda relation: relation.id)

    def unrelate(self, place: Place, ids: Sequence[RelationId]) -> int:
        """Removes relations."""
        return self._delete(place, "relations", self._filters.all([self._filters.ids(ids)])) if ids else 0

    def traverse(
        self, place: Place, start: MemoryId, *, hops: int, direction: str, types: Sequence[str], limit: int
    ) -> list[MemoryPath]:
        """What is reached from `start`, the nearest first."""
        reached = walk(
            start,
            hops=hops,
            direction=direction,
            limit=limit,
            touching=lambda ends, ids: self._touching(place, ends, ids, types),
        )
        return [
            MemoryPath(entity=entity, hops=len(reached[entity.id]), relations=reached[entity.id])
            for entity in self.get(place, list(reached))
        ]

    def _touching(
        self, place: Place, ends: Sequence[str], ids: Sequence[str], types: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        parts = [self._filters.any(self._filters.one_of(end, ids) for end in ends)]
        if types:
            parts.append(self._filters.one_of("type", types))
        return self._collections.scroll(place, "relations", self._filters.all(parts)) if ids else []

    # --- places ---

    def statistics(self, place: Place) -> MemoryStatistics:
        """How much there is."""
        hits: list[Any] = self._collections.run(
            place,
            "entities",
            lambda collection: self._client.facet(collection, "scope", limit=MOST_SCOPES, exact=True).hits,
            [],
        )
        by_scope = {str(hit.value): int(hit.count) for hit in hits}
        entities = sum(by_scope.values())
        indexed: int = self._collections.run(
            place, "entities", lambda collection: self._client.get_collection(collection).indexed_vectors_count or 0, 0
        )
        return MemoryStatistics(
            entities=entities,
            relations=self._collections.count(place, "relations", None),
            by_scope=by_scope,
            bytes=self._collections.size(place),
            indexed=min(indexed, entities),  # Qdrant counts vectors, of which an entity may have several
            stale=self._collections.count(place, "entities", self._filters.without(self._column)),
        )

    def forget(self, place: Place) -> None:
        """Removes everything of a place: its collections."""
        self._accesses.take(place)
        with self._guard:
            self._changed.pop(place, None)
        self._collections.forget(place)

    def unsettled(self) -> list[Place]:
        """Places with accesses to write down, or with deleted content in the files of the local mode."""
        due = time.monotonic() - SECONDS_BEFORE_MAINTENANCE
        with self._guard:
            return [place for place, since in self._changed.items() if since <= due]

    def maintain(self, place: Place) -> None:
        """Writes down accesses, and drops vectors that nobody uses. The rest a server does itself."""
        with self._guard:
            self._changed.pop(place, None)
        self._write_accesses(place)
        if not self._collections.count(place, "entities", self._filters.without(self._column)):
            self._collections.drop_old_vectors(place)
        self._collections.settle(place)

    def check(self) -> None:
        """Whether Qdrant answers.

        Raises:
            MemoryUnavailable: it does not.
        """
        self._collections.check()

    def close(self) -> None:
        """Writes down what was counted."""
        self._accesses.write_all(self._write_accesses)
        self._collections.close()

    def _note_change(self, place: Place) -> None:
        with self._guard:
            self._changed.setdefault(place, time.monotonic())

    def _upsert(self, place: Place, name: Name, points: Sequence[Any], **condition: Any) -> None:
        self._note_change(place)
        self._collections.upsert(place, name, points, **condition)

    def _delete(self, place: Place, name: Name, condition: Any) -> int:
        self._note_change(place)
        return self._collections.delete(place, name, condition)
