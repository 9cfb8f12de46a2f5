"""The records port: executions and their steps."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from caxton.domain.errors import ErrorReport
from caxton.domain.executions import Execution, ExecutionState
from caxton.domain.forks import TAKEN_OVER
from caxton.domain.ids import ConversationId, Digest, ExecutionId, MessageId, Scope
from caxton.domain.records.turns import TurnsSoFar
from caxton.domain.usage import Usage


@dataclass(frozen=True, slots=True)
class StepRecord:
    """What a step brought."""

    execution_id: ExecutionId
    step: int
    call: int
    kind: str
    ok: bool
    payload: dict[str, Any]
    agent: str | None = None
    tool: str | None = None
    function: str | None = None
    error_code: str | None = None
    duration_ms: float | None = None
    cpu_ms: float | None = None
    fuel: int | None = None
    memory: int | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ExecutionRecord:
    """An execution with what only the core needs of it."""

    execution: Execution
    fingerprint: str
    reply_id: MessageId | None
    variables: dict[str, Any]

    def usage_after(self, steps: Iterable[StepRecord]) -> Usage:
        """What it has used with all its `steps`. Tool calls side by side do not know of each other: they are counted."""
        own = [step for step in steps if step.kind == "tool" and TAKEN_OVER not in step.payload]
        used, calls = self.execution.usage, len(own)
        return used if used.tool_calls == calls else used.model_copy(update={"tool_calls": calls})


class ExecutionRecords(Protocol):
    """Executions and their steps."""

    def executions(self, scope: Scope, ids: Sequence[ExecutionId]) -> dict[ExecutionId, ExecutionRecord]: ...
    def executions_of_turn(self, scope: Scope, root_id: ExecutionId) -> list[ExecutionRecord]: ...
    def turns_so_far(self, scope: Scope, ids: Sequence[ConversationId]) -> dict[ConversationId, TurnsSoFar]: ...
    def first_version(self, scope: Scope, conversation_id: ConversationId, agent: str) -> Digest | None: ...
    def work_in_hand(self, scope: Scope) -> dict[str, int]: ...
    def add_execution(self, scope: Scope, record: ExecutionRecord) -> None: ...
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
    ) -> bool: ...
    def set_usage(self, scope: Scope, execution_id: ExecutionId, usage: Usage) -> None: ...
    def steps(self, scope: Scope, ids: Sequence[ExecutionId]) -> dict[ExecutionId, list[StepRecord]]: ...
    def steps_from(
        self, scope: Scope, execution_id: ExecutionId, first: int, last: int | None = None
    ) -> list[StepRecord]: ...
    def size_of_steps(self, scope: Scope, execution_id: ExecutionId, last: int) -> int: ...
    def step(self, scope: Scope, execution_id: ExecutionId, step: int, call: int) -> StepRecord | None: ...
    def recorded(self, scope: Scope, ids: Sequence[ExecutionId]) -> set[tuple[ExecutionId, int, int]]: ...
    def last_model_step(self, scope: Scope, execution_id: ExecutionId) -> tuple[StepRecord, set[int]] | None: ...
    def tool_steps(self, scope: Scope, tool: str, limit: int) -> list[StepRecord]: ...
    def add_step(self, scope: Scope, record: StepRecord) -> None: ...
