"""Queries on what is to happen at a time."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, bindparam, func, or_, select

from caxton.adapters.store import clock
from caxton.adapters.store.schema import deadlines
from caxton.adapters.store.session import Session, from_json, in_scope, scoped, to_json
from caxton.domain.ids import ExecutionId, Scope
from caxton.domain.records import Backlog, Deadline

NEVER = 1 << 62
"""When a deadline is due that is given up: it stays in the table for people to look at."""

WAITS = ("schedule", "push")
"""Kinds of deadlines by which somebody waits for the end of a turn: they are due at once when the turn ends."""

_KEY = ("customer", "workspace", "execution_id", "kind", "level")

_FIRST_DUE = func.coalesce(deadlines.c.first_due_at, deadlines.c.due_at)


_IS = and_(*(deadlines.c[name] == bindparam(f"of_{name}") for name in _KEY))
# Built once: to build a statement takes longer than to run it, and a look may have hundreds.
_TAKE = deadlines.update().where(_IS).values(due_at=bindparam("new_due"), first_due_at=_FIRST_DUE)
_REMOVE = deadlines.delete().where(_IS)


class DeadlineQueries(Session):
    """Deadlines: of promises, escalations, memories."""

    def add_deadlines(self, scope: Scope, found: Sequence[Deadline]) -> None:
        """Notes what is to happen at a time."""
        for deadline in found:
            row = scoped(
                scope,
                execution_id=deadline.execution_id,
                kind=deadline.kind,
                level=deadline.level,
                due_at=clock.from_datetime(deadline.due_at),
                attempts=deadline.attempts,
                details=to_json(deadline.details),
            )
            self.insert(deadlines, row)

    def any_deadline_due(self, moment: datetime) -> bool:
        """Whether anything is due at `moment`."""
        query = select(deadlines.c.due_at).where(deadlines.c.due_at <= clock.from_datetime(moment)).limit(1)
        return self.connection.execute(query).first() is not None

    def take_deadlines(self, moment: datetime, until: datetime, limit: int) -> list[Deadline]:
        """What is due at `moment`, over all customers, the earliest first.

        It is the caller's alone until `until`, and due again then if it is still there. What another process takes at the same
        time is left out.
        """
        query = (
            select(deadlines)
            .where(deadlines.c.due_at <= clock.from_datetime(moment))
            .order_by(deadlines.c.due_at)
            .limit(limit)
            .with_for_update(skip_locked=True)  # SQLite has one writer at a time, and leaves this out
        )
        found = [_deadline(row) for row in self.connection.execute(query)]
        if found:
            self.connection.execute(_TAKE, [_given(deadline, new_due=clock.from_datetime(until)) for deadline in found])
        return [replace(deadline, taken_until=until) for deadline in found]

    def postpone_deadline(self, deadline: Deadline, due_at: datetime | None, attempts: int) -> bool:
        """Puts one off that could not be dealt with; None forever. False when it is gone, or due again for another reason."""
        due = NEVER if due_at is None else clock.from_datetime(due_at)
        is_it = _key(deadline)
        if deadline.taken_until is not None:
            is_it = (*is_it, deadlines.c.due_at == clock.from_datetime(deadline.taken_until))
        changed = self.connection.execute(deadlines.update().where(*is_it).values(due_at=due, attempts=attempts))
        return bool(changed.rowcount)

    def remove_deadline(self, deadline: Deadline) -> bool:
        """Strikes one that was dealt with; False when another process was quicker."""
        return bool(self.connection.execute(_REMOVE, _given(deadline)).rowcount)

    def clear_deadlines(self, scope: Scope, execution_id: ExecutionId) -> None:
        """Strikes those of an execution that has ended, but for notices that are due already."""
        self.flush()
        self.connection.execute(
            deadlines.delete().where(
                in_scope(deadlines, scope),
                deadlines.c.execution_id == execution_id,
                deadlines.c.kind.not_in(["memory", *WAITS]),
                or_(deadlines.c.kind != "escalation", clock.now() < _FIRST_DUE),
            )
        )

    def wait_for_turn(self, deadline: Deadline) -> None:
        """Notes that somebody waits for the end of a turn, in place of who waited before."""
        self.connection.execute(deadlines.delete().where(*_key(deadline)))
        self.add_deadlines(deadline.scope, [deadline])
        self.flush()

    def deadline_backlog(self, moment: datetime) -> Backlog:
        """What is due and nobody has dealt with, over all customers, and what is given up."""
        count, oldest = self.connection.execute(
            select(func.count(), func.min(deadlines.c.due_at)).where(deadlines.c.due_at <= clock.from_datetime(moment))
        ).one()
        given_up = select(func.count()).select_from(deadlines).where(deadlines.c.due_at == NEVER)
        return Backlog(
            due=count,
            oldest=clock.optional_datetime(oldest),
            given_up=self.connection.execute(given_up).scalar_one(),
        )


def _key(deadline: Deadline) -> tuple[ColumnElement[bool], ...]:
    return (
        in_scope(deadlines, deadline.scope),
        deadlines.c.execution_id == deadline.execution_id,
        deadlines.c.kind == deadline.kind,
        deadlines.c.level == deadline.level,
    )


def _given(deadline: Deadline, **values: int) -> dict[str, Any]:
    """Parameters of a statement about one deadline."""
    scope = deadline.scope
    key = (scope.customer, scope.workspace, deadline.execution_id, deadline.kind, deadline.level)
    return {**{f"of_{name}": value for name, value in zip(_KEY, key, strict=True)}, **values}


def _deadline(row: Row[tuple[Any, ...]]) -> Deadline:
    return Deadline(
        scope=Scope(customer=row.customer, workspace=row.workspace),
        execution_id=row.execution_id,
        kind=row.kind,
        level=row.level,
        due_at=clock.to_datetime(row.due_at),
        details=from_json(row.details, {}),
        attempts=row.attempts,
    )
