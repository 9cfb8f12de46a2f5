"""Views: how calls went, by tool, agent and capability. Means are over all calls, p95 over the latest thousand."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Float, Integer, RowMapping, case, cast, func, select
from sqlalchemy.sql.elements import ColumnElement

from caxton.adapters.store import clock
from caxton.adapters.store.schema import executions, steps
from caxton.adapters.store.session import Session, in_scope
from caxton.domain.executions import ExecutionState
from caxton.domain.ids import Scope
from caxton.domain.records import CallStatistics

SAMPLE = 1000
"""Latest calls that a p95 is taken over."""


class StatisticsQueries(Session):
    """Statistics."""

    def tool_statistics(self, scope: Scope, tool: str | None = None) -> list[CallStatistics]:
        """Calls by tool."""
        query = (
            select(
                steps.c.tool.label("name"),
                func.count().label("calls"),
                func.sum(cast(steps.c.ok, Integer)).label("succeeded"),
                func.avg(steps.c.duration_ms).label("mean_ms"),
                func.avg(steps.c.cpu_ms).label("mean_cpu_ms"),
                func.max(steps.c.memory).label("peak_memory"),
                func.max(steps.c.created_at).label("last_used"),
            )
            .where(in_scope(steps, scope), steps.c.tool.is_not(None))
            .group_by(steps.c.tool)
            .order_by(steps.c.tool)
        )
        if tool is not None:
            query = query.where(steps.c.tool == tool)
        rows = self.connection.execute(query).mappings().all()
        return [_statistics(row, self._tool_times(scope, row["name"])) for row in rows]

    def agent_statistics(self, scope: Scope) -> list[CallStatistics]:
        """Executions by agent."""
        return self._execution_statistics(scope, executions.c.agent)

    def capability_statistics(self, scope: Scope) -> list[CallStatistics]:
        """Executions by capability."""
        return self._execution_statistics(scope, executions.c.capability)

    def _execution_statistics(self, scope: Scope, column: ColumnElement[Any]) -> list[CallStatistics]:
        took = cast(executions.c.finished_at - executions.c.started_at, Float) / 1000
        finished = executions.c.state != ExecutionState.RUNNING
        query = (
            select(
                column.label("name"),
                func.count().label("calls"),
                func.sum(case((executions.c.state == ExecutionState.COMPLETED, 1), else_=0)).label("succeeded"),
                func.avg(took).label("mean_ms"),
                func.max(executions.c.started_at).label("last_used"),
            )
            .where(in_scope(executions, scope), column.is_not(None), finished)
            .group_by(column)
            .order_by(column)
        )
        rows = self.connection.execute(query).mappings().all()
        statistics: list[CallStatistics] = []
        for row in rows:
            sample = (
                select(took)
                .where(in_scope(executions, scope), column == row["name"], finished)
                .order_by(executions.c.started_at.desc())
                .limit(SAMPLE)
            )
            statistics.append(_statistics(row, list(self.connection.execute(sample).scalars())))
        return statistics

    def _tool_times(self, scope: Scope, tool: str) -> Sequence[float]:
        query = (
            select(steps.c.duration_ms)
            .where(in_scope(steps, scope), steps.c.tool == tool, steps.c.duration_ms.is_not(None))
            .order_by(steps.c.created_at.desc())
            .limit(SAMPLE)
        )
        return list(self.connection.execute(query).scalars())


def _p95(values: Sequence[float]) -> float | None:
    if not values:
        return None
    ordered = sorted(values)
    return float(ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))])


def _statistics(row: RowMapping, times: Sequence[float]) -> CallStatistics:
    found: dict[str, Any] = dict(row)
    mean = found.get("mean_ms")
    mean_cpu = found.get("mean_cpu_ms")
    return CallStatistics(
        name=found["name"],
        calls=int(found["calls"]),
        succeeded=int(found["succeeded"] or 0),
        mean_ms=None if mean is None else float(mean),
        p95_ms=_p95(times),
        mean_cpu_ms=None if mean_cpu is None else float(mean_cpu),
        peak_memory=found.get("peak_memory"),
        last_used=clock.optional_datetime(found.get("last_used")),
    )
