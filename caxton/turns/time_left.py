"""How long an execution may still take: `[limits] time` of its agent, and of those that handed it the work."""

from datetime import datetime, timedelta

from caxton.domain.errors import TimeLimitReached
from caxton.domain.executions import Execution, Plan
from caxton.domain.ids import Scope
from caxton.domain.records import Transaction
from caxton.routing.directory import Directory


def deadline_of(
    transaction: Transaction, directory: Directory, scope: Scope, execution: Execution, plan: Plan, now: datetime
) -> datetime:
    """When `execution` has to be done. To wait for people, or for places of its calls, does not count."""
    until = execution.started_at + timedelta(seconds=plan.max_time)
    above = execution
    while above.parent_id is not None:
        record = transaction.executions(scope, [above.parent_id]).get(above.parent_id)
        if record is None:
            break
        above = record.execution
        if above.agent_digest is not None:
            agent = directory.agent_version(transaction, scope, above.agent_digest)
            until = min(until, above.started_at + timedelta(seconds=agent.spec.limits.time))
    if (until - now).total_seconds() < plan.model_timeout:  # else nobody needs to know just now
        until += _waited(transaction, scope, execution, now)
        turn = transaction.turns_in_hand(scope, [execution.root_id]).get(execution.root_id)
        until += timedelta(seconds=turn.waited if turn else 0.0)
        since = transaction.waits_since(scope, execution.id)
        until += timedelta(0) if since is None else now - since
    return until


def _waited(transaction: Transaction, scope: Scope, execution: Execution, now: datetime) -> timedelta:
    """How long the turn waited for people, since the execution began."""
    ids = [record.execution.id for record in transaction.executions_of_turn(scope, execution.root_id)]
    waits = sorted((each.requested_at, each.decided_at or now) for each in transaction.approvals_of(scope, ids))
    waited, counted_until = timedelta(), execution.started_at
    for begin, end in waits:
        begin = max(begin, counted_until)  # noqa: PLW2901 - waits side by side count once
        if end > begin:
            waited += end - begin
            counted_until = end
    return waited


def out_of_time(plan: Plan, last: str | None = None) -> TimeLimitReached:
    """What is told of work whose time is over; `last` is the code of the error that the last model call met."""
    because = f"; its last model call failed ({last})" if last else ""
    return TimeLimitReached(
        f'agent "{plan.agent}" did not finish within {plan.max_time:g} s{because}',
        f'raise `time` in [limits] of agent "{plan.agent}"',
        details={
            "limit": "time",
            "value": plan.max_time,
            "agent": plan.agent,
            **({"last_error": last} if last else {}),
        },
    )
