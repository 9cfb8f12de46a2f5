"""Following relations hop by hop. The same for every back end."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from caxton.adapters.memory.lance_rows import row_relation
from caxton.domain.memory import MemoryId, Relation


def walk(
    start: MemoryId,
    *,
    hops: int,
    direction: str,
    limit: int,
    touching: Callable[[Sequence[str], Sequence[str]], Sequence[Mapping[str, Any]]],
) -> dict[MemoryId, list[Relation]]:
    """What is reached from `start`, the nearest first, each with the relations of one shortest path.

    Args:
        start: where to begin; it is not among what is reached.
        hops: how far to go.
        direction: "out", "in" or "both".
        limit: how many to reach at most.
        touching: rows of relations that have one of the entities (second) at one of the ends (first: source, target).
    """
    ways = [way for way in (("source", "target", "out"), ("target", "source", "in")) if direction in (way[2], "both")]
    reached: dict[str, list[Relation]] = {start: []}
    order: list[MemoryId] = []
    border = [str(start)]
    for _ in range(hops):
        if not border or len(order) >= limit:
            break
        rows = sorted(touching([near for near, _, _ in ways], border), key=lambda row: row["id"])
        following: list[str] = []
        for row in rows:
            for near, far, _ in ways:
                if row[near] in reached and row[far] not in reached:
                    reached[row[far]] = [*reached[row[near]], row_relation(row)]
                    order.append(MemoryId(row[far]))
                    following.append(row[far])
        border = following
    return {identity: reached[identity] for identity in order[:limit]}
