"""Counts and times within documents. Percentiles come from buckets, so that they can be folded event by event."""

from bisect import bisect_left
from typing import Any

BOUNDS = tuple(round(0.1 * 1.25**step, 4) for step in range(80))
"""Upper bounds of the buckets in milliseconds: from 0.1 ms to 1.4 hours in steps of a quarter. A percentile is exact to 25 %."""


def observe(times: dict[str, Any] | None, milliseconds: float | None) -> dict[str, Any]:
    """`times` with one more; a document of its own, `buckets` by number of the bucket."""
    found = dict(times or {"count": 0, "sum_ms": 0.0, "buckets": {}})
    if milliseconds is None:
        return found
    bucket = str(min(bisect_left(BOUNDS, milliseconds), len(BOUNDS) - 1))
    buckets = dict(found["buckets"])
    buckets[bucket] = buckets.get(bucket, 0) + 1
    return {
        "count": found["count"] + 1,
        "sum_ms": round(found["sum_ms"] + milliseconds, 3),
        "buckets": buckets,
    }


def summary(times: dict[str, Any] | None) -> dict[str, float | None]:
    """Mean and percentiles of `times`, in milliseconds."""
    if not times or not times["count"]:
        return {"mean_ms": None, "p95_ms": None, "p99_ms": None}
    return {
        "mean_ms": round(times["sum_ms"] / times["count"], 3),
        "p95_ms": percentile(times, 0.95),
        "p99_ms": percentile(times, 0.99),
    }


def percentile(times: dict[str, Any], share: float) -> float:
    """The upper bound of the bucket in which the given share of all times is reached."""
    wanted, seen = share * times["count"], 0
    for bucket in sorted(times["buckets"], key=int):
        seen += times["buckets"][bucket]
        if seen >= wanted:
            return BOUNDS[int(bucket)]
    return BOUNDS[-1]
