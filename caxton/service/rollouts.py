"""Rollouts: how they stand, and what somebody says is to be done."""

from temporalio.common import WorkflowIDConflictPolicy

from caxton.deploying.rollouts import Rollouts as Changes
from caxton.domain.ids import Scope
from caxton.domain.origin import current_origin
from caxton.domain.records import Records, Transaction
from caxton.domain.rollouts import Command, Rollout, unknown_rollout
from caxton.service.context import Caller
from caxton.service.engine import Engine
from caxton.views.rollouts import MetricView, RolloutView, StageView
from caxton.workflows.names import rollout_workflow_id, search_attributes
from caxton.workflows.policies import TASK_TIMEOUT
from caxton.workflows.rollout import RolloutInput, RolloutWorkflow


class Rollouts:
    """Use cases on rollouts."""

    def __init__(self, records: Records, engine: Engine) -> None:
        """Join what rollouts need."""
        self.records = records
        self.engine = engine

    async def list_rollouts(
        self, caller: Caller, agent: str | None, *, live: bool | None, limit: int
    ) -> list[RolloutView]:
        """Rollouts of the workspace, or of one agent, the latest first."""
        found = await self.records.read(lambda tx: tx.rollouts(caller.scope, agent, live=live, limit=limit))
        return [_view(rollout) for rollout in found]

    async def show(self, caller: Caller, rollout_id: str) -> RolloutView:
        """One rollout.

        Raises:
            NotFound: there is none of that id.
        """
        found = await self.records.read(lambda transaction: transaction.rollout(caller.scope, rollout_id))
        if found is None:
            raise unknown_rollout(rollout_id)
        return _view(found)

    async def command(
        self, caller: Caller, rollout_id: str, command: Command, reason: str, *, full: bool = False
    ) -> RolloutView:
        """Does what `caller` says. Routers go by it with the next message.

        Raises:
            NotFound: there is no such rollout.
            InvalidState: the command is not legal now.
        """
        scope = caller.scope

        def change(transaction: Transaction) -> Rollout:
            found = transaction.rollout(scope, rollout_id, hold=True)
            if found is None:
                raise unknown_rollout(rollout_id)
            changes = Changes(transaction, scope, caller.actor, current_origin())
            return changes.command(found, command, reason or f"by {caller.actor}", full=full)

        rollout = await self.records.write(change)
        await self.engine.call(lambda: self.follow(scope, rollout.id))
        return _view(rollout)

    async def follow(self, scope: Scope, rollout_id: str) -> None:
        """Has the rollout's workflow look at it now; starts it if there is none."""
        await follow_rollout(self.engine, scope, rollout_id)


async def follow_rollout(engine: Engine, scope: Scope, rollout_id: str) -> None:
    """Has the rollout's workflow look at it now; starts it if there is none."""
    await engine.client.start_workflow(
        RolloutWorkflow.run,
        RolloutInput(scope=scope, rollout_id=rollout_id),
        id=rollout_workflow_id(scope, rollout_id),
        task_queue=engine.task_queue,
        task_timeout=TASK_TIMEOUT,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        search_attributes=search_attributes(scope, state="Progressing"),
        static_summary=f"rollout {rollout_id}",
        start_signal="changed",
    )


def _view(rollout: Rollout) -> RolloutView:
    verdicts = rollout.verdicts
    metrics: list[MetricView] = []
    for metric in rollout.plan.compared:
        found = rollout.comparisons.get(metric)
        metrics.append(
            MetricView(
                metric=metric,
                verdict=verdicts[metric],
                stable_messages=found.stable.messages if found else 0,
                stable_bad=found.stable.bad if found else 0,
                candidate_messages=found.candidate.messages if found else 0,
                candidate_bad=found.candidate.bad if found else 0,
                evidence=min(found.e_value, 1e9) if found else 1.0,
            )
        )
    return RolloutView(
        **rollout.model_dump(
            include={
                "id",
                "agent",
                "deployment_id",
                "stable",
                "stable_version",
                "candidate",
                "candidate_version",
                "state",
                "reason",
                "stage",
                "stable_messages",
                "candidate_messages",
                "actor",
                "began_at",
                "stage_began_at",
                "looked_at",
                "ended_at",
            }
        ),
        strategy=rollout.plan.strategy,
        percent=rollout.share if rollout.is_live else None,
        gates=rollout.results,
        asks=rollout.asks,
        verdict=rollout.verdict,
        metrics=metrics,
        stages=[StageView(**each.model_dump()) for each in rollout.plan.steps],
    )
