"""How executions ended, and where those stand that have not."""

from typing import Any

from caxton.domain.executions import Execution, ExecutionState, Plan, RequestedCall, StepResult, TurnOutcome
from caxton.domain.forks import ANSWER
from caxton.domain.ids import Scope
from caxton.domain.records import ExecutionRecord, Transaction
from caxton.domain.rollouts import NOT_ITS_OWN, Outcome
from caxton.recording import journal


def note_outcome(
    transaction: Transaction, scope: Scope, plan: Plan | None, execution: Execution, error_code: str | None = None
) -> None:
    """Notes how `execution` ended, with `error_code` if it failed. Errors that are not the agent's own do not count."""
    if plan is None or plan.rollout is None or error_code in NOT_ITS_OWN:
        return
    took = max(0.0, (journal.now() - execution.started_at).total_seconds())
    outcome = Outcome(
        rollout_id=plan.rollout,
        digest=plan.agent_digest,
        failed=error_code is not None,
        took=took,
        tokens=execution.usage.tokens,
        cost=execution.usage.cost_usd or 0.0,
        breached=plan.promised is not None and took > plan.promised,
        execution_id=execution.id,
    )
    transaction.add_outcome(scope, outcome)


def last_call(transaction: Transaction, scope: Scope, execution: Execution) -> dict[str, Any]:
    """Where a running execution stands: `last` and `at` of a :class:`StepResult`. Nothing before its first model call."""
    found = transaction.last_model_step(scope, execution.id)
    if found is None:
        return {}
    step, recorded = found
    calls = [RequestedCall.model_validate(call) for call in step.payload.get("calls", [])]
    answered = {call["call"] for call in step.payload.get("calls", []) if ANSWER in call}
    left = [call for call in calls if call.call not in recorded | answered]
    last = StepResult(calls=left, usage=execution.usage, needs_approval="draft" in step.payload)
    return {"last": last, "at": step.step}


def outcome_of(record: ExecutionRecord) -> TurnOutcome:
    """How a finished execution ended."""
    execution = record.execution
    return TurnOutcome(
        execution_id=execution.id,
        conversation_id=execution.conversation_id,
        state="completed" if execution.state is ExecutionState.COMPLETED else "failed",
        reply_id=record.reply_id,
        error=execution.error,
    )
