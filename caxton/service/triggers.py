"""Triggers: what is deployed, and where deliveries arrive."""

from caxton.domain.ids import Scope
from caxton.domain.records import Records, Transaction
from caxton.domain.triggers import DeployedTrigger, unknown_trigger
from caxton.routing.similar import similar_names
from caxton.service.context import Caller
from caxton.views.triggers import TriggerView


class Triggers:
    """Use cases on triggers."""

    def __init__(self, records: Records) -> None:
        """Read `records`."""
        self.records = records

    async def list_triggers(self, caller: Caller, agent: str | None = None) -> list[TriggerView]:
        """All triggers of the workspace, or of one agent."""
        found = await self.records.read(lambda transaction: transaction.triggers(caller.scope, agent))
        return [_view(each) for each in found]

    async def show(self, caller: Caller, agent: str, name: str) -> TriggerView:
        """One trigger.

        Raises:
            NotFound: there is none of that name.
        """
        return _view(await self.records.read(lambda transaction: _known(transaction, caller.scope, agent, name)))


def _known(transaction: Transaction, scope: Scope, agent: str, name: str) -> DeployedTrigger:
    found = transaction.trigger(scope, agent, name)
    if found is None or found.removed:
        similar = similar_names(name, [each.name for each in transaction.triggers(scope, agent)])
        raise unknown_trigger(agent, name, similar[0] if similar else None)
    return found


def _view(trigger: DeployedTrigger) -> TriggerView:
    definition = trigger.definition
    return TriggerView(
        agent=trigger.agent,
        name=trigger.name,
        scheme=definition.scheme,
        path=trigger.path,
        secrets=definition.secrets,
        events=definition.events,
        tolerance=definition.tolerance,
        max_body=definition.max_body,
        capability=definition.capability,
    )
