"""Points of the Qdrant back end: entities and relations as payload, their ids as UUIDs, conditions as filters."""

import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from caxton.adapters.memory.lance_rows import entity_row, fact, fact_list, micros
from caxton.domain.ids import ALPHABET
from caxton.domain.memory import Entity, MemoryQuery, Scalar
from caxton.domain.memory_port import MemoryFilter

_USUAL = re.compile(rf"mem_([{ALPHABET}]{{22}})")
_NAMESPACE = uuid.UUID("6f0c1d3e-6c1b-4b0e-9d58-0d5f5c2f6a11")
"""Ids that are unlike ours become UUIDs of version 5 in it."""


def point_id(identity: str) -> str:
    """The UUID of an id. Those of memories sort as their ids do, so that Qdrant can give them out page by page."""
    if not is_usual(identity):
        return str(uuid.uuid5(_NAMESPACE, identity))
    number = 0
    for character in identity[4:]:
        number = number << 5 | ALPHABET.index(character)
    return str(uuid.UUID(int=number << 18))


def is_usual(identity: str) -> bool:
    """Whether an id of a memory was made by Caxton: an import may bring others."""
    return _USUAL.fullmatch(identity) is not None


def entity_payload(entity: Entity) -> dict[str, Any]:
    """An entity without its vectors."""
    row = entity_row(entity)
    del row["text"]  # it is in the observations
    row["facts"] = fact_list(entity.metadata)
    return row if is_usual(entity.id) else {**row, "odd": True}


class Filters:
    """Conditions in the words of the client's models."""

    def __init__(self, models: Any) -> None:
        """Use the client's models, which are loaded late."""
        self._models = models

    def of_query(self, query: MemoryQuery) -> Any:
        """What a match must be like, apart from meaning and words."""
        parts = [self.one_of("scope", [str(scope) for scope in query.scopes]), *self._facts(query.where)]
        if query.type is not None:
            parts.append(self.equal("type", query.type))
        return self.all(parts)

    def of_filter(self, wanted: MemoryFilter) -> Any:
        """Which entities are meant, apart from how many; None for all."""
        parts = self._facts(wanted.where)
        if wanted.scope is not None:
            parts.append(self.equal("scope", str(wanted.scope)))
        if wanted.type is not None:
            parts.append(self.equal("type", wanted.type))
        if wanted.before is not None:
            earlier = self._models.Range(lt=micros(wanted.before))
            parts.append(self._models.FieldCondition(key="updated_at", range=earlier))
        return self.all(parts) if parts else None

    def unchanged(self, entities: Sequence[Entity]) -> Any:
        """That a point is as one of the entities was when it was read."""
        return self.any(
            self.all([self.ids([entity.id]), self.equal("updated_at", micros(entity.updated_at))])
            for entity in entities
        )

    def without(self, vector: str) -> Any:
        """That a point has no vector of that name."""
        return self._models.Filter(must_not=[self._models.HasVectorCondition(has_vector=vector)])

    def ids(self, ids: Sequence[str]) -> Any:
        """That a point is one of those."""
        return self._models.HasIdCondition(has_id=[point_id(identity) for identity in ids])

    def equal(self, field: str, value: str | int | bool) -> Any:
        """That a field, or one value in its list, is `value`."""
        return self._models.FieldCondition(key=field, match=self._models.MatchValue(value=value))

    def one_of(self, field: str, values: Sequence[str]) -> Any:
        """That a field is one of `values`."""
        return self._models.FieldCondition(key=field, match=self._models.MatchAny(any=list(values)))

    def all(self, parts: Sequence[Any]) -> Any:
        """That all of the conditions hold."""
        return self._models.Filter(must=list(parts))

    def any(self, parts: Any) -> Any:
        """That one of the conditions holds."""
        return self._models.Filter(should=list(parts))

    def _facts(self, where: Mapping[str, Scalar]) -> list[Any]:
        return [self.equal("facts", fact(name, value)) for name, value in where.items()]
