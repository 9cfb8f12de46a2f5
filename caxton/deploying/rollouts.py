"""Rollouts: what a deployment begins in place of going live at once, and how they go on and end.

All of it happens in transactions of the store. Routers read the registry, whose generation counts every change.
"""

from functools import cached_property
from typing import Any

from caxton.deploying.changes import Changes
from caxton.deploying.comparing import choose_judged, examine
from caxton.deploying.drains import Drains
from caxton.deploying.events import DeploymentNotes
from caxton.deploying.schedules import set_schedules
from caxton.deploying.triggers import set_triggers
from caxton.domain.agents import AgentState, AgentVersion
from caxton.domain.deployments import DeploymentState
from caxton.domain.errors import Hint, InvalidState
from caxton.domain.events import SYSTEM, Payload
from caxton.domain.events.deployments import VersionRolledBack, VersionUpgraded
from caxton.domain.events.governance import ApprovalWithdrawn
from caxton.domain.events.rollouts import (
    RolloutAdvanced,
    RolloutExtended,
    RolloutJudged,
    RolloutPaused,
    RolloutPromoted,
    RolloutResumed,
    RolloutRolledBack,
    RolloutStarted,
    RolloutSuperseded,
)
from caxton.domain.gates import DEFAULT_GATE
from caxton.domain.governance import ApprovalState
from caxton.domain.ids import DeploymentId, Digest, ExecutionId, derived_id, new_id
from caxton.domain.rollout_metrics import Metric
from caxton.domain.rollout_plans import AfterAbort
from caxton.domain.rollouts import (
    UNDO_WITHIN,
    Command,
    Decision,
    Rollout,
    RolloutPlan,
    RolloutState,
    Strategy,
    count,
    decide,
)


def plan_of(version: AgentVersion, wanted: Strategy | None, *, gate: bool = False) -> RolloutPlan | None:
    """How a new version of an agent goes live: as its file says, or by the strategy that the deployment asks for; None at
    once. With `gate` recorded turns are replayed first, if the file names no gate."""
    plan = version.spec.rollout
    if wanted is not None:
        plan = (plan or RolloutPlan()).model_copy(update={"strategy": wanted})
    if gate and (plan is None or not any(each.is_before for each in plan.gates)):
        plan = plan or RolloutPlan(strategy=Strategy.DIRECT)
        plan = plan.model_copy(update={"gates": [DEFAULT_GATE, *plan.gates]})
    if plan is None:
        return None
    is_gated = any(each.is_before for each in plan.gates)
    return None if plan.strategy is Strategy.DIRECT and not is_gated else plan


class Rollouts(Changes):
    """Changes of rollouts within one transaction, with their events."""

    @cached_property
    def drains(self) -> Drains:
        """Versions that are replaced drain within the same transaction."""
        return Drains(self.transaction, self.scope, self.actor, self.origin)

    def begin(
        self, agent: str, before: AgentVersion, after: AgentVersion, plan: RolloutPlan, deployment: DeploymentId
    ) -> Rollout:
        """Begins a rollout of `agent` in place of making `after` live."""
        rollout = Rollout(
            id=derived_id("r", self.scope.customer, self.scope.workspace, deployment, agent),
            scope=self.scope,
            agent=agent,
            deployment_id=deployment,
            plan=plan,
            stable=before.digest,
            stable_version=before.spec.version,
            candidate=after.digest,
            candidate_version=after.spec.version,
            actor=self.actor,
            began_at=self.now,
            stage_began_at=self.now,
        ).begun(self.now)
        self._put(rollout)
        self.drains.live_again("agent", agent, after.digest)
        self._tell(rollout, _started(rollout))
        return rollout

    def supersede(self, agent: str, reason: str) -> str | None:
        """Ends a rollout of `agent` that is under way, for something else happens to the agent. Returns its candidate's
        version."""
        ended = None
        for rollout in self.transaction.rollouts(self.scope, agent, live=True, limit=1):
            self._put(rollout.changed(RolloutState.SUPERSEDED, reason, self.now))
            self._tell(rollout, fact(RolloutSuperseded, rollout, reason=reason))
            self._take_back(rollout, keeps_conversations=True)
            ended = rollout.candidate_version
        return ended

    def look(self, rollout: Rollout) -> Rollout:
        """Counts what has happened since the last look, and does what follows from it."""
        if not rollout.is_live or rollout.share == 0:
            return rollout  # while it gets no traffic, there is nothing to compare
        verdict = rollout.verdict
        outcomes = self.transaction.take_outcomes(self.scope, rollout.id)
        choose_judged(self.transaction, rollout, outcomes)
        counted = count(rollout, outcomes, examine(self.transaction, rollout, outcomes))
        found = rollout.after(counted, self.now)
        if found.verdict is not verdict:
            self._judged(found)
        decision, why = decide(found, self.now)
        match decision:
            case Decision.WAIT:
                self.transaction.put_rollout(found)
                return found
            case Decision.GO_ON if moment := found.confirms:
                asking = found.model_copy(update={"asks": moment, "asked_at": found.asked_at or self.now})
                self.transaction.put_rollout(asking)
                return asking
            case Decision.GO_ON:
                return self._go_on(found, why)
            case Decision.PAUSE:
                return self._pause(found, why)
            case Decision.EXTEND:
                extended = found.model_copy(update={"extended": found.extended + 1})
                self.transaction.put_rollout(extended)
                self._tell(found, fact(RolloutExtended, found, reason=why))
                return extended
            case Decision.ROLLBACK:
                return self._roll_back(found, why)

    def command(self, rollout: Rollout, command: Command, reason: str, *, full: bool = False) -> Rollout:
        """Does what somebody says.

        Raises:
            InvalidState: it is not legal now.
        """
        rollout.check(command)
        match command:
            case "pause":
                return self._pause(rollout, reason)
            case "resume":
                resumed = rollout.at(rollout.stage, self.now)
                self._put(resumed)
                self._tell(rollout, fact(RolloutResumed, rollout))
                return resumed
            case "promote":
                if rollout.is_gating and not full:
                    return self._begin_traffic(rollout, reason)
                return self._promote(rollout, reason) if full else self._go_on(rollout, reason)
            case "abort":
                return self._roll_back(rollout, reason)
            case "retry":
                return self._retry(rollout)
            case "undo":
                return self._undo(rollout, reason)

    def _go_on(self, rollout: Rollout, why: str) -> Rollout:
        stage = rollout.stage + 1
        if stage >= len(rollout.plan.steps):
            return self._promote(rollout, why)
        found = rollout.at(stage, self.now)
        self._put(found)
        advanced = fact(RolloutAdvanced, rollout, stage=stage + 1, percent=found.share, reason=why)
        self._tell(rollout, advanced)
        return found

    def _begin_traffic(self, rollout: Rollout, why: str) -> Rollout:
        """Behind its gates: the first stage, or all of the traffic."""
        if rollout.plan.strategy is Strategy.DIRECT:
            return self._promote(rollout, why)
        found = rollout.at(0, self.now)
        self._put(found)
        self._tell(rollout, fact(RolloutAdvanced, rollout, stage=1, percent=found.share, reason=why))
        return found

    def _pause(self, rollout: Rollout, why: str) -> Rollout:
        found = rollout.changed(RolloutState.PAUSED, why, self.now)
        self._put(found)
        self._tell(rollout, fact(RolloutPaused, rollout, reason=why))
        return found

    def _promote(self, rollout: Rollout, why: str) -> Rollout:
        found = rollout.changed(RolloutState.PROMOTED, why, self.now)
        self._make_live(rollout, rollout.stable, rollout.candidate)
        self._put(found)
        self.drains.replaced(rollout.deployment_id)
        self._tell(rollout, fact(RolloutPromoted, rollout, reason=why))
        return found

    def _roll_back(self, rollout: Rollout, why: str) -> Rollout:
        found = rollout.changed(RolloutState.ROLLED_BACK, why, self.now)
        self._put(found)
        self._take_back(rollout)
        self._undeploy(rollout)
        self._tell(rollout, fact(RolloutRolledBack, rollout, reason=why))
        return found

    def _take_back(self, rollout: Rollout, *, keeps_conversations: bool | None = None) -> None:
        """The candidate gets nothing new, and finishes what it has in progress."""
        candidate = self.transaction.agent_versions(self.scope, [rollout.candidate])[rollout.candidate]
        keeps = rollout.plan.after_abort is AfterAbort.FINISH if keeps_conversations is None else keeps_conversations
        self.drains.begin(candidate, rollout.deployment_id, keeps_conversations=keeps)

    def _retry(self, rollout: Rollout) -> Rollout:
        self._check_still(rollout, rollout.stable)
        if self.transaction.rollouts(self.scope, rollout.agent, live=True, limit=1):
            raise InvalidState(
                f'another rollout of "{rollout.agent}" is in progress',
                Hint(text="see how it stands", command=f"caxton rollout status {rollout.agent}"),
            )
        self.transaction.take_outcomes(self.scope, rollout.id)  # of messages that ended after the rollback
        found = rollout.retried(self.now)
        self._put(found)
        self.drains.live_again("agent", rollout.agent, rollout.candidate)
        self.drains.revive(rollout.deployment_id, undone=True)
        self._tell(found, _started(found))
        return found

    def _undo(self, rollout: Rollout, why: str) -> Rollout:
        assert rollout.ended_at is not None
        if self.now - rollout.ended_at > UNDO_WITHIN:
            raise InvalidState(
                f'"{rollout.agent}" {rollout.candidate_version} has been live for more than an hour',
                Hint(text="deploy the older version, in stages if you like", command="caxton deploy"),
                Hint(text="or undo the deployment", command=f"caxton rollback {rollout.deployment_id}"),
            )
        self._check_still(rollout, rollout.candidate)
        found = rollout.changed(RolloutState.ROLLED_BACK, why, self.now)
        keeps = rollout.plan.after_abort is AfterAbort.FINISH
        self._make_live(rollout, rollout.candidate, rollout.stable, keeps_conversations=keeps)
        self._put(found)
        self._undeploy(rollout)
        self._tell(rollout, fact(RolloutRolledBack, rollout, reason=why))
        return found

    def _check_still(self, rollout: Rollout, digest: Digest) -> None:
        """Raises:
        InvalidState: another version of the agent is live by now.
        """
        component = self.transaction.component(self.scope, "agent", rollout.agent)
        if component is None or component.digest != digest:
            now = "is gone" if component is None else f"is live as {component.version} by now"
            raise InvalidState(
                f'agent "{rollout.agent}" {now}: another deployment came after the rollout',
                Hint(text="deploy what you want", command="caxton deploy"),
            )

    def _make_live(self, rollout: Rollout, before: Digest, after: Digest, *, keeps_conversations: bool = True) -> None:
        """Makes another version of the agent the live one. It stays in the state that it is in."""
        component = self.transaction.component(self.scope, "agent", rollout.agent)
        versions = self.transaction.agent_versions(self.scope, [before, after])
        old, new = versions[before], versions[after]
        deployment_id = rollout.deployment_id
        if after == rollout.stable:
            deployment_id = self.transaction.version_deployment(self.scope, "agent", after) or deployment_id
        self.transaction.put_component(
            self.scope,
            "agent",
            rollout.agent,
            digest=after,
            version=new.spec.version,
            state=component.state if component else AgentState.RUNNING,
            deployment_id=deployment_id,
        )
        self.drains.live_again("agent", rollout.agent, after)
        self.drains.revive(deployment_id)
        self.drains.begin(old, component.deployment_id if component else None, keeps_conversations=keeps_conversations)
        notes = DeploymentNotes(self.scope, rollout.deployment_id, self.actor, self.origin, new_id("e"))
        model = VersionUpgraded if after == rollout.candidate else VersionRolledBack
        facts: dict[str, Any] = {
            "kind": "agent",
            "name": rollout.agent,
            "before": old.spec.version,
            "after": new.spec.version,
        }
        notes.add(model(**facts, digest=after), agent=rollout.agent)
        notes.agent(old, new, len(new.spec.capabilities))  # both offer the same, so no change of skills is told
        notes.schedules(rollout.agent, *set_schedules(self.transaction, self.scope, rollout.agent, new, self.now))
        notes.triggers(rollout.agent, *set_triggers(self.transaction, self.scope, rollout.agent, new, self.now))
        self.transaction.add_events(self.scope, notes.events)

    def _undeploy(self, rollout: Rollout) -> None:
        """The deployment that brought the candidate is undone, if it brought nothing else."""
        deployment = self.transaction.deployment(self.scope, rollout.deployment_id)
        if deployment is None or deployment.state is not DeploymentState.RUNNING:
            return
        others = [
            c for c in deployment.changes if c.action != "unchanged" and (c.kind, c.name) != ("agent", rollout.agent)
        ]
        if not others:
            self.drains.retire(rollout.deployment_id, DeploymentState.ROLLED_BACK)

    def _judged(self, rollout: Rollout) -> None:
        errors = rollout.comparisons[Metric.ERRORS]
        judged = fact(
            RolloutJudged,
            rollout,
            verdict=rollout.verdict,
            metrics={**rollout.verdicts},
            candidate_messages=errors.candidate.messages,
            stable_messages=errors.stable.messages,
            candidate_bad=errors.candidate.bad,
            stable_bad=errors.stable.bad,
        )
        self._tell(rollout, judged)

    def _put(self, rollout: Rollout) -> None:
        if not rollout.is_live:
            self.transaction.take_outcomes(self.scope, rollout.id)  # nobody will count them
            self.transaction.drop_rehearsals(self.scope, rollout.id)
            self._withdraw(rollout)
        self.transaction.put_rollout(rollout)
        self.transaction.bump_generation(self.scope)

    def _withdraw(self, rollout: Rollout) -> None:
        """Takes back what a person was asked: nothing waits for the answer any more."""
        for approval in self.transaction.approvals_of(self.scope, [ExecutionId(rollout.id)]):
            if approval.state is ApprovalState.PENDING and self.transaction.decide_approval(
                self.scope, approval.id, ApprovalState.WITHDRAWN, SYSTEM, ""
            ):
                told = ApprovalWithdrawn(approval_id=approval.id, action_type=approval.action_type, name=approval.name)
                self._tell(rollout, told)

    def _tell(self, rollout: Rollout, payload: Payload) -> None:
        self.note(payload, rollout.id, agent=rollout.agent, deployment_id=rollout.deployment_id)


def fact(model: type[Payload], rollout: Rollout, **facts: object) -> Payload:
    """An event of a rollout."""
    return model.model_validate({"rollout": rollout.id, "candidate": rollout.candidate_version, **facts})


def _started(rollout: Rollout) -> RolloutStarted:
    return RolloutStarted(
        rollout=rollout.id,
        candidate=rollout.candidate_version,
        strategy=rollout.plan.strategy,
        stable=rollout.stable_version,
        percent=rollout.share,
        candidate_digest=rollout.candidate,
        stable_digest=rollout.stable,
    )
