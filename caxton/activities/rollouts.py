"""What a rollout needs of the world: looks, and word for the agents' workflows of what is live."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from temporalio import activity

from caxton.deploying.rollouts import Rollouts
from caxton.domain.ids import Digest, Scope
from caxton.domain.records import Records, Transaction
from caxton.domain.rollouts import Rollout
from caxton.workflows.rollout import LOOK_AT_ROLLOUT, RolloutInput, RolloutLook

Notify = Callable[[Scope, str, Digest | None], Awaitable[None]]


def look_of(rollout: Rollout) -> RolloutLook:
    """What the rollout's workflow goes by."""
    return RolloutLook(state=rollout.state, is_live=rollout.is_live, wait=rollout.wait, checks=rollout.waits_for_checks)


@dataclass
class RolloutActivities:
    """Looks at rollouts. `notify` tells an agent's workflow which version is live."""

    records: Records
    notify: Notify = field(repr=False)
    apply_schedules: Callable[[Scope], Awaitable[None]] | None = field(default=None, repr=False)
    """Tells the engine of schedules of a workspace that are new, changed or gone."""

    @activity.defn(name=LOOK_AT_ROLLOUT)
    async def look_at_rollout(self, wanted: RolloutInput) -> RolloutLook:
        """Counts what has happened, does what follows from it, and tells the agent's workflow of the end."""
        scope = wanted.scope

        def look(transaction: Transaction) -> tuple[Rollout, Digest | None]:
            found = transaction.rollout(scope, wanted.rollout_id, hold=True)
            assert found is not None, "rollouts are kept"
            after = Rollouts(transaction, scope).look(found)
            component = transaction.component(scope, "agent", after.agent)
            return after, component.digest if component else None

        rollout, live = await self.records.write(look)
        if not rollout.is_live and live in (rollout.stable, rollout.candidate):
            await self.notify(scope, rollout.agent, live)
            if self.apply_schedules is not None:
                await self.apply_schedules(scope)
        return look_of(rollout)
