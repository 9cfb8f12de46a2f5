"""Queries on executions and their steps."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import CompoundSelect, Row, Select, bindparam, func, select

from caxton.adapters.store import clock
from caxton.adapters.store.schema import NAME, executions, steps
from caxton.adapters.store.session import Session, from_json, given, in_scope, scope_given, scoped, to_json
from caxton.adapters.store.several import chunks, each
from caxton.domain.errors import ErrorReport
from caxton.domain.executions import Execution, ExecutionState
from caxton.domain.forks import ANSWER
from caxton.domain.ids import ConversationId, Digest, ExecutionId, MessageId, Scope
from caxton.domain.records import ExecutionRecord, StepRecord, TurnsSoFar
from caxton.domain.usage import Usage

_OF_TURN = (
    select(executions)
    .where(scope_given(executions), executions.c.root_id == bindparam("root_id"))
    .order_by(executions.c.depth, executions.c.started_at)
)
_BY_ID = select(executions).where(scope_given(executions), executions.c.id.in_(bindparam("ids", expanding=True)))
_ONE = select(executions).where(scope_given(executions), executions.c.id == bindparam("id"))
_STEPS = (
    select(steps)
    .where(scope_given(steps), steps.c.execution_id.in_(bindparam("ids", expanding=True)))
    .order_by(steps.c.execution_id, steps.c.step, steps.c.call)
)
_STEPS_FROM = (
    select(steps)
    .where(
        scope_given(steps),
        steps.c.execution_id == bindparam("id"),
        steps.c.step >= bindparam("first"),
        steps.c.step <= bindparam("last"),
    )
    .order_by(steps.c.step, steps.c.call)
)
_SIZE_OF_STEPS = select(func.coalesce(func.sum(func.length(steps.c.payload)), 0)).where(
    scope_given(steps), steps.c.execution_id == bindparam("id"), steps.c.step <= bindparam("last")
)
_STEP = select(steps).where(
    scope_given(steps),
    steps.c.execution_id == bindparam("id"),
    steps.c.step == bindparam("step"),
    steps.c.call == bindparam("call"),
)
_RECORDED = select(steps.c.execution_id, steps.c.step, steps.c.call).where(
    scope_given(steps), steps.c.execution_id.in_(bindparam("ids", expanding=True))
)
_LAST_MODEL_STEP = (
    select(steps)
    .where(scope_given(steps), steps.c.execution_id == bindparam("execution_id"), steps.c.call == 0)
    .order_by(steps.c.step.desc())
    .limit(1)
)
_CALLS_OF_STEP = select(steps.c.call).where(
    scope_given(steps),
    steps.c.execution_id == bindparam("execution_id"),
    steps.c.step == bindparam("step"),
    steps.c.call > 0,
)
_WORK_IN_HAND = (
    select(executions.c.agent, func.count())
    .where(scope_given(executions), executions.c.state == ExecutionState.RUNNING)
    .group_by(executions.c.agent)
)
_OF_CONVERSATION = (scope_given(executions), executions.c.conversation_id == bindparam("conversation_id"))
_FIRST_VERSION = (
    select(executions.c.agent_digest)
    .where(*_OF_CONVERSATION, executions.c.agent == bindparam("agent"))
    .order_by(executions.c.started_at)
    .limit(1)
)


@lru_cache(maxsize=16)
def _first_turns(count: int) -> CompoundSelect[Any]:
    """Of `count` conversations: the first turn that an agent took."""

    def query(number: int) -> Select[Any]:
        return (
            select(*(executions.c[name] for name in ("conversation_id", "agent", "agent_digest")))
            .where(
                scope_given(executions),
                executions.c.conversation_id == bindparam(f"id_{number}"),
                executions.c.depth == 0,
                executions.c.agent.is_not(None),
            )
            .order_by(executions.c.started_at)
            .limit(1)
        )

    return each(count, query)


_OF_EXECUTION = (
    executions.c.customer == bindparam("in_customer"),
    executions.c.workspace == bindparam("in_workspace"),
    executions.c.id == bindparam("in_id"),
)
_FINISH = (
    executions.update()
    .where(*_OF_EXECUTION, executions.c.state == ExecutionState.RUNNING)
    .values({name: bindparam(f"new_{name}") for name in ("state", "reply_id", "error", "usage", "finished_at")})
)
_SET_USAGE = executions.update().where(*_OF_EXECUTION).values(usage=bindparam("new_usage"))


_NO_LAST = 1 << 30


def _key(scope: Scope, execution_id: ExecutionId) -> dict[str, str]:
    return {"in_customer": scope.customer, "in_workspace": scope.workspace, "in_id": execution_id}


class ExecutionQueries(Session):
    """Executions and steps."""

    def executions(self, scope: Scope, ids: Sequence[ExecutionId]) -> dict[ExecutionId, ExecutionRecord]:
        """Those of the executions that exist."""
        if not ids:
            return {}
        if len(ids) == 1:  # most often; a list of ids is written into the statement each time
            rows = self.connection.execute(_ONE, given(scope, id=ids[0]))
        else:
            rows = self.connection.execute(_BY_ID, given(scope, ids=list(ids)))
        return {row.id: execution_record(row) for row in rows}

    def executions_of_turn(self, scope: Scope, root_id: ExecutionId) -> list[ExecutionRecord]:
        """A turn's executions, the root first."""
        return [execution_record(row) for row in self.connection.execute(_OF_TURN, given(scope, root_id=root_id))]

    def turns_so_far(self, scope: Scope, ids: Sequence[ConversationId]) -> dict[ConversationId, TurnsSoFar]:
        """What earlier turns of conversations settled for the next one; those that had none are left out."""
        found: dict[ConversationId, TurnsSoFar] = {}
        for chunk in chunks(ids, ConversationId("")):
            values = given(scope, **{f"id_{number}": each_id for number, each_id in enumerate(chunk)})
            for row in self.connection.execute(_first_turns(len(chunk)), values):
                found[row.conversation_id] = TurnsSoFar(row.agent, row.agent_digest)
        return found

    def first_version(self, scope: Scope, conversation_id: ConversationId, agent: str) -> Digest | None:
        """The version of an agent that was the first to work in a conversation."""
        return self.connection.execute(
            _FIRST_VERSION, given(scope, conversation_id=conversation_id, agent=agent)
        ).scalar()

    def work_in_hand(self, scope: Scope) -> dict[str, int]:
        """How many executions each agent has in progress; agents with none are left out.

        Read once a transaction, and the caller's to count on: a batch must not give all of its work to the same agent.
        """
        known = self.in_hand.get(scope)
        if known is None:
            rows = self.connection.execute(_WORK_IN_HAND, given(scope))
            known = self.in_hand[scope] = {agent: count for agent, count in rows if agent is not None}
        return known

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
            deployment_id=execution.deployment_id,
            capability=execution.capability,
            capability_version=execution.capability_version,
            state=execution.state.value,
            error=to_json(execution.error) if execution.error else None,
            usage=to_json(execution.usage),
            depth=execution.depth,
            variables=to_json(record.variables),
            started_at=clock.from_datetime(execution.started_at),
            finished_at=clock.from_datetime(execution.finished_at) if execution.finished_at else None,
        )
        self.insert_keyed(executions, scope, execution.id, row)

    def finish_execution(
        self,
        scope: Scope,
        execution_id: ExecutionId,
        state: ExecutionState,
        *,
        reply_id: MessageId | None,
        error: ErrorReport | None,
        usage: Usage,
        at: datetime | None = None,
    ) -> bool:
        """Records the end, `at` that time or now; False when it had ended already (nothing is changed then)."""
        values = {
            "state": state.value,
            "reply_id": reply_id,
            "error": to_json(error) if error else None,
            "usage": to_json(usage),
            "finished_at": clock.from_datetime(at) if at else clock.now(),
        }
        row = self.fresh(executions, scope, execution_id)
        if row is not None:
            if row["state"] != ExecutionState.RUNNING:
                return False
            row.update(values)
            return True
        self.flush()
        new = {f"new_{name}": value for name, value in values.items()}
        changed = self.connection.execute(_FINISH, {**_key(scope, execution_id), **new})
        return bool(changed.rowcount)

    def set_usage(self, scope: Scope, execution_id: ExecutionId, usage: Usage) -> None:
        """Records what a running execution has used so far."""
        row = self.fresh(executions, scope, execution_id)
        if row is not None:
            row["usage"] = to_json(usage)
            return
        self.connection.execute(_SET_USAGE, {**_key(scope, execution_id), "new_usage": to_json(usage)})

    def steps(self, scope: Scope, ids: Sequence[ExecutionId]) -> dict[ExecutionId, list[StepRecord]]:
        """The recorded steps of each execution, in order."""
        found: dict[ExecutionId, list[StepRecord]] = defaultdict(list)
        if ids:
            for row in self.connection.execute(_STEPS, given(scope, ids=list(ids))):
                found[row.execution_id].append(_step(row))
        return found

    def steps_from(
        self, scope: Scope, execution_id: ExecutionId, first: int, last: int | None = None
    ) -> list[StepRecord]:
        """Those of an execution's steps whose numbers are `first` to `last` (None: all from there on), in order."""
        until = _NO_LAST if last is None else last
        rows = self.connection.execute(_STEPS_FROM, given(scope, id=execution_id, first=first, last=until))
        return [_step(row) for row in rows]

    def size_of_steps(self, scope: Scope, execution_id: ExecutionId, last: int) -> int:
        """How many characters an execution recorded up to the step of the number `last`."""
        return self.connection.execute(_SIZE_OF_STEPS, given(scope, id=execution_id, last=last)).scalar_one()

    def step(self, scope: Scope, execution_id: ExecutionId, step: int, call: int) -> StepRecord | None:
        """One step, or None. Read once a transaction: calls side by side all look at the step that asked for them."""
        key = (scope, execution_id, step, call)
        if key not in self.read_steps:
            row = self.connection.execute(_STEP, given(scope, id=execution_id, step=step, call=call)).first()
            self.read_steps[key] = None if row is None else _step(row)
        return self.read_steps[key]

    def recorded(self, scope: Scope, ids: Sequence[ExecutionId]) -> set[tuple[ExecutionId, int, int]]:
        """The keys (execution, step, call) of all recorded steps of the executions."""
        if not ids:
            return set()
        rows = self.connection.execute(_RECORDED, given(scope, ids=list(ids)))
        return {(ExecutionId(row.execution_id), row.step, row.call) for row in rows}

    def last_model_step(self, scope: Scope, execution_id: ExecutionId) -> tuple[StepRecord, set[int]] | None:
        """The execution's last recorded model call, and the numbers of its calls that are recorded."""
        row = self.connection.execute(_LAST_MODEL_STEP, given(scope, execution_id=execution_id)).first()
        if row is None:
            return None
        calls = self.connection.execute(_CALLS_OF_STEP, given(scope, execution_id=execution_id, step=row.step))
        return _step(row), {call for (call,) in calls}

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
            tool=_fitting(record.tool, NAME),
            function=_fitting(record.function, 2 * NAME),
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
        if '"digest":"' in row["payload"]:
            self.insert_uses(scope, _digests(record), record.execution_id, record.step, record.call)


def _fitting(name: str | None, most: int) -> str | None:
    """A name as its column takes it. Models make names up: some are longer, or have what PostgreSQL keeps in no text."""
    return name and name.replace("\0", "\ufffd")[:most]


def execution_record(row: Row[tuple[object, ...]]) -> ExecutionRecord:
    """The execution that a row of the table is."""
    execution = Execution(
        id=row.id,
        parent_id=row.parent_id,
        root_id=row.root_id,
        conversation_id=row.conversation_id,
        message_id=row.message_id,
        agent=row.agent,
        agent_version=row.agent_version,
        agent_digest=row.agent_digest,
        deployment_id=row.deployment_id,
        capability=row.capability,
        capability_version=row.capability_version,
        state=row.state,
        error=from_json(row.error),
        usage=from_json(row.usage, {}),
        depth=row.depth,
        started_at=clock.to_datetime(row.started_at),
        finished_at=clock.optional_datetime(row.finished_at),
    )
    return ExecutionRecord(execution, row.fingerprint, row.reply_id, from_json(row.variables, {}))


def _digests(record: StepRecord) -> list[str]:
    """Contents that a step refers to: files that a tool or another agent made, a draft or an answer that is too long for it.

    Arguments and results may name any content; that proves nothing.
    """
    payload: dict[str, Any] = from_json(to_json(record.payload))
    if record.kind == "tool":
        artifacts: list[dict[str, str]] = payload.get("artifacts") or []
        return [artifact["digest"] for artifact in artifacts]
    draft: dict[str, Any] = payload.get("draft") or {}
    calls: list[dict[str, Any]] = payload.get("calls") or []
    answers = [draft, *(call[ANSWER] for call in calls if ANSWER in call)]
    return [digest for answer in answers for digest in _digests_of(answer)]


def _digests_of(answer: dict[str, Any]) -> list[str]:
    artifacts: list[dict[str, str]] = answer.get("artifacts") or []
    content: dict[str, Any] = answer.get("content") or {}
    own = [content["digest"]] if content.get("digest") else []
    return [*(artifact["digest"] for artifact in artifacts), *own]


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
