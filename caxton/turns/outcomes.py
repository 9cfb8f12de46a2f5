"""How messages of agents in a rollout ended: noted with the end, counted by the next look at the rollout."""

from caxton.domain.executions import Execution, Plan
from caxton.domain.ids import Scope
from caxton.domain.records import Transaction
from caxton.domain.rollouts import NOT_ITS_OWN, Outcome
from caxton.recording import journal


def note_outcome(
    transaction: Transaction, scope: Scope, plan: Plan | None, execution: Execution, error_code: str | None = None
) -> None:
    """Notes how `execution` ended, with `error_code` if it failed. Errors that are not the agent's own do not count."""
    if plan is None or plan.rollout is None or error_code in NOT_ITS_OWN:
        return
    outcome = Outcome(
        rollout_id=plan.rollout,
        digest=plan.agent_digest,
        failed=error_code is not None,
        took=max(0.0, (journal.now() - execution.started_at).total_seconds()),
        tokens=execution.usage.tokens,
    )
    transaction.add_outcome(scope, execution.id, outcome)
