"""Draining: versions that were replaced finish what they have in progress, and so do the deployments that brought them.

Executions in progress keep the version that they began with, and so do conversations. What is left when the time has passed goes
on with the live version. A row with a due time (service/drains.py) has somebody look until it is over.
"""

from caxton.deploying.changes import Changes
from caxton.domain.agents import AgentVersion
from caxton.domain.deployments import DeploymentState
from caxton.domain.drains import CALL_ENDS_WITHIN, Drain, InHand
from caxton.domain.events import Payload
from caxton.domain.events.deployments import (
    DeploymentDraining,
    DeploymentRolledBack,
    DeploymentSuperseded,
    VersionDrained,
    VersionDraining,
)
from caxton.domain.ids import DeploymentId, Digest
from caxton.domain.records import ComponentKind, Deadline, Transaction
from caxton.domain.rollouts import MOST_ROLLOUTS
from caxton.domain.tools import ToolVersion

KIND = "drain"
"""Of the deadline by which somebody looks."""

TOOL_ATTEMPTS = 2
"""How often a call may be made."""

MOST_REPLACED = 50
"""Deployments that end with one activation; the next one ends others."""


class Drains(Changes):
    """Versions that are replaced within one transaction, with the events of that."""

    def begin(
        self,
        version: AgentVersion | ToolVersion,
        deployment_id: DeploymentId | None,
        *,
        keeps_conversations: bool = True,
    ) -> None:
        """A version is live no more. Nothing is to be done where it has nothing in progress.

        Args:
            version: which.
            deployment_id: the deployment that it was live by.
            keeps_conversations: whether conversations that began with it go on with it.
        """
        drain = self._drain(version, deployment_id)
        found = in_hand(self.transaction, drain, keeps_conversations=keeps_conversations)
        if not found:
            return
        self.transaction.put_drain(drain)
        look = Deadline(
            scope=self.scope,
            execution_id=drain.id,
            kind=KIND,
            level=0,
            due_at=self.now,
            details={
                "kind": drain.kind,
                "name": drain.name,
                "digest": drain.digest,
                "conversations": keeps_conversations,
            },
        )
        self.transaction.remove_deadline(look)
        self.transaction.add_deadlines(self.scope, [look])
        self._tell(VersionDraining(**_facts(drain), **found.model_dump()), drain)

    def _drain(self, version: AgentVersion | ToolVersion, deployment_id: DeploymentId | None) -> Drain:
        is_agent = isinstance(version, AgentVersion)
        longest = None
        if not is_agent:
            longest = TOOL_ATTEMPTS * version.manifest.limits.wall_time + CALL_ENDS_WITHIN
        return Drain(
            scope=self.scope,
            kind="agent" if is_agent else "tool",
            name=version.name,
            digest=version.digest,
            version=version.spec.version if is_agent else version.manifest.version,
            deployment_id=deployment_id,
            began_at=self.now,
            longest=longest,
        )

    def live_again(self, kind: ComponentKind, name: str, digest: Digest) -> None:
        """A version is live: what it has in progress is nothing old any more."""
        drain = self.transaction.drain(self.scope, kind, name, digest)
        if drain is not None:
            self._end(drain, InHand(), "live_again")

    def end(self, drain: Drain, left: InHand) -> None:
        """A version has nothing in progress any more, or its time has passed with something left."""
        if not left:
            self._end(drain, left, "finished")
            return
        self.transaction.put_drain(drain.model_copy(update={"is_over": True}))
        self.transaction.bump_generation(self.scope)  # routers take its conversations elsewhere
        self._tell(VersionDrained(**_facts(drain), **left.model_dump(), reason="time_passed"), drain)
        self._settle(drain.deployment_id)

    def _end(self, drain: Drain, left: InHand, reason: str) -> None:
        if not self.transaction.remove_drain(drain):
            return
        if drain.is_over:
            self.transaction.bump_generation(self.scope)
        else:
            self._tell(VersionDrained(**_facts(drain), **left.model_dump(), reason=reason), drain)
        self._settle(drain.deployment_id)

    def replaced(self, present: DeploymentId) -> None:
        """Ends deployments before the `present` one of which nothing is live any more."""
        live = {
            rollout.deployment_id for rollout in self.transaction.rollouts(self.scope, live=True, limit=MOST_ROLLOUTS)
        }
        for each in self.transaction.replaced_deployments(self.scope, but=present, limit=MOST_REPLACED):
            if each not in live:
                self.retire(each, DeploymentState.SUPERSEDED)

    def retire(self, deployment_id: DeploymentId, becomes: DeploymentState) -> None:
        """A deployment is over as soon as what it brought has nothing in progress."""
        if not self._at_work(deployment_id):
            self._set(deployment_id, becomes)
            return
        self.transaction.set_deployment(self.scope, deployment_id, DeploymentState.DRAINING, becomes=becomes)
        self._tell(DeploymentDraining(becomes=becomes), deployment_id)

    def revive(self, deployment_id: DeploymentId, *, undone: bool = False) -> None:
        """Something of a deployment that was over, or about to be, is live again; `undone`: also of one that was rolled back."""
        known = self.transaction.deployment(self.scope, deployment_id)
        over = [
            DeploymentState.DRAINING,
            DeploymentState.SUPERSEDED,
            *([DeploymentState.ROLLED_BACK] if undone else []),
        ]
        if known is not None and known.state in over:
            self.transaction.set_deployment(self.scope, deployment_id, DeploymentState.RUNNING)

    def _settle(self, deployment_id: DeploymentId | None) -> None:
        known = self.transaction.deployment(self.scope, deployment_id) if deployment_id is not None else None
        if known is None or known.state is not DeploymentState.DRAINING or self._at_work(known.id):
            return
        self._set(known.id, known.becomes or DeploymentState.SUPERSEDED)

    def _set(self, deployment_id: DeploymentId, state: DeploymentState) -> None:
        self.transaction.set_deployment(self.scope, deployment_id, state)
        told = DeploymentRolledBack() if state is DeploymentState.ROLLED_BACK else DeploymentSuperseded()
        self._tell(told, deployment_id)

    def _at_work(self, deployment_id: DeploymentId) -> bool:
        return any(not each.is_over for each in self.transaction.drains(self.scope, deployment_id=deployment_id))

    def _tell(self, payload: Payload, about: Drain | DeploymentId) -> None:
        if isinstance(about, Drain):
            agent = about.name if about.kind == "agent" else None
            self.note(payload, about.id, agent=agent, deployment_id=about.deployment_id)
        else:
            self.note(payload, about, agent=None, deployment_id=about)


def in_hand(transaction: Transaction, drain: Drain, *, keeps_conversations: bool = True) -> InHand:
    """What a version that was replaced has not ended."""
    if drain.kind == "tool":
        return InHand() if drain.is_over else transaction.tool_in_hand(drain.scope, drain.name, drain.began_at)
    # Conversations of an agent that is gone cannot go on.
    keeps = keeps_conversations and transaction.component(drain.scope, "agent", drain.name) is not None
    return transaction.agent_in_hand(drain.scope, drain.name, drain.digest, with_conversations=keeps)


def _facts(drain: Drain) -> dict[str, str]:
    return {"kind": drain.kind, "name": drain.name, "version": drain.version, "digest": drain.digest}
