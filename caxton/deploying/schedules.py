"""Schedules of what a deployment changes: in the same transaction as the agents that have them.

The workflow engine is told afterwards; a row says what it has to be told until it has been.
"""

from datetime import datetime

from caxton.domain.agents import AgentVersion
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
