"""Schedules of what a deployment changes: in the same transaction as the agents that have them.

The workflow engine is told afterwards; a row says what it has to be told until it has been.
"""

from datetime import datetime

from caxton.domain.agents import AgentVersion
from caxton.domain.errors import InvalidDefinitions
from caxton.domain.ids import Scope
from caxton.domain.records import Transaction
from caxton.domain.schedules import DeployedSchedule, Schedule


def set_schedules(
    transaction: Transaction, scope: Scope, agent: str, after: AgentVersion | None, now: datetime
) -> tuple[list[Schedule], list[str]]:
    """Makes the schedules of `agent` those of its new version; none where it is removed.

    A schedule that is the same as before stays as it is, also paused or resumed by a person. One that changes is paused if its
    definition says so.

    Returns:
        The schedules that are new or changed, and the names of those that are gone.
    """
    wanted = {each.name: each for each in (after.spec.schedules if after else ())}
    known = {each.name: each for each in transaction.schedules(scope, agent)}
    changed: list[Schedule] = []
    for name, definition in wanted.items():
        before = known.get(name) or transaction.schedule(scope, agent, name, hold=True)
        if before is None:
            fresh = DeployedSchedule(
                scope=scope, agent=agent, definition=definition, paused=definition.paused, changed_at=now
            )
            transaction.put_schedule(fresh)
        elif before.removed or before.definition != definition:
            paused = before.paused
            if before.removed or before.definition.paused != definition.paused:
                paused = definition.paused
            news = {
                "definition": definition,
                "paused": paused,
                "reason": before.reason if paused and before.paused else "",
                "removed": False,
                "revision": before.revision + 1,
                "changed_at": now,
            }
            transaction.put_schedule(before.model_copy(update=news))
        else:
            continue
        changed.append(definition)
    gone = [each for name, each in known.items() if name not in wanted]
    for each in gone:
        news = {"removed": True, "revision": each.revision + 1, "changed_at": now}
        transaction.put_schedule(each.model_copy(update=news))
    return changed, [each.name for each in gone]


def times_per_second(transaction: Transaction, scope: Scope, *, elsewhere: bool = False) -> float:
    """How often the customer's schedules are due in a second, those of versions that roll out included.

    With `elsewhere` only those of its other workspaces.
    """
    left_out = scope.workspace if elsewhere else None
    live = transaction.schedules_of_customer(scope.customer)
    times = sum(each.definition.per_second for each in live if each.scope.workspace != left_out)
    for rollout in transaction.live_rollouts(scope.customer):
        if rollout.scope.workspace == left_out:
            continue
        versions = transaction.agent_versions(rollout.scope, [rollout.stable, rollout.candidate])
        stable, candidate = (_times_of(versions.get(digest)) for digest in (rollout.stable, rollout.candidate))
        times += max(0.0, candidate - stable)  # once it is promoted
    return times


def check_times(transaction: Transaction, scope: Scope, most: float) -> None:
    """Refuses a change with which the customer's schedules would be due too often.

    Deployments of other workspaces wait from here on until the transaction ends: it is the last thing that one does.

    Raises:
        InvalidDefinitions: so it is.
    """
    transaction.hold_log(scope.customer)
    times = times_per_second(transaction, scope)
    if times > most:
        message, hint = too_often(times, most)
        raise InvalidDefinitions(message, hint)


def too_often(times: float, most: float) -> tuple[str, str]:
    """What is wrong with schedules that are due so many times a second, and what to do about it."""
    return (
        f"all schedules together are due {times:.3g} times a second, and {most:g} are allowed",
        "let them be due less often; the server's operator sets the limit: limits.scheduled_per_second",
    )


def _times_of(version: AgentVersion | None) -> float:
    return sum(each.per_second for each in version.spec.schedules) if version else 0.0
