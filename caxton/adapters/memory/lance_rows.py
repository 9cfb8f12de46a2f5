"""Rows of the LanceDB back end: schemas, entities and relations as rows, conditions as SQL."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

from caxton.domain.ids import digest_of
from caxton.domain.memory import Entity, MemoryId, MemoryQuery, MemoryScope, Relation, RelationId, Scalar
from caxton.domain.memory_port import MemoryFilter

VECTOR = "vector"
"""Columns of vectors begin with this."""

ENTITY_COLUMNS = (
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
RELATION_COLUMNS = ("id", "source", "target", "type", "properties", "created_at")


def vector_column(embedder_id: str) -> str:
    """Each embedder has a column of its own: vectors of two cannot be compared, and may not be of one length."""
    return f"{VECTOR}_{digest_of(embedder_id.encode())[:8]}"


def entity_schema(column: str, dimensions: int) -> Any:
    """The table of entities, with vectors of one embedder."""
    pa: Any = import_module("pyarrow")

    text = [pa.field(name, pa.string()) for name in ("id", "scope", "name", "type", "text")]
    data = [pa.field(name, pa.string()) for name in ("observations", "metadata", "facts", "provenance")]
    numbers = [pa.field(name, pa.int64()) for name in ("created_at", "updated_at", "accessed", "last_accessed")]
    return pa.schema([*text, *data, *numbers, vector_field(column, dimensions)])


def vector_field(column: str, dimensions: int) -> Any:
    """A column of vectors; null where another embedder was used."""
    pa: Any = import_module("pyarrow")

    return pa.field(column, pa.list_(pa.float32(), dimensions))


def relation_schema() -> Any:
    """The table of relations."""
    pa: Any = import_module("pyarrow")

    text = [pa.field(name, pa.string()) for name in ("id", "source", "target", "type", "properties")]
    return pa.schema([*text, pa.field("created_at", pa.int64())])


def entity_row(entity: Entity) -> dict[str, Any]:
    """An entity without its vector."""
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
        "created_at": micros(entity.created_at),
        "updated_at": micros(entity.updated_at),
        "accessed": entity.accessed,
        "last_accessed": micros(entity.last_accessed) if entity.last_accessed else 0,
    }


def row_entity(row: Mapping[str, Any]) -> Entity:
    """The entity of a row."""
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


def relation_row(relation: Relation) -> dict[str, Any]:
    """A relation."""
    return {
        "id": relation.id,
        "source": relation.source,
        "target": relation.target,
        "type": relation.type,
        "properties": json.dumps(relation.properties, ensure_ascii=False),
        "created_at": micros(relation.created_at),
    }


def row_relation(row: Mapping[str, Any]) -> Relation:
    """The relation of a row."""
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
    lines = fact_list(metadata)
    return "\n" + "\n".join(lines) + "\n" if lines else ""


def fact_list(metadata: Mapping[str, Any]) -> list[str]:
    """Top-level values of metadata, each as a text that no other name or value has."""
    return [fact(name, value) for name, value in sorted(metadata.items()) if _is_scalar(value)]


def fact(name: str, value: Scalar) -> str:
    """One value of metadata: True is not 1, and 1 is not "1"."""
    return json.dumps([name, value], ensure_ascii=True)


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


def query_condition(query: MemoryQuery) -> str:
    """What a match of `query` must be like, apart from meaning and words."""
    parts = [one_of("scope", [str(scope) for scope in query.scopes]), *_facts_conditions(query.where)]
    if query.type is not None:
        parts.append(f"type = {text(query.type)}")
    return " AND ".join(parts)


def filter_condition(wanted: MemoryFilter) -> str:
    """Which entities are meant, apart from how many."""
    parts = ["true", *_facts_conditions(wanted.where)]
    if wanted.scope is not None:
        parts.append(f"scope = {text(str(wanted.scope))}")
    if wanted.type is not None:
        parts.append(f"type = {text(wanted.type)}")
    if wanted.before is not None:
        parts.append(f"updated_at < {micros(wanted.before)}")
    if wanted.conversations:
        within = one_of("scope", [f"conversation:{each}" for each in wanted.conversations])
        made = [f"contains(provenance, {text(made_from(each))})" for each in wanted.conversations]
        parts.append(f"({' OR '.join([within, *made])})")
    return " AND ".join(parts)


def made_from(conversation: str) -> str:
    """What the provenance of memories of a conversation contains, as JSON."""
    return f'"conversation_id":{json.dumps(conversation)}'


def _facts_conditions(where: Mapping[str, Scalar]) -> list[str]:
    # The whole line of the fact, so that no value is found within another.
    return [f"contains(facts, {text(chr(10) + fact(name, value) + chr(10))})" for name, value in where.items()]


def one_of(column: str, values: Sequence[str]) -> str:
    """That a column has one of the values."""
    return f"{column} IN ({', '.join(text(value) for value in values)})" if values else "false"


def text(value: str) -> str:
    """`value` as a text of SQL: quotes doubled; nothing else has a meaning inside one."""
    return "'" + value.replace("'", "''") + "'"


def micros(moment: datetime) -> int:
    """Microseconds since 1970."""
    return round(moment.timestamp() * 1_000_000)


def _moment(count: int) -> datetime:
    return datetime.fromtimestamp(count / 1_000_000, tz=UTC)
