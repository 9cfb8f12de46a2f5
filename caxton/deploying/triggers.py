"""Triggers of what a deployment changes: in the same transaction as the agents that have them."""

import secrets
from datetime import datetime

from caxton.domain.agents import AgentVersion
from caxton.domain.ids import Scope
from caxton.domain.records import Transaction
from caxton.domain.triggers import DeployedTrigger, Trigger


def set_triggers(
    transaction: Transaction, scope: Scope, agent: str, after: AgentVersion | None, now: datetime
) -> tuple[list[Trigger], list[str]]:
    """Makes the triggers of `agent` those of its new version; none where it is removed.

    The address of one that was there before, and comes back, is the same: other systems know it.

    Returns:
        The triggers that are new or changed, and the names of those that are gone.
    """
    wanted = {each.name: each for each in (after.spec.triggers if after else ())}
    known = {each.name: each for each in transaction.triggers(scope, agent)}
    changed: list[Trigger] = []
    for name, definition in wanted.items():
        before = known.get(name) or transaction.trigger(scope, agent, name)
        if before is not None and not before.removed and before.definition == definition:
            continue
        hook_id = before.hook_id if before else f"hook_{secrets.token_hex(16)}"
        made = DeployedTrigger(scope=scope, agent=agent, definition=definition, hook_id=hook_id, changed_at=now)
        transaction.put_trigger(made)
        changed.append(definition)
    gone = [each for name, each in known.items() if name not in wanted]
    for each in gone:
        transaction.put_trigger(each.model_copy(update={"removed": True, "changed_at": now}))
    return changed, [each.name for each in gone]
