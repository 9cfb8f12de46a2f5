"""Periods of retention, and what is outside of them: a bounded number of rows at a time, found by the indices that there are."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, exists, func, select

from caxton.adapters.store import clock
from caxton.adapters.store.deletion import DeletionQueries
from caxton.adapters.store.schema import (
    conversations,
    deadlines,
    executions,
    generations,
    messages,
    steps,
    versions,
    workspace_contents,
)
from caxton.adapters.store.schema_retention import retention_periods
from caxton.adapters.store.session import from_json, in_scope, scoped, to_json
from caxton.domain.conversations import ENDED
from caxton.domain.executions import ExecutionState
from caxton.domain.ids import ConversationId, Digest, ExecutionId, Scope
from caxton.domain.records import Removed
from caxton.domain.retention import Periods

APPLYING = ExecutionId("retention")
"""The name of the deadline that applies a workspace's periods."""


class RetentionQueries(DeletionQueries):
    """Periods, and what they let go."""

    def periods(self, scope: Scope) -> Periods:
        """The workspace's own periods."""
        query = select(retention_periods.c.periods).where(in_scope(retention_periods, scope))
        return Periods.model_validate(from_json(self.connection.execute(query).scalar(), {}))

    def put_periods(self, scope: Scope, periods: Periods) -> None:
        """Sets the workspace's own periods."""
        self.connection.execute(retention_periods.delete().where(in_scope(retention_periods, scope)))
        if periods != Periods():
            self.connection.execute(
                retention_periods.insert(), scoped(scope, periods=to_json(periods), updated_at=clock.now())
            )

    def all_scopes(self) -> list[Scope]:
        """All workspaces of all customers in which anything was ever deployed."""
        query = select(generations.c.customer, generations.c.workspace)
        return [Scope(customer=row.customer, workspace=row.workspace) for row in self.connection.execute(query)]

    def apply_retention_at(self, scope: Scope, moment: datetime, name: ExecutionId = APPLYING, *, sooner: bool) -> None:
        """Lets a workspace's periods be applied at a moment, unless that is noted already; with `sooner` not later than then.

        `name` tells that deadline from the one of the customer's event log.
        """
        own = (
            in_scope(deadlines, scope),
            deadlines.c.execution_id == name,
            deadlines.c.kind == "retention",
        )
        due = clock.from_datetime(moment)
        if self.connection.execute(select(deadlines.c.due_at).where(*own)).first() is None:
            row = scoped(scope, execution_id=name, kind="retention", level=0, due_at=due, attempts=0, details="{}")
            self.connection.execute(deadlines.insert(), row)
        elif sooner:
            self.connection.execute(deadlines.update().where(*own, deadlines.c.due_at > due).values(due_at=due))

    def outside(self, scope: Scope, kind: str, before: datetime) -> int:
        """How many there are of a kind that are older than a moment and may go."""
        if kind == "contents":
            return len(self._old_contents(scope, before, None))
        if kind == "steps":
            query = (
                select(func.count())
                .select_from(steps)
                .where(in_scope(steps, scope), steps.c.execution_id.in_(self._old_executions(scope, before)))
            )
        else:
            query = select(func.count()).select_from(self._old(scope, kind, before).subquery())
        return int(self.connection.execute(query).scalar_one())

    def ended_conversations(self, scope: Scope, before: datetime, limit: int) -> list[ConversationId]:
        """Conversations that have ended and were last active before a moment, the oldest first."""
        query = self._old(scope, "conversations", before).order_by(conversations.c.last_activity).limit(limit)
        return [ConversationId(each) for each in self.connection.execute(query).scalars()]

    def remove_old_messages(self, scope: Scope, before: datetime, limit: int) -> Removed:
        """Removes messages that are older than a moment, but for those of executions at work."""
        removed = Removed()
        ids = self._first(scope, messages, "sender", self._old(scope, "messages", before), messages.c.created_at, limit)
        self.remove_messages(scope, ids, removed)
        removed.more = len(ids) == limit
        return removed

    def remove_old_executions(self, scope: Scope, before: datetime, limit: int) -> Removed:
        """Removes executions that ended before a moment, with all that hangs on them."""
        query = self._old(scope, "executions", before)
        ids = self._first(scope, executions, "capability", query, executions.c.started_at, limit)
        removed = self.remove_executions(scope, ids)
        removed.more = len(ids) == limit
        return removed

    def remove_old_steps(self, scope: Scope, before: datetime, begun_since: datetime | None, limit: int) -> Removed:
        """Removes the steps of executions that ended before a moment; only of those begun since another one, if one is given."""
        removed = Removed()
        with_steps = exists().where(in_scope(steps, scope), steps.c.execution_id == executions.c.id)
        query = self._old_executions(scope, before).where(with_steps)
        if begun_since is not None:
            query = query.where(executions.c.started_at >= clock.from_datetime(begun_since))
        ids = self._first(scope, executions, "capability", query, executions.c.started_at, limit)
        self.remove_steps(scope, ids, removed)
        removed.more = len(ids) == limit
        return removed

    def remove_old_contents(self, scope: Scope, before: datetime, limit: int) -> Removed:
        """Lets go of content that was brought to the workspace before a moment and is of no version of an agent or a tool."""
        digests = self._old_contents(scope, before, limit)
        table = workspace_contents
        if digests:
            self.connection.execute(table.delete().where(in_scope(table, scope), table.c.digest.in_(digests)))
        return Removed(digests=set(digests), more=len(digests) == limit)

    def _old_contents(self, scope: Scope, before: datetime, limit: int | None) -> list[Digest]:
        table = workspace_contents
        query = select(table.c.digest).where(in_scope(table, scope), table.c.created_at < clock.from_datetime(before))
        old = list(self.connection.execute(query).scalars())
        if not old:
            return []
        files = self.connection.execute(select(versions.c.files).where(in_scope(versions, scope))).scalars()
        kept = {digest for each in files for digest in from_json(each, {}).values()}
        return [Digest(each) for each in old if each not in kept][:limit]

    def _old(self, scope: Scope, kind: str, before: datetime) -> Select[Any]:
        """Ids of what may go of a kind."""
        moment = clock.from_datetime(before)
        if kind == "conversations":
            return select(conversations.c.id).where(
                in_scope(conversations, scope),
                conversations.c.last_activity < moment,
                conversations.c.state.in_(ENDED),
            )
        if kind == "messages":
            at_work = exists().where(
                in_scope(executions, scope),
                executions.c.id == messages.c.execution_id,
                executions.c.state == ExecutionState.RUNNING,
            )
            return select(messages.c.id).where(in_scope(messages, scope), messages.c.created_at < moment, ~at_work)
        return self._old_executions(scope, before)

    def _old_executions(self, scope: Scope, before: datetime) -> Select[Any]:
        moment = clock.from_datetime(before)
        return select(executions.c.id).where(
            in_scope(executions, scope),
            executions.c.started_at < moment,
            executions.c.state != ExecutionState.RUNNING,
            executions.c.finished_at < moment,
        )

    def _first(
        self, scope: Scope, table: Table, column: str, query: Select[Any], order: ColumnElement[int], limit: int
    ) -> list[str]:
        """The first rows of `query`, one value of `column` after another: there are few, and an index of (column, time)."""
        found: list[str] = []
        for value in self._values(scope, table, column):
            if len(found) < limit:
                of_value = table.c[column].is_(None) if value is None else table.c[column] == value
                part = query.where(of_value).order_by(order).limit(limit - len(found))
                found += list(self.connection.execute(part).scalars())
        return found

    def _values(self, scope: Scope, table: Table, column: str) -> list[str | None]:
        """The values that there are of a column that leads an index: each is found behind the one before it."""
        of_scope = in_scope(table, scope)
        first: str | None = self.connection.execute(select(func.min(table.c[column])).where(of_scope)).scalar()
        found: list[str | None] = [None] if table.c[column].nullable else []
        while first is not None:
            found.append(first)
            following = select(func.min(table.c[column])).where(of_scope, table.c[column] > first)
            first = self.connection.execute(following).scalar()
        return found
