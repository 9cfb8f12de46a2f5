"""Which matches are best: by meaning, by words, or by both together. The same for every back end.

Both together is a weighted sum over all candidates of either way (Bruch et al. 2023, https://arxiv.org/abs/2210.11934): the
cosine of the meanings, and the score of the words as a share of what a match of rare words would have. Ranks alone say too
little: a question of common words has a best match by words, too. `python -m benchmarks.recall` measures it.
"""

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from caxton.domain.memory import Entity, Match, MemoryQuery

MEANING = 0.7
"""Weight of the meaning; that of the words is the rest."""

RARE_WORDS = 1.5
"""How many words that are in one memory only make a full match by words."""

SHARPNESS = 2
"""Power of a match by words: half of a full one says a quarter as much."""

DISTINCTIVE = 0.25
"""Share of a full match by words from which a memory is found however far its meaning is."""

CANDIDATES = 2
"""Matches to look at for each that is wanted, before both ranks decide …"""

CANDIDATES_BY_AGE = 5
"""… or age does …"""

FEWEST_CANDIDATES = 50
"""… and at least so many: an index may compare coarse vectors, and the best by both ways is often the best by neither."""

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
    *,
    similarity_of: Callable[[Row], float | None] = lambda _: None,
    count: int = 0,
) -> list[Match]:
    """The best matches, best first.

    Args:
        query: what was looked for.
        by_meaning: rows with their cosine similarity, the nearest first.
        by_words: rows with their score by BM25, the best first.
        entity_of: the entity of a row.
        similarity_of: the cosine similarity of a row that was found by its words; None where it has no vector.
        count: how many entities there are, for what a rare word is worth.
    """
    near, worded = list(by_meaning), list(by_words)
    rows = {row["id"]: row for row, _ in [*worded, *near]}
    similarities = {row["id"]: similarity for row, similarity in near}
    words = {row["id"]: score for row, score in worded}
    if query.mode == "hybrid":
        for row, _ in worded:
            if row["id"] not in similarities and (similarity := similarity_of(row)) is not None:
                similarities[row["id"]] = similarity
        words = _shares(words, count)
    scores: dict[str, float] = {}
    for identity in rows:
        similarity = similarities.get(identity)
        distinctive = query.mode == "text" or words.get(identity, 0.0) >= DISTINCTIVE
        # What has no vector yet is found by its words alone, so it is not held to be dissimilar.
        if distinctive or similarity is None or similarity >= query.min_similarity:
            scores[identity] = _score(query, similarity or 0.0, words.get(identity, 0.0))
    if query.half_life is not None:
        now = datetime.now(UTC).timestamp() * 1e6
        for identity in scores:
            age = max(0.0, (now - rows[identity]["updated_at"]) / 1e6)
            scores[identity] *= 0.5 ** (age / query.half_life)
    best = sorted(scores, key=lambda identity: (-scores[identity], identity))[: query.limit]
    return [
        Match(
            entity=entity_of(rows[identity]),
            score=scores[identity],
            similarity=None if identity not in similarities else round(similarities[identity], 4),
        )
        for identity in best
    ]


def _shares(words: Mapping[str, float], count: int) -> dict[str, float]:
    """Scores by words from 0 to 1: 1 is the best of all, or of what as many rare words would bring."""
    rarest = math.log(1 + max(count, len(words)) / 1.5)  # BM25's weight of a word that is in one memory only
    full = max([*words.values(), RARE_WORDS * rarest])
    return {identity: score / full for identity, score in words.items()} if full > 0 else dict.fromkeys(words, 0.0)


def _score(query: MemoryQuery, similarity: float, words: float) -> float:
    if query.mode == "hybrid":
        return MEANING * similarity + (1 - MEANING) * words**SHARPNESS
    return similarity if query.mode == "vector" else words


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """The cosine of the angle between two vectors; 0 where one has no direction."""
    norm = math.sqrt(sum(map(operator.mul, one, one)) * sum(map(operator.mul, other, other)))
    return sum(map(operator.mul, one, other)) / norm if norm else 0.0
