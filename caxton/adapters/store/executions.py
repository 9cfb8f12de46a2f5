"""Queries on executions and their steps."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, func, select

from caxton.adapters.store import clock
from caxton.adapters.store.schema import executions, steps
from caxton.adapters.store.session import Session, from_json, in_scope, scoped, to_json
from caxton.domain.errors import ErrorReport
from caxton.domain.executions import Execution, ExecutionState, Usage
from caxton.domain.ids import ExecutionId, MessageId, Scope
from caxton.domain.records import ExecutionRecord, StepRecord


class ExecutionQueries(Session):
    """Executions and steps."""

    def executions(self, scope: Scope, ids: Sequence[ExecutionId]) -> dict[ExecutionId, ExecutionRecord]:
        """Those of the executions that exist."""
        if not ids:
            return {}
        query = select(executions).where(in_scope(executions, scope), executions.c.id.in_(ids))
        return {row.id: _execution(row) for row in self.connection.execute(query)}

    def executions_of_turn(self, scope: Scope, root_id: ExecutionId) -> list[ExecutionRecord]:
        """A turn's executions, the root first."""
        query = (
            select(executions)
            .where(in_scope(executions, scope), executions.c.root_id == root_id)
            .order_by(executions.c.depth, executions.c.started_at)
        )
        return [_execution(row) for row in self.connection.execute(query)]

    def work_in_hand(self, scope: Scope) -> dict[str, int]:
        """How many executions each agent has in hand; agents with none are left out."""
        query = (
            select(executions.c.agent, func.count())
            .where(in_scope(executions, scope), executions.c.state == ExecutionState.RUNNING)
            .group_by(executions.c.agent)
        )
        return {agent: count for agent, count in self.connection.execute(query) if agent is not None}

    def add_execution(self, scope: Scope, record: ExecutionRecord) -> None:
        """Records that work has begun."""
        execution = record.execution
        row = scoped(
            scope,
            id=execution.id,
            root_id=execution.root_id,
            parent_id=execution.parent_id,
            conversation_id=execution.conversation_id,
            message_id=execution.message_id,
            reply_id=record.reply_id,
            fingerprint=record.fingerprint,
            agent=execution.agent,
            agent_version=execution.agent_version,
            agent_digest=execution.agent_digest,
            capability=execution.capability,
            state=execution.state,
            error=to_json(execution.error) if execution.error else None,
            usage=to_json(execution.usage),
            depth=execution.depth,
            variables=to_json(record.variables),
            started_at=clock.from_datetime(execution.started_at),
            finished_at=clock.from_datetime(execution.finished_at) if execution.finished_at else None,
        )
        self.insert(executions, row)

    def finish_execution(
        self,
        scope: Scope,
        execution_id: ExecutionId,
        state: ExecutionState,
        *,
        reply_id: MessageId | None,
        error: ErrorReport | None,
        usage: Usage,
    ) -> bool:
        """Records the end; False when it had ended already (nothing is changed then)."""
        self.flush()
        changed = self.connection.execute(
            executions.update()
            .where(
                in_scope(executions, scope),
                executions.c.id == execution_id,
                executions.c.state == ExecutionState.RUNNING,
            )
            .values(
                state=state,
                reply_id=reply_id,
                error=to_json(error) if error else None,
                usage=to_json(usage),
                finished_at=clock.now(),
            )
        )
        return bool(changed.rowcount)

    def set_usage(self, scope: Scope, execution_id: ExecutionId, usage: Usage) -> None:
        """Records what a running execution has used so far."""
        self.connection.execute(
            executions.update()
            .where(in_scope(executions, scope), executions.c.id == execution_id)
            .values(usage=to_json(usage))
        )

    def steps(self, scope: Scope, ids: Sequence[ExecutionId]) -> dict[ExecutionId, list[StepRecord]]:
        """The recorded steps of each execution, in order."""
        found: dict[ExecutionId, list[StepRecord]] = defaultdict(list)
        if ids:
            query = (
                select(steps)
                .where(in_scope(steps, scope), steps.c.execution_id.in_(ids))
                .order_by(steps.c.execution_id, steps.c.step, steps.c.call)
            )
            for row in self.connection.execute(query):
                found[row.execution_id].append(_step(row))
        return found

    def recorded(self, scope: Scope, ids: Sequence[ExecutionId]) -> set[tuple[ExecutionId, int, int]]:
        """The keys (execution, step, call) of all recorded steps of the executions."""
        if not ids:
            return set()
        query = select(steps.c.execution_id, steps.c.step, steps.c.call).where(
            in_scope(steps, scope), steps.c.execution_id.in_(ids)
        )
        return {(ExecutionId(row.execution_id), row.step, row.call) for row in self.connection.execute(query)}

    def tool_steps(self, scope: Scope, tool: str, limit: int) -> list[StepRecord]:
        """The latest calls of a tool, newest first."""
        query = (
            select(steps)
            .where(in_scope(steps, scope), steps.c.tool == tool)
            .order_by(steps.c.created_at.desc())
            .limit(limit)
        )
        return [_step(row) for row in self.connection.execute(query)]

    def add_step(self, scope: Scope, record: StepRecord) -> None:
        """Records a step. A second record under the same key fails the transaction: the step happened once."""
        row: dict[str, Any] = scoped(
            scope,
            execution_id=record.execution_id,
            step=record.step,
            call=record.call,
            kind=record.kind,
            agent=record.agent,
            tool=record.tool,
            function=record.function,
            ok=record.ok,
            error_code=record.error_code,
            duration_ms=record.duration_ms,
            cpu_ms=record.cpu_ms,
            fuel=record.fuel,
            memory=record.memory,
            payload=to_json(record.payload),
            created_at=clock.now(),
        )
        self.insert(steps, row)


def _execution(row: Row[tuple[object, ...]]) -> ExecutionRecord:
    execution = Execution(
        id=row.id,
        parent_id=row.parent_id,
        root_id=row.root_id,
        conversation_id=row.conversation_id,
        message_id=row.message_id,
        agent=row.agent,
        agent_version=row.agent_version,
        agent_digest=row.agent_digest,
        capability=row.capability,
        state=row.state,
        error=from_json(row.error),
        usage=from_json(row.usage, {}),
        depth=row.depth,
        started_at=clock.to_datetime(row.started_at),
        finished_at=clock.optional_datetime(row.finished_at),
    )
    return ExecutionRecord(execution, row.fingerprint, row.reply_id, from_json(row.variables, {}))


def _step(row: Row[tuple[object, ...]]) -> StepRecord:
    return StepRecord(
        execution_id=row.execution_id,
        step=row.step,
        call=row.call,
        kind=row.kind,
        ok=row.ok,
        payload=from_json(row.payload, {}),
        agent=row.agent,
        tool=row.tool,
        function=row.function,
        error_code=row.error_code,
        duration_ms=row.duration_ms,
        cpu_ms=row.cpu_ms,
        fuel=row.fuel,
        memory=row.memory,
        created_at=clock.to_datetime(row.created_at),
    )
