"""Which matches are best: by meaning, by words, or by both ranks. The same for every back end."""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from caxton.domain.memory import Entity, Match, MemoryQuery

RANK_CONSTANT = 60
"""k of reciprocal rank fusion (Cormack et al. 2009, https://doi.org/10.1145/1571941.1572114)."""

CANDIDATES = 2
"""Matches to look at for each that is wanted, before both ranks decide …"""

CANDIDATES_BY_AGE = 5
"""… or age does …"""

FEWEST_CANDIDATES = 20
"""… and at least so many: an index may compare coarse vectors, and the best of few may not be among them."""

Row = Mapping[str, Any]
"""What a back end keeps of an entity; it has its `id`, and `updated_at` in microseconds since 1970."""


def candidates(query: MemoryQuery) -> int:
    """How many matches to look at, by meaning and by words each."""
    each = CANDIDATES if query.half_life is None else CANDIDATES_BY_AGE
    return max(query.limit * each, FEWEST_CANDIDATES)


def ranked(
    query: MemoryQuery,
    by_meaning: Iterable[tuple[Row, float]],
    by_words: Iterable[tuple[Row, float]],
    entity_of: Callable[[Row], Entity],
) -> list[Match]:
    """The best matches, best first.

    Args:
        query: what was looked for.
        by_meaning: rows with their cosine similarity, the nearest first.
        by_words: rows with their score, the best first.
        entity_of: the entity of a row.
    """
    rows: dict[str, Row] = {}
    scores: dict[str, float] = {}
    similarities: dict[str, float] = {}
    for rank, (row, similarity) in enumerate(by_meaning):
        if similarity < query.min_similarity:
            continue
        rows[row["id"]] = row
        similarities[row["id"]] = similarity
        scores[row["id"]] = similarity if query.mode == "vector" else 1.0 / (RANK_CONSTANT + rank + 1)
    for rank, (row, found) in enumerate(by_words):
        if query.mode == "hybrid" and query.min_similarity > 0 and row["id"] not in similarities:
            continue  # its meaning is further away than what was asked for
        rows.setdefault(row["id"], row)
        score = found if query.mode == "text" else 1.0 / (RANK_CONSTANT + rank + 1)
        scores[row["id"]] = scores.get(row["id"], 0.0) + score
    now = datetime.now(UTC).timestamp() * 1e6
    if query.half_life is not None:
        for identity, row in rows.items():
            age = max(0.0, (now - row["updated_at"]) / 1e6)
            scores[identity] *= 0.5 ** (age / query.half_life)
    best = sorted(rows, key=lambda identity: (-scores[identity], identity))[: query.limit]
    return [
        Match(
            entity=entity_of(rows[identity]),
            score=scores[identity],
            similarity=None if identity not in similarities else round(similarities[identity], 4),
        )
        for identity in best
    ]
