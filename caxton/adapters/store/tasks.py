"""Queries on turns as tasks: what is in progress, and what has ended, the latest first."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, or_, select

from caxton.adapters.store import clock
from caxton.adapters.store.executions import execution_record
from caxton.adapters.store.schema import executions, turns
from caxton.adapters.store.session import Session, in_scope
from caxton.adapters.store.turns import turn_in_hand
from caxton.domain.executions import ExecutionState
from caxton.domain.ids import ConversationId, ExecutionId, Scope
from caxton.domain.records import EndedTurns, ExecutionRecord, TurnInHand


class TaskQueries(Session):
    """Turns as tasks."""

    def turns_in_progress(
        self, scope: Scope, conversation_id: ConversationId | None, limit: int
    ) -> Sequence[TurnInHand]:
        """Turns of the workspace that are accepted and have not ended, the latest first."""
        query = select(turns).where(in_scope(turns, scope)).order_by(turns.c.sequence.desc()).limit(limit)
        if conversation_id is not None:
            query = query.where(turns.c.conversation_id == conversation_id)
        return [turn_in_hand(row) for row in self.connection.execute(query)]

    def ended_turns(
        self, scope: Scope, wanted: EndedTurns, before: tuple[datetime, ExecutionId] | None, limit: int
    ) -> list[ExecutionRecord]:
        """Root executions of turns that have ended, the latest end first.

        Args:
            scope: whose.
            wanted: which.
            before: the end and the id of the last one that is known, to go on behind it.
            limit: how many at most.
        """
        query = select(executions).where(*_conditions(scope, wanted))
        if before is not None:
            end = clock.from_datetime(before[0])
            later = and_(executions.c.finished_at == end, executions.c.id < before[1])
            query = query.where(executions.c.finished_at <= end, or_(executions.c.finished_at < end, later))
        query = query.order_by(executions.c.finished_at.desc(), executions.c.id.desc()).limit(limit)
        return [execution_record(row) for row in self.connection.execute(query)]

    def count_ended_turns(self, scope: Scope, wanted: EndedTurns) -> int:
        """How many there are."""
        query = select(func.count()).select_from(executions).where(*_conditions(scope, wanted))
        return self.connection.execute(query).scalar_one()


def _conditions(scope: Scope, wanted: EndedTurns) -> list[ColumnElement[bool]]:
    found = [in_scope(executions, scope), executions.c.depth == 0, executions.c.finished_at.is_not(None)]
    if wanted.conversation_id is not None:
        found.append(executions.c.conversation_id == wanted.conversation_id)
    if wanted.since is not None:
        found.append(executions.c.finished_at >= clock.from_datetime(wanted.since))
    if not (wanted.completed and wanted.failed):
        found.append(executions.c.state == (ExecutionState.COMPLETED if wanted.completed else ExecutionState.FAILED))
    if wanted.codes:
        found.append(or_(*map(_has_code, sorted(wanted.codes))))
    found += [~_has_code(code) for code in sorted(wanted.other_codes)]
    return found


def _has_code(code: str) -> ColumnElement[bool]:
    """Whether an execution has the error `code`: reports are kept as JSON that begins with it."""
    return func.coalesce(executions.c.error, "").startswith(f'{{"code":"{code}"', autoescape=True)
