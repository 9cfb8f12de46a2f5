"""Queries on schedules, and on what became of their due times."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, select

from caxton.adapters.store import clock
from caxton.adapters.store.schema_timers import schedule_runs, schedules
from caxton.adapters.store.session import Session, in_scope, scoped, to_json
from caxton.domain.ids import Scope
from caxton.domain.schedules import DeployedSchedule, ScheduleRun

KEPT_RUNS = 200
"""Due times of one schedule that are kept; what they set off is kept for longer, with all executions."""


class ScheduleQueries(Session):
    """Schedules and their runs."""

    def schedules(self, scope: Scope, agent: str | None = None) -> list[DeployedSchedule]:
        """Schedules of the workspace, or of one agent, by agent and name."""
        query = select(schedules).where(in_scope(schedules, scope), schedules.c.removed.is_(False))
        if agent is not None:
            query = query.where(schedules.c.agent == agent)
        query = query.order_by(schedules.c.agent, schedules.c.name)
        return [_schedule(row) for row in self.connection.execute(query)]

    def schedules_of_customer(self, customer: str) -> list[DeployedSchedule]:
        """Schedules of the customer in all workspaces."""
        query = select(schedules).where(schedules.c.customer == customer, schedules.c.removed.is_(False))
        return [_schedule(row) for row in self.connection.execute(query)]

    def schedule(self, scope: Scope, agent: str, name: str, *, hold: bool = False) -> DeployedSchedule | None:
        """One schedule, also one that is removed and of which the engine has not been told.

        With `hold` nobody else changes it before this transaction ends; only a transaction that writes can do that.
        """
        query = select(schedules).where(*_key(scope, agent, name))
        row = self.connection.execute(query.with_for_update() if hold else query).first()
        return _schedule(row) if row else None

    def put_schedule(self, schedule: DeployedSchedule) -> None:
        """Sets a schedule; `applied` is only changed by :meth:`set_schedule_applied`."""
        values = {
            "document": to_json(schedule),
            "revision": schedule.revision,
            "removed": schedule.removed,
        }
        key = _key(schedule.scope, schedule.agent, schedule.name)
        if not self.connection.execute(schedules.update().where(*key).values(values)).rowcount:
            row = scoped(schedule.scope, agent=schedule.agent, name=schedule.name, applied=0, **values)
            self.connection.execute(schedules.insert(), row)

    def unapplied_schedules(self, limit: int, scope: Scope | None = None) -> list[DeployedSchedule]:
        """Schedules of which the engine has to be told, over all customers unless `scope` is given."""
        query = select(schedules).where(schedules.c.applied != schedules.c.revision)
        if scope is not None:
            query = query.where(in_scope(schedules, scope))
        return [_schedule(row) for row in self.connection.execute(query.limit(limit))]

    def applied_schedules(self) -> list[DeployedSchedule]:
        """Schedules of which the engine has been told, over all customers."""
        query = select(schedules).where(schedules.c.applied == schedules.c.revision)
        return [_schedule(row) for row in self.connection.execute(query)]

    def set_schedule_applied(self, schedule: DeployedSchedule, applied: int) -> None:
        """Notes which revision the engine knows. What is removed there goes, unless it came back meanwhile."""
        key = _key(schedule.scope, schedule.agent, schedule.name)
        if schedule.removed and applied == schedule.revision:
            gone = self.connection.execute(schedules.delete().where(*key, schedules.c.revision == applied))
            if gone.rowcount:
                of_runs = _runs_of(schedule.scope, schedule.agent, schedule.name)
                self.connection.execute(schedule_runs.delete().where(*of_runs))
                return
        self.connection.execute(schedules.update().where(*key).values(applied=applied))

    def schedule_run(self, scope: Scope, agent: str, name: str, due_at: datetime) -> ScheduleRun | None:
        """What became of a due time, if anything has."""
        due = schedule_runs.c.due_at == clock.from_datetime(due_at)
        row = self.connection.execute(
            select(schedule_runs.c.document).where(*_runs_of(scope, agent, name), due)
        ).scalar()
        return ScheduleRun.model_validate_json(row) if row else None

    def schedule_runs(self, scope: Scope, agent: str, name: str, limit: int) -> list[ScheduleRun]:
        """The latest due times of a schedule, the latest first."""
        query = (
            select(schedule_runs.c.document)
            .where(*_runs_of(scope, agent, name))
            .order_by(schedule_runs.c.due_at.desc())
            .limit(limit)
        )
        return [ScheduleRun.model_validate_json(text) for text in self.connection.execute(query).scalars()]

    def add_schedule_run(self, scope: Scope, agent: str, name: str, run: ScheduleRun) -> bool:
        """Notes what became of a due time; False when that is known. The oldest ones are forgotten."""
        if self.schedule_run(scope, agent, name, run.due_at) is not None:
            return False
        due_at = clock.from_datetime(run.due_at)
        row = scoped(scope, agent=agent, schedule=name, due_at=due_at, document=to_json(run))
        self.connection.execute(schedule_runs.insert(), row)
        own = _runs_of(scope, agent, name)
        oldest = (
            select(schedule_runs.c.due_at)
            .where(*own)
            .order_by(schedule_runs.c.due_at.desc())
            .offset(KEPT_RUNS)
            .limit(1)
        )
        last = self.connection.execute(oldest).scalar()
        if last is not None:
            self.connection.execute(
                schedule_runs.delete().where(*own, schedule_runs.c.due_at <= last, schedule_runs.c.due_at != due_at)
            )
        return True


def _key(scope: Scope, agent: str, name: str) -> tuple[ColumnElement[bool], ...]:
    return in_scope(schedules, scope), schedules.c.agent == agent, schedules.c.name == name


def _runs_of(scope: Scope, agent: str, name: str) -> tuple[ColumnElement[bool], ...]:
    return in_scope(schedule_runs, scope), schedule_runs.c.agent == agent, schedule_runs.c.schedule == name


def _schedule(row: Row[tuple[Any, ...]]) -> DeployedSchedule:
    found = DeployedSchedule.model_validate_json(row.document)
    return found.model_copy(update={"revision": row.revision, "applied": row.applied, "removed": bool(row.removed)})
