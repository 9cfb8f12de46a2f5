"""The embedded back end: LanceDB, a folder a workspace, so that no query can reach another's memories.

Writes are visible to all processes when they return. Indices are built by :meth:`LanceMemory.maintain`, in the background; what
is not in them yet is searched one by one. Hops follow a table of relations by both ends.
"""

import json
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from caxton.domain.errors import MemoryUnavailable
from caxton.domain.memory import (
    Entity,
    Match,
    MemoryId,
    MemoryPath,
    MemoryQuery,
    MemoryScope,
    Relation,
    RelationId,
    Scalar,
)
from caxton.domain.memory_port import GLOBAL_PLACE, MemoryFilter, MemoryStatistics, Place

T = TypeVar("T")

INDEX_FROM = 5_000
"""Entities from which a vector index is worth it: below, looking at all of them is as fast."""

REINDEX_SHARE = 0.2
"""Share of entities that may be outside of the index before it is merged."""

RANK_CONSTANT = 60
"""k of reciprocal rank fusion (Cormack et al. 2009, https://doi.org/10.1145/1571941.1572114)."""

ATTEMPTS = 10
"""A write that met another process's is tried again."""

CANDIDATES = 4
"""Matches to look at for each that is wanted, before similarity, recency and both ranks decide."""


class LanceMemory:
    """The MemoryBackend port over LanceDB."""

    def __init__(self, root: Path, dimensions: int, embedder_id: str) -> None:
        """Keep memories below `root`; vectors have so many dimensions and come from that embedder."""
        self.root = root
        self.dimensions = dimensions
        self.embedder_id = embedder_id
        self._tables: dict[tuple[Place, str], Any] = {}
        self._lock = threading.Lock()
        self._optimized: dict[tuple[Place, str], int] = {}

    # --- entities ---

    def put(self, place: Place, entities: Sequence[Entity], vectors: Sequence[Sequence[float]]) -> None:
        """Keeps entities, in place of those of the same ids."""
        rows = [
            {**_row(entity), "embedder": self.embedder_id, "vector": list(vector)}
            for entity, vector in zip(entities, vectors, strict=True)
        ]
        self._upsert(place, "entities", rows)

    def get(self, place: Place, ids: Sequence[MemoryId]) -> list[Entity]:
        """Those of the entities that exist, in the order of `ids`."""
        found = {row["id"]: row for row in self._rows(place, "entities", _one_of("id", ids), limit=len(ids))}
        return [_entity(found[identity]) for identity in ids if identity in found]

    def search(self, place: Place, query: MemoryQuery, vector: Sequence[float] | None) -> list[Match]:
        """The best matches, best first."""
        table = self._table(place, "entities", create=False)
        if table is None:
            return []
        condition = _query_condition(query)
        wanted = query.limit * CANDIDATES
        ranked: dict[str, dict[str, Any]] = {}
        scores: dict[str, float] = {}
        similarities: dict[str, float] = {}
        if query.mode != "text" and vector is not None:
            found = _guarded(
                lambda: (
                    table.search(list(vector), vector_column_name="vector")
                    .distance_type("cosine")
                    .where(condition, prefilter=True)
                    .select([*_COLUMNS, "_distance"])
                    .limit(wanted)
                    .to_list()
                )
            )
            for rank, row in enumerate(found):
                similarity = 1.0 - float(row["_distance"])
                if similarity < query.min_similarity:
                    continue
                ranked[row["id"]] = row
                similarities[row["id"]] = similarity
                scores[row["id"]] = similarity if query.mode == "vector" else 1.0 / (RANK_CONSTANT + rank + 1)
        if query.mode != "vector":
            for rank, row in enumerate(self._by_words(table, query.text, condition, wanted)):
                if query.mode == "hybrid" and query.min_similarity > 0 and row["id"] not in similarities:
                    continue  # its meaning is further away than what was asked for
                ranked.setdefault(row["id"], row)
                score = float(row["_score"]) if query.mode == "text" else 1.0 / (RANK_CONSTANT + rank + 1)
                scores[row["id"]] = scores.get(row["id"], 0.0) + score
        now = datetime.now(UTC)
        matches: list[Match] = []
        for identity, row in ranked.items():
            entity = _entity(row)
            score = scores[identity]
            if query.half_life is not None:
                age = max(0.0, (now - entity.updated_at).total_seconds())
                score *= 0.5 ** (age / query.half_life)
            similarity = similarities.get(identity)
            matches.append(Match(entity=entity, score=score, similarity=similarity and round(similarity, 4)))
        matches.sort(key=lambda match: (-match.score, match.entity.id))
        return matches[: query.limit]

    def _by_words(self, table: Any, text: str, condition: str, limit: int) -> list[dict[str, Any]]:
        match_query: Any = import_module("lancedb.query").MatchQuery

        def search() -> list[dict[str, Any]]:
            return (
                table.search(match_query(text, "text"), query_type="fts")
                .where(condition, prefilter=True)
                .select([*_COLUMNS, "_score"])
                .limit(limit)
                .to_list()
            )

        return _guarded(search)

    def entities(
        self, place: Place, wanted: MemoryFilter, *, after: MemoryId | None = None, limit: int
    ) -> list[Entity]:
        """Entities by id, from behind `after`."""
        condition = _filter_condition(wanted)
        if after is not None:
            condition = f"({condition}) AND id > {_text(after)}"
        rows = self._rows(place, "entities", condition, limit=None, columns=["id"])
        ids = sorted(row["id"] for row in rows)[:limit]
        return self.get(place, [MemoryId(identity) for identity in ids])

    def delete(self, place: Place, ids: Sequence[MemoryId]) -> int:
        """Removes entities with their relations."""
        present = self._rows(place, "entities", _one_of("id", ids), limit=len(ids), columns=["id"])
        if not present:
            return 0
        self._delete(place, "entities", _one_of("id", ids))
        self._delete(place, "relations", f"({_one_of('source', ids)}) OR ({_one_of('target', ids)})")
        return len(present)

    def touch(self, place: Place, ids: Sequence[MemoryId], moment: datetime) -> None:
        """Counts an access."""
        table = self._table(place, "entities", create=False)
        if table is not None and ids:
            values = {"accessed": "accessed + 1", "last_accessed": str(_micros(moment))}
            self._write(lambda: table.update(where=_one_of("id", ids), values_sql=values))

    # --- relations ---

    def relate(self, place: Place, relations: Sequence[Relation]) -> None:
        """Keeps relations."""
        self._upsert(
            place,
            "relations",
            [
                {
                    "id": relation.id,
                    "source": relation.source,
                    "target": relation.target,
                    "type": relation.type,
                    "properties": json.dumps(relation.properties, ensure_ascii=False),
                    "created_at": _micros(relation.created_at),
                }
                for relation in relations
            ],
        )

    def relations(self, place: Place, ids: Sequence[MemoryId]) -> list[Relation]:
        """All relations from or to the entities."""
        rows = self._rows(place, "relations", f"({_one_of('source', ids)}) OR ({_one_of('target', ids)})", limit=None)
        return sorted((_relation(row) for row in rows), key=lambda relation: relation.id)

    def unrelate(self, place: Place, ids: Sequence[RelationId]) -> int:
        """Removes relations."""
        present = self._rows(place, "relations", _one_of("id", ids), limit=len(ids), columns=["id"])
        if present:
            self._delete(place, "relations", _one_of("id", ids))
        return len(present)

    def traverse(
        self, place: Place, start: MemoryId, *, hops: int, direction: str, types: Sequence[str], limit: int
    ) -> list[MemoryPath]:
        """What is reached from `start`, the nearest first."""
        reached: dict[str, list[Relation]] = {start: []}
        order: deque[str] = deque()
        border = [str(start)]
        for _ in range(hops):
            if not border or len(order) >= limit:
                break
            ends = [
                _one_of(end, border) for end, way in (("source", "out"), ("target", "in")) if direction in (way, "both")
            ]
            condition = f"({' OR '.join(ends)})"
            if types:
                condition += f" AND {_one_of('type', types)}"
            rows = sorted(self._rows(place, "relations", condition, limit=None), key=lambda row: row["id"])
            following: list[str] = []
            for row in rows:
                for near, far in (("source", "target"), ("target", "source")):
                    way = "out" if near == "source" else "in"
                    if direction in (way, "both") and row[near] in reached and row[far] not in reached:
                        reached[row[far]] = [*reached[row[near]], _relation(row)]
                        order.append(row[far])
                        following.append(row[far])
            border = following
        ids = [MemoryId(identity) for identity in order][:limit]
        return [
            MemoryPath(entity=entity, hops=len(reached[entity.id]), relations=reached[entity.id])
            for entity in self.get(place, ids)
        ]

    # --- places ---

    def statistics(self, place: Place) -> MemoryStatistics:
        """How much there is."""
        table = self._table(place, "entities", create=False)
        if table is None:
            return MemoryStatistics(0, 0, {}, 0, 0)
        by_scope: dict[str, int] = {}
        for row in self._rows(place, "entities", "true", limit=None, columns=["scope"]):
            by_scope[row["scope"]] = by_scope.get(row["scope"], 0) + 1
        relations = self._table(place, "relations", create=False)
        stats = _index_statistics(table)
        return MemoryStatistics(
            entities=sum(by_scope.values()),
            relations=relations.count_rows() if relations is not None else 0,
            by_scope=by_scope,
            bytes=sum(file.stat().st_size for file in self._folder(place).rglob("*") if file.is_file()),
            indexed=stats.num_indexed_rows if stats else 0,
        )

    def places(self, customer: str) -> list[Place]:
        """Where the customer has memories."""
        folder = self.root / customer
        return [Place(customer, each.name) for each in sorted(folder.iterdir())] if folder.is_dir() else []

    def all_places(self) -> list[Place]:
        """Where anybody has memories."""
        customers = sorted(self.root.iterdir()) if self.root.is_dir() else []
        return [place for customer in customers for place in self.places(customer.name)]

    def forget(self, place: Place) -> None:
        """Removes everything of a place: its folder, with all old versions and indices."""
        with self._lock:
            for key in [key for key in self._tables if key[0] == place]:
                del self._tables[key]
            shutil.rmtree(self._folder(place), ignore_errors=True)

    def maintain(self, place: Place) -> None:
        """Builds and merges indices, compacts, takes deleted content out of the files."""
        for name in ("entities", "relations"):
            table = self._table(place, name, create=False)
            if table is None:
                continue
            if name == "entities":
                self._maintain_index(table)
            version = table.version
            if self._optimized.get((place, name)) == version:
                continue  # nothing was written since
            self._write(lambda table=table: table.optimize(cleanup_older_than=timedelta(minutes=1)))
            self._optimized[(place, name)] = table.version

    def _maintain_index(self, table: Any) -> None:
        from lancedb.index import HnswSq

        count = table.count_rows()
        if count < INDEX_FROM:
            return
        stats = _index_statistics(table)
        if stats is None:
            self._write(lambda: table.create_index("vector", config=HnswSq(distance_type="cosine", num_partitions=1)))
        elif stats.num_unindexed_rows > REINDEX_SHARE * count:
            self._write(table.optimize)

    def vectors(self, place: Place, after: MemoryId | None, limit: int) -> Iterator[tuple[Entity, str]]:
        """Entities with the embedder that made their vectors."""
        condition = f"id > {_text(after)}" if after else "true"
        rows = self._rows(place, "entities", condition, limit=None, columns=[*_COLUMNS, "embedder"])
        for row in sorted(rows, key=lambda row: row["id"])[:limit]:
            yield _entity(row), row["embedder"]

    def close(self) -> None:
        """Forgets open tables; LanceDB has nothing else to close."""
        self._tables.clear()

    # --- tables ---

    def _folder(self, place: Place) -> Path:
        assert place.workspace == GLOBAL_PLACE or place.workspace.replace("-", "").replace("_", "").isalnum()
        return self.root / place.customer / place.workspace

    def _table(self, place: Place, name: str, *, create: bool = True) -> Any:
        key = (place, name)
        table = self._tables.get(key)
        if table is not None:
            return table
        folder = self._folder(place)
        if not create and not (folder / f"{name}.lance").is_dir():
            return None
        with self._lock:
            table = self._tables.get(key)
            if table is None:
                table = self._tables[key] = _guarded(lambda: self._open(folder, name))
            return table

    def _open(self, folder: Path, name: str) -> Any:
        import lancedb
        from lancedb.index import FTS, BTree

        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Every read looks whether another process has written: a millisecond, for memories that can be found at once.
        database = lancedb.connect(folder, read_consistency_interval=timedelta(0))
        schema = _entity_schema(self.dimensions) if name == "entities" else _relation_schema()
        table = database.create_table(name, schema=schema, exist_ok=True)
        present = {index.name for index in table.list_indices()}
        wanted: dict[str, Any] = {"id": BTree()}
        wanted |= {"text": FTS()} if name == "entities" else {"source": BTree(), "target": BTree()}
        for column, config in wanted.items():
            if f"{column}_idx" not in present:
                self._write(lambda column=column, config=config: table.create_index(column, config=config))
        return table

    def _upsert(self, place: Place, name: str, rows: list[dict[str, Any]]) -> None:
        if not rows:
            return
        table = self._table(place, name)
        self._write(
            lambda: table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(rows)
        )

    def _delete(self, place: Place, name: str, condition: str) -> None:
        table = self._table(place, name, create=False)
        if table is not None:
            self._write(lambda: table.delete(condition))

    def _rows(
        self, place: Place, name: str, condition: str, *, limit: int | None, columns: Sequence[str] | None = None
    ) -> list[dict[str, Any]]:
        table = self._table(place, name, create=False)
        if table is None or limit == 0:
            return []
        chosen = list(columns or (_COLUMNS if name == "entities" else _RELATION_COLUMNS))
        query = table.search().where(condition).select(chosen)
        return _guarded(lambda: query.limit(limit or table.count_rows() or 1).to_list())

    def _write(self, work: Callable[[], T]) -> T:
        """Runs a write, again when another process's got in between."""
        for attempt in range(ATTEMPTS):
            try:
                return work()
            except (OSError, RuntimeError, ValueError) as error:
                if attempt == ATTEMPTS - 1 or "conflict" not in str(error).lower():
                    raise MemoryUnavailable("the memory could not be written", reason=_reason(error)) from error
                time.sleep(0.02 * (attempt + 1))
        raise AssertionError("unreachable")


def _guarded(work: Callable[[], T]) -> T:
    try:
        return work()
    except (OSError, RuntimeError, ValueError) as error:
        raise MemoryUnavailable("the memory cannot be read", reason=_reason(error)) from error


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:300]


_COLUMNS = (
    "id",
    "scope",
    "name",
    "type",
    "observations",
    "metadata",
    "provenance",
    "created_at",
    "updated_at",
    "accessed",
    "last_accessed",
)
_RELATION_COLUMNS = ("id", "source", "target", "type", "properties", "created_at")


def _entity_schema(dimensions: int) -> Any:
    pa: Any = import_module("pyarrow")

    text = [pa.field(name, pa.string()) for name in ("id", "scope", "name", "type", "text")]
    data = [pa.field(name, pa.string()) for name in ("observations", "metadata", "facts", "provenance", "embedder")]
    numbers = [pa.field(name, pa.int64()) for name in ("created_at", "updated_at", "accessed", "last_accessed")]
    return pa.schema([*text, *data, *numbers, pa.field("vector", pa.list_(pa.float32(), dimensions))])


def _relation_schema() -> Any:
    pa: Any = import_module("pyarrow")

    text = [pa.field(name, pa.string()) for name in ("id", "source", "target", "type", "properties")]
    return pa.schema([*text, pa.field("created_at", pa.int64())])


def _row(entity: Entity) -> dict[str, Any]:
    return {
        "id": entity.id,
        "scope": str(entity.scope),
        "name": entity.name,
        "type": entity.type,
        "text": entity.text,
        "observations": json.dumps(entity.observations, ensure_ascii=False),
        "metadata": json.dumps(entity.metadata, ensure_ascii=False),
        "facts": facts_of(entity.metadata),
        "provenance": entity.provenance.model_dump_json(exclude_none=True),
        "created_at": _micros(entity.created_at),
        "updated_at": _micros(entity.updated_at),
        "accessed": entity.accessed,
        "last_accessed": _micros(entity.last_accessed) if entity.last_accessed else 0,
    }


def _entity(row: Mapping[str, Any]) -> Entity:
    return Entity(
        id=MemoryId(row["id"]),
        scope=MemoryScope.parse(row["scope"]),
        name=row["name"],
        type=row["type"],
        observations=json.loads(row["observations"]),
        metadata=json.loads(row["metadata"]),
        provenance=json.loads(row["provenance"]),
        created_at=_moment(row["created_at"]),
        updated_at=_moment(row["updated_at"]),
        accessed=row["accessed"],
        last_accessed=_moment(row["last_accessed"]) if row["last_accessed"] else None,
    )


def _relation(row: Mapping[str, Any]) -> Relation:
    return Relation(
        id=RelationId(row["id"]),
        source=MemoryId(row["source"]),
        target=MemoryId(row["target"]),
        type=row["type"],
        properties=json.loads(row["properties"]),
        created_at=_moment(row["created_at"]),
    )


def facts_of(metadata: Mapping[str, Any]) -> str:
    """Top-level values of metadata as lines that a filter can look for: one fact a line, each line delimited."""
    lines = [_fact(name, value) for name, value in sorted(metadata.items()) if _is_scalar(value)]
    return "\n" + "\n".join(lines) + "\n" if lines else ""


def _fact(name: str, value: Scalar) -> str:
    return json.dumps([name, value], ensure_ascii=True)


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


def _query_condition(query: MemoryQuery) -> str:
    parts = [_one_of("scope", [str(scope) for scope in query.scopes])]
    if query.type is not None:
        parts.append(f"type = {_text(query.type)}")
    for name, value in query.where.items():
        # The whole line of the fact, so that no value is found within another.
        parts.append(f"contains(facts, {_text(chr(10) + _fact(name, value) + chr(10))})")
    return " AND ".join(parts)


def _filter_condition(wanted: MemoryFilter) -> str:
    parts = ["true"]
    if wanted.scope is not None:
        parts.append(f"scope = {_text(str(wanted.scope))}")
    if wanted.type is not None:
        parts.append(f"type = {_text(wanted.type)}")
    if wanted.before is not None:
        parts.append(f"updated_at < {_micros(wanted.before)}")
    return " AND ".join(parts)


def _one_of(column: str, values: Sequence[str]) -> str:
    return f"{column} IN ({', '.join(_text(value) for value in values)})" if values else "false"


def _text(value: str) -> str:
    """`value` as a text of SQL: quotes doubled; nothing else has a meaning inside one."""
    return "'" + value.replace("'", "''") + "'"


def _micros(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000)


def _moment(micros: int) -> datetime:
    return datetime.fromtimestamp(micros / 1_000_000, tz=UTC)


def _index_statistics(table: Any) -> Any:
    return next((table.index_stats(index.name) for index in table.list_indices() if index.columns == ["vector"]), None)
