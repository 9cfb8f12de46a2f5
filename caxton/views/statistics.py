"""Statistics of calls."""

from datetime import datetime

from caxton.views.view import View


class Statistics(View):
    """How calls went. Times are milliseconds of the clock (`mean_cpu_ms`: of the processor), memory is bytes."""

    calls: int = 0
    succeeded: int = 0
    mean_ms: float | None = None
    p95_ms: float | None = None
    mean_cpu_ms: float | None = None
    peak_memory: int | None = None
    last_used: datetime | None = None
