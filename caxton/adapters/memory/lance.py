"""The embedded back end: LanceDB, one folder per workspace, so that no query can reach another's memories.

Writes are visible to all processes when they return. Indices are built by :meth:`LanceMemory.maintain`, in the background; what
is not in them yet is searched one by one. Hops follow a table of relations by both ends.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from importlib import import_module
from typing import Any

from caxton.adapters.memory.accesses import Accesses
from caxton.adapters.memory.lance_rows import (
    ENTITY_COLUMNS,
    RELATION_COLUMNS,
    VECTOR,
    entity_row,
    filter_condition,
    micros,
    one_of,
    query_condition,
    relation_row,
    row_entity,
    row_relation,
    text,
    vector_column,
)
from caxton.adapters.memory.lance_tables import Name, Tables
from caxton.adapters.memory.ranking import candidates, cosine, ranked
from caxton.adapters.memory.walking import walk
from caxton.domain.errors import InvalidSettings
from caxton.domain.memory import Entity, Match, MemoryId, MemoryPath, MemoryQuery, Relation, RelationId
from caxton.domain.memory_port import MemoryConfig, MemoryFilter, MemoryStatistics, Place

log = logging.getLogger(__name__)

REFINED = 2
"""Rows whose full vectors are compared, for each that is wanted: the index compares coarse ones."""


def lance_memory(config: MemoryConfig) -> "LanceMemory":
    """The factory that stands in the entry points.

    Raises:
        InvalidSettings: there are no options.
    """
    if config.options:
        raise InvalidSettings(f'memory.options: the back end lancedb has no option "{next(iter(config.options))}"')
    return LanceMemory(config)


class LanceMemory:
    """The MemoryBackend port over LanceDB."""

    def __init__(self, config: MemoryConfig) -> None:
        """Keep memories below the configured folder."""
        self._column = vector_column(config.embedder_id)
        self._tables = Tables(config.folder, self._column, config.dimensions)
        self._accesses = Accesses()

    # --- entities ---

    def put(self, place: Place, entities: Sequence[Entity], vectors: Sequence[Sequence[float]]) -> None:
        """Keeps entities, in place of those of the same ids."""
        if not entities:
            return
        with self._tables.lock(place):
            self._accesses.forget(place, [entity.id for entity in entities])
            rows = self._vector_rows(entities, vectors)
            known = self._known(place, list(rows))
            fresh = [row for identity, row in rows.items() if identity not in known]
            changed = [row for identity, row in rows.items() if identity in known]
            if fresh:  # a third of what an upsert costs
                self._tables.write(place, "entities", lambda table: table.add(fresh))
            if changed:
                self._upsert(place, "entities", self._without_old_vectors(place, changed))

    def _known(self, place: Place, ids: Sequence[str]) -> set[str]:
        """Those that are there. Mostly none is, and counting costs a quarter of reading."""
        condition = one_of("id", ids)
        if not self._tables.read(place, "entities", lambda table: table.count_rows(condition), missing=0):
            return set()
        return {row["id"] for row in self._rows(place, "entities", condition, columns=["id"])}

    def _vector_rows(self, entities: Sequence[Entity], vectors: Sequence[Sequence[float]]) -> dict[str, dict[str, Any]]:
        return {
            entity.id: {**entity_row(entity), self._column: list(vector)}
            for entity, vector in zip(entities, vectors, strict=True)
        }

    def _without_old_vectors(self, place: Place, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Rows that replace others also where those have vectors of another embedder."""
        table = self._tables.table(place, "entities", create=True)
        old = {name: None for name in table.schema.names if name.startswith(VECTOR) and name != self._column}
        return [{**old, **row} for row in rows]

    def get(self, place: Place, ids: Sequence[MemoryId]) -> list[Entity]:
        """Those of the entities that exist, in the order of `ids`."""
        found = {row["id"]: row for row in self._rows(place, "entities", one_of("id", ids))}
        return [self._entity(place, found[identity]) for identity in ids if identity in found]

    def exists(self, place: Place) -> bool:
        """Whether anything was ever kept there."""
        return (self._tables.folder(place) / "entities.lance").is_dir()

    def search(self, place: Place, query: MemoryQuery, vector: Sequence[float] | None) -> list[Match]:
        """The best matches, best first."""
        condition = query_condition(query)
        wanted = candidates(query)
        near = worded = list[dict[str, Any]]()
        if query.mode != "text" and vector is not None:
            near = self._by_meaning(place, vector, condition, wanted)
        both = query.mode == "hybrid" and vector is not None
        if query.mode != "vector":
            worded = self._by_words(place, query.text, condition, wanted, [self._column] if both else [])

        def similarity_of(row: Mapping[str, Any]) -> float | None:
            found: list[float] | None = row.get(self._column)
            return None if found is None or vector is None else cosine(vector, found)

        return ranked(
            query,
            ((row, 1.0 - float(row["_distance"])) for row in near),
            ((row, float(row["_score"])) for row in worded),
            lambda row: self._entity(place, row),
            similarity_of=similarity_of,
            count=self._tables.read(place, "entities", lambda table: table.count_rows(), missing=0) if worded else 0,
        )

    def _by_meaning(self, place: Place, vector: Sequence[float], condition: str, limit: int) -> list[dict[str, Any]]:
        return self._tables.read(
            place,
            "entities",
            lambda table: (
                table.search(list(vector), vector_column_name=self._column)
                .distance_type("cosine")
                .refine_factor(REFINED)
                .where(condition, prefilter=True)
                .select([*ENTITY_COLUMNS, "_distance"])
                .limit(limit)
                .to_batches()  # `to_list` asks for the schema again, which takes as long as half of a small query
                .read_all()
                .to_pylist()
            ),
            missing=[],
        )

    def _by_words(
        self, place: Place, words: str, condition: str, limit: int, more: Sequence[str]
    ) -> list[dict[str, Any]]:
        match_query: Any = import_module("lancedb.query").MatchQuery
        return self._tables.read(
            place,
            "entities",
            lambda table: (
                table.search(match_query(words, "text"), query_type="fts")
                .where(condition, prefilter=True)
                .select([*ENTITY_COLUMNS, *more, "_score"])
                .limit(limit)
                .to_list()
            ),
            missing=[],
        )

    def ids(
        self, place: Place, wanted: MemoryFilter, *, after: MemoryId | None = None, limit: int | None = None
    ) -> list[MemoryId]:
        """Ids of the entities that are meant, sorted, from behind `after`."""
        condition = filter_condition(wanted)
        if after is not None and wanted.beyond is None:
            condition = f"({condition}) AND id > {text(after)}"
        rows = self._rows(place, "entities", condition, columns=["id", "updated_at"])
        if wanted.beyond is not None:
            rows.sort(key=lambda row: (row["updated_at"], row["id"]), reverse=True)
            rows = [row for row in rows[wanted.beyond :] if after is None or row["id"] > after]
        return [MemoryId(identity) for identity in sorted(row["id"] for row in rows)[:limit]]

    def delete(self, place: Place, ids: Sequence[MemoryId]) -> int:
        """Removes entities with their relations."""
        with self._tables.lock(place):
            self._accesses.forget(place, ids)
            present = len(self._rows(place, "entities", one_of("id", ids), columns=["id"]))
            if present:
                self._delete(place, "entities", one_of("id", ids))
                self._delete(place, "relations", f"({one_of('source', ids)}) OR ({one_of('target', ids)})")
        return present

    def touch(self, place: Place, ids: Sequence[MemoryId], moment: datetime) -> None:
        """Counts an access: here at once, on the disk with the next maintenance."""
        if ids:
            self._accesses.count(place, ids, moment)
            self._tables.note_access(place)

    def _write_accesses(self, place: Place) -> None:
        accesses = self._accesses.take(place)
        by_count: dict[int, list[MemoryId]] = {}
        for identity, (count, _) in accesses.items():
            by_count.setdefault(count, []).append(identity)
        for count, ids in by_count.items():  # few: one statement for all that were found equally often
            latest = max(accesses[identity][1] for identity in ids)
            values = {"accessed": f"accessed + {count}", "last_accessed": str(micros(latest))}
            self._update(place, one_of("id", ids), values)

    def _update(self, place: Place, condition: str, values: dict[str, str]) -> None:
        self._change(place, "entities", lambda table: table.update(where=condition, values_sql=values))

    def _entity(self, place: Place, row: Mapping[str, Any]) -> Entity:
        return self._accesses.joined(place, row_entity(row))

    def lock(self, place: Place) -> AbstractContextManager[None]:
        """Nobody else writes to the place meanwhile, over all processes."""
        return self._tables.lock(place)

    def stale_count(self, place: Place) -> int:
        """How many entities have vectors that another embedder made."""
        return self._tables.read(
            place, "entities", lambda table: table.count_rows(f"{self._column} IS NULL"), missing=0
        )

    def stale(self, place: Place, limit: int) -> list[Entity]:
        """Some entities whose vectors another embedder made."""
        return [
            self._entity(place, row) for row in self._rows(place, "entities", f"{self._column} IS NULL", limit=limit)
        ]

    def reembed(self, place: Place, entities: Sequence[Entity], vectors: Sequence[Sequence[float]]) -> None:
        """Gives entities new vectors; one that was changed or removed since it was read is left as it is."""
        with self._tables.lock(place):
            rows = self._without_old_vectors(place, list(self._vector_rows(entities, vectors).values()))
            unchanged = "target.updated_at = source.updated_at"
            self._accesses.forget(place, [entity.id for entity in entities])
            self._change(
                place,
                "entities",
                lambda table: table.merge_insert("id").when_matched_update_all(where=unchanged).execute(rows),
            )

    # --- relations ---

    def relate(self, place: Place, relations: Sequence[Relation]) -> None:
        """Keeps relations."""
        self._upsert(place, "relations", [relation_row(relation) for relation in relations])

    def relations(self, place: Place, ids: Sequence[MemoryId]) -> list[Relation]:
        """All relations from or to the entities."""
        rows = self._rows(place, "relations", f"({one_of('source', ids)}) OR ({one_of('target', ids)})")
        return sorted((row_relation(row) for row in rows), key=lambda relation: relation.id)

    def unrelate(self, place: Place, ids: Sequence[RelationId]) -> int:
        """Removes relations."""
        with self._tables.lock(place):
            present = len(self._rows(place, "relations", one_of("id", ids), columns=["id"]))
            if present:
                self._delete(place, "relations", one_of("id", ids))
        return present

    def traverse(
        self, place: Place, start: MemoryId, *, hops: int, direction: str, types: Sequence[str], limit: int
    ) -> list[MemoryPath]:
        """What is reached from `start`, the nearest first."""

        def touching(ends: Sequence[str], ids: Sequence[str]) -> list[dict[str, Any]]:
            condition = f"({' OR '.join(one_of(end, ids) for end in ends)})"
            if types:
                condition += f" AND {one_of('type', types)}"
            return self._rows(place, "relations", condition)

        reached = walk(start, hops=hops, direction=direction, limit=limit, touching=touching)
        return [
            MemoryPath(entity=entity, hops=len(reached[entity.id]), relations=reached[entity.id])
            for entity in self.get(place, list(reached))
        ]

    # --- places ---

    def statistics(self, place: Place) -> MemoryStatistics:
        """How much there is."""
        by_scope: dict[str, int] = {}
        for row in self._rows(place, "entities", "true", columns=["scope"]):
            by_scope[row["scope"]] = by_scope.get(row["scope"], 0) + 1
        folder = self._tables.folder(place)
        return MemoryStatistics(
            entities=sum(by_scope.values()),
            relations=self._tables.read(place, "relations", lambda table: table.count_rows(), missing=0),
            by_scope=by_scope,
            bytes=sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
            indexed=self._tables.read(place, "entities", self._indexed, missing=0),
            stale=self.stale_count(place),
        )

    def _indexed(self, table: Any) -> int:
        index = self._tables.vector_index(table)
        return index.num_indexed_rows if index is not None else 0

    def forget(self, place: Place) -> None:
        """Removes everything of a place: its folder, with all old versions and indices."""
        self._accesses.take(place)
        self._tables.forget(place)

    def unsettled(self) -> list[Place]:
        """Places to maintain."""
        return self._tables.unsettled()

    def maintain(self, place: Place) -> None:
        """Builds and merges indices, compacts, takes deleted content out of the files."""
        self._write_accesses(place)
        self._tables.maintain(place)

    def check(self) -> None:
        """Whether the folder can be used. LanceDB is not loaded for it, nor are files read.

        Raises:
            MemoryUnavailable: it cannot.
        """
        self._tables.check()

    def close(self) -> None:
        """Writes down what was counted."""
        self._accesses.write_all(self._write_accesses)
        self._tables.close()

    # --- rows ---

    def _upsert(self, place: Place, name: Name, rows: list[dict[str, Any]]) -> None:
        if rows:
            self._tables.write(
                place,
                name,
                lambda table: (
                    table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(rows)
                ),
            )

    def _change(self, place: Place, name: Name, work: Callable[[Any], object]) -> None:
        if self._tables.table(place, name) is not None:
            self._tables.write(place, name, work)

    def _delete(self, place: Place, name: Name, condition: str) -> None:
        self._change(place, name, lambda table: table.delete(condition))

    def _rows(
        self, place: Place, name: Name, condition: str, *, limit: int | None = None, columns: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        chosen = list(columns or (ENTITY_COLUMNS if name == "entities" else RELATION_COLUMNS))

        def read(table: Any) -> list[dict[str, Any]]:
            query = table.search().where(condition).select(chosen)
            return (query.limit(limit) if limit else query).to_batches().read_all().to_pylist()

        return self._tables.read(place, name, read, missing=[])
