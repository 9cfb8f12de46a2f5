"""What searches of memory find, on questions that people would ask: `python -m benchmarks.recall`."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from benchmarks.recall import DATA, bm25, measure, read
from caxton.adapters.memory.ranking import ranked
from caxton.domain.memory import Entity, MemoryId, MemoryQuery, MemoryScope

NOW = datetime.now(UTC)


@pytest.mark.requirement("MEM-2")
@pytest.mark.slow
def test_both_together_find_what_either_finds() -> None:
    found = measure(read(DATA))
    hybrid, vector, text = found["hybrid"], found["vector"], found["text"]
    for depth in (5, 10):
        assert hybrid[depth] >= max(vector[depth], text[depth]) - 0.005, found
    assert hybrid[1] >= text[1] + 0.1, found
    assert hybrid[1] >= vector[1] - 0.06, found  # few of these questions have the words of their answer
    assert hybrid[10] >= found["BM25"][10] + 0.2, found
    assert found["hybrid, min_similarity 0.35"][10] >= hybrid[10] - 0.05, found


def test_bm25_finds_the_text_with_the_rare_word_first() -> None:
    search = bm25({"a": "the cat sat", "b": "the dog sat", "c": "the zebra sat there"})
    assert search("Where did the zebra sit?")[0] == "c"
    assert search("nothing here") == []


def match(by_meaning: Mapping[str, float], by_words: Mapping[str, float], count: int = 100, **query: Any) -> list[str]:
    """Ids of what :func:`ranked` finds best."""

    def entity(row: Mapping[str, Any]) -> Entity:
        scope = MemoryScope()
        return Entity(id=MemoryId(row["id"]), scope=scope, observations=["x"], created_at=NOW, updated_at=NOW)

    found = ranked(
        MemoryQuery(text="x", **query),
        [({"id": name}, score) for name, score in by_meaning.items()],
        [({"id": name}, score) for name, score in by_words.items()],
        entity,
        similarity_of=lambda row: {"far": 0.1, "near": 0.5}.get(row["id"]),
        count=count,
    )
    return [each.entity.id for each in found]


def test_common_words_do_not_outdo_the_meaning() -> None:
    assert match({"a": 0.6, "b": 0.5}, {"b": 0.9, "c": 0.8}) == ["a", "b", "c"]


def test_rare_words_do() -> None:
    assert match({"a": 0.6, "b": 0.3}, {"near": 9.0})[0] == "near"


def test_a_match_by_words_has_its_own_similarity() -> None:
    assert match({"a": 0.6}, {"near": 1.0, "far": 1.0}, min_similarity=0.4) == ["a", "near"]
    assert match({"a": 0.6}, {"near": 9.0, "far": 9.0}, min_similarity=0.4) == ["near", "a", "far"]


def test_what_has_no_vector_yet_is_not_dissimilar() -> None:
    assert match({"a": 0.6}, {"stale": 1.0}, min_similarity=0.4) == ["a", "stale"]


def test_one_way_alone_is_ranked_by_its_own_scores() -> None:
    assert match({"a": 0.6, "b": 0.7}, {}, mode="vector", min_similarity=0.65) == ["b"]
    assert match({}, {"a": 1.0, "b": 2.0}, mode="text", min_similarity=0.9) == ["b", "a"]
    assert match({}, {}, count=0) == []
    assert match({}, {"a": 0.0}, count=0) == ["a"]
