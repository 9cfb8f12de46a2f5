"""Views that several use cases share."""

from datetime import datetime

from pydantic import BaseModel

from caxton.domain.records import CallStatistics


class StatisticsView(BaseModel):
    """How calls went. Times are milliseconds."""

    calls: int
    succeeded: int
    mean_ms: float | None = None
    p95_ms: float | None = None
    mean_cpu_ms: float | None = None
    peak_memory: int | None = None
    last_used: datetime | None = None


def statistics_view(found: CallStatistics | None) -> StatisticsView | None:
    """`found` as callers see it, rounded to what is meaningful."""
    if found is None:
        return None

    def rounded(value: float | None) -> float | None:
        return None if value is None else round(value, 3)

    return StatisticsView(
        calls=found.calls,
        succeeded=found.succeeded,
        mean_ms=rounded(found.mean_ms),
        p95_ms=rounded(found.p95_ms),
        mean_cpu_ms=rounded(found.mean_cpu_ms),
        peak_memory=found.peak_memory,
        last_used=found.last_used,
    )
