"""Activities of deployments: validate all, activate all at once, signal the agents' workflows."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from temporalio import activity

from caxton.deploying.drains import Drains
from caxton.deploying.events import DeploymentNotes
from caxton.deploying.releases import Release, read_release
from caxton.deploying.rollouts import Rollouts, plan_of
from caxton.deploying.schedules import check_times, set_schedules, times_per_second
from caxton.deploying.suggestions import suggestions
from caxton.deploying.triggers import set_triggers
from caxton.deploying.validation import Clock, HookSecrets, ReadBundle, read_here, validate_release
from caxton.domain.agents import AgentState, AgentVersion
from caxton.domain.deployments import UNFINISHED, Change, Deployment, DeploymentState, not_undoable
from caxton.domain.events import SYSTEM
from caxton.domain.grants import NO_GRANTS, Missing, StandingGrants, ToolGrant, for_any_call, missing
from caxton.domain.ids import DeploymentId, Digest, Scope
from caxton.domain.ports import BlobStore, ModelGateway, Sandbox
from caxton.domain.records import ComponentKind, Records, Transaction
from caxton.domain.tools import BASE_LIMITS, ToolLimits, ToolState, ToolVersion
from caxton.governance.breakers import reset
from caxton.observability.metrics import METRICS
from caxton.routing.directory import read_grants
from caxton.workflows.deployment import (
    ACTIVATE_DEPLOYMENT,
    FAIL_DEPLOYMENT,
    NOTIFY_AGENTS,
    VALIDATE_DEPLOYMENT,
    DeploymentFailure,
    DeploymentInput,
)
from caxton.workflows.policies import HEARTBEAT_TIMEOUT

NOTIFY_AT_ONCE = 10
"""Lifecycle workflows that are told at the same time."""

Versions = dict[tuple[ComponentKind, str], AgentVersion | ToolVersion]
"""Versions by kind and name."""

FollowRollout = Callable[[Scope, str], Awaitable[None]]
"""Has somebody look at a rollout, by its id."""

Notify = Callable[[Scope, str, Digest | None], Awaitable[None]]
"""Tells an agent's workflow that it was deployed (digest) or removed (None)."""


@dataclass
class DeploymentActivities:
    """Deployments. `notify` reaches the agents' workflows."""

    records: Records
    blobs: BlobStore
    sandbox: Sandbox
    models: ModelGateway
    notify: Notify = field(repr=False)
    channels: Collection[str] = ()
    """Names of the channels that escalations may use."""
    standing: StandingGrants = NO_GRANTS
    """Grants that the server's settings make."""
    base_limits: ToolLimits = BASE_LIMITS
    """Limits of every tool without a grant."""
    warm_memory: Callable[[], None] | None = field(default=None, repr=False)
    """Gets the memory ready, where agents that use it are deployed."""
    read: ReadBundle = field(default=read_here, repr=False)
    """Reads definitions."""
    apply_schedules: Callable[[Scope], Awaitable[None]] | None = field(default=None, repr=False)
    """Tells the engine of schedules of a workspace that are new, changed or gone."""

    follow_rollout: FollowRollout | None = field(default=None, repr=False)
    """Starts what looks at a rollout."""

    hook_secrets: HookSecrets | None = field(default=None, repr=False)
    """Says why a trigger cannot use a secret."""

    scheduled_per_second: float = math.inf
    """How often the schedules of a customer may be due in a second."""

    @activity.defn(name=VALIDATE_DEPLOYMENT)
    async def validate_deployment(self, deployment: DeploymentInput) -> None:
        """Checks everything and keeps the new versions, none of them active yet.

        Raises:
            InvalidDefinitions: with all problems of all files.
        """

        async def beat() -> None:
            while True:
                activity.heartbeat()
                await asyncio.sleep(HEARTBEAT_TIMEOUT.total_seconds() / 3)

        beating = asyncio.create_task(beat())
        try:
            scope = deployment.scope

            def read(tx: Transaction) -> tuple[Release, Mapping[str, Sequence[ToolGrant]], set[Digest], float]:
                release = read_release(tx, scope, deployment.request)
                elsewhere = times_per_second(tx, scope, elsewhere=True)
                own = tx.own_contents(scope, release.contents)
                return release, read_grants(tx, scope, self.standing), own, elsewhere

            release, grants, own, elsewhere = await self.records.read(read)
            versions = await validate_release(
                scope,
                release,
                own,
                self.blobs,
                self.sandbox,
                self.models,
                self.channels,
                grants,
                self.read,
                self.hook_secrets,
                Clock(self.scheduled_per_second, elsewhere),
            )
        finally:
            beating.cancel()

        def stage(transaction: Transaction) -> None:
            known = transaction.deployment(scope, deployment.deployment_id)
            if known is not None and known.state not in UNFINISHED:
                return
            for bundle, version in versions:
                transaction.put_version(scope, bundle.kind, bundle, version, deployment.deployment_id)
            transaction.set_deployment(scope, deployment.deployment_id, DeploymentState.DEPLOYING)
            notes = DeploymentNotes(scope, deployment.deployment_id, deployment.actor or SYSTEM, deployment.origin)
            notes.configured(release.changes)
            transaction.add_events_once(scope, notes.events)

        await self.records.write(stage)

    @activity.defn(name=ACTIVATE_DEPLOYMENT)
    async def activate_deployment(self, deployment: DeploymentInput) -> bool:
        """Makes all changes live in one transaction. Returns whether there were any."""
        ended: list[Deployment] = []
        """This one, if it is this call that ends it; a transaction may run more than once."""

        def activate(transaction: Transaction) -> bool:
            ended.clear()
            known = transaction.deployment(deployment.scope, deployment.deployment_id)
            if known is not None and known.state not in UNFINISHED:  # somebody else's run of the workflow has done it
                return known.is_undoable and any(change.action != "unchanged" for change in known.changes)
            if deployment.rollback_of is not None:
                undone = transaction.deployment(deployment.scope, deployment.rollback_of)
                if undone is not None and not undone.is_undoable:
                    raise not_undoable(undone.id, undone.state)  # another rollback was quicker
            release = read_release(transaction, deployment.scope, deployment.request)
            notes = DeploymentNotes(
                deployment.scope, deployment.deployment_id, deployment.actor or SYSTEM, deployment.origin
            )
            grants = read_grants(transaction, deployment.scope, self.standing)
            changes = _apply(transaction, deployment, release, notes, lambda tool: self._lacking(tool, grants))
            transaction.set_deployment(
                deployment.scope,
                deployment.deployment_id,
                DeploymentState.RUNNING,
                changes=changes,
                before=release.before,
            )
            drains = Drains(transaction, deployment.scope, deployment.actor or SYSTEM, deployment.origin)
            if deployment.rollback_of is not None:
                drains.retire(deployment.rollback_of, DeploymentState.ROLLED_BACK)
            drains.replaced(deployment.deployment_id)
            transaction.add_events(deployment.scope, notes.events)
            if _brings_schedules(transaction, deployment.scope, changes):
                check_times(transaction, deployment.scope, self.scheduled_per_second)
            if known is not None:
                ended.append(known)
            return any(change.action != "unchanged" for change in changes)

        is_changed = await self.records.write(activate)
        _count(ended, DeploymentState.RUNNING)
        return is_changed

    def _lacking(self, tool: ToolVersion, grants: Mapping[str, Sequence[ToolGrant]]) -> Missing:
        """What a tool requests and nobody has granted."""
        rights = for_any_call(grants.get(tool.name, ()), datetime.now(UTC), tool.digest)
        return missing(tool.manifest, rights, self.base_limits)

    @activity.defn(name=FAIL_DEPLOYMENT)
    async def fail_deployment(self, failure: DeploymentFailure) -> None:
        """Records why nothing was changed."""
        ended: list[Deployment] = []

        def fail(transaction: Transaction) -> None:
            ended.clear()
            known = transaction.deployment(failure.scope, failure.deployment_id)
            if known is None or known.state not in UNFINISHED:
                return
            transaction.set_deployment(
                failure.scope, failure.deployment_id, DeploymentState.FAILED, error=failure.error
            )
            notes = DeploymentNotes(failure.scope, failure.deployment_id)
            notes.failed(failure.error)
            transaction.add_events(failure.scope, notes.events)
            ended.append(known)

        await self.records.write(fail)
        _count(ended, DeploymentState.FAILED)

    @activity.defn(name=NOTIFY_AGENTS)
    async def notify_agents(self, deployment: DeploymentInput) -> None:
        """Tells the workflows of all agents that were deployed, updated or removed, and the engine of their schedules."""
        if self.warm_memory is not None and await self.records.read(lambda tx: _uses_memory(tx, deployment)):
            self.warm_memory()
        done = await self.records.read(lambda tx: tx.deployment(deployment.scope, deployment.deployment_id))
        assert done is not None
        agents = [c for c in done.changes if c.kind == "agent" and c.action != "unchanged"]
        changed = [change for change in agents if change.rollout is None]
        free = asyncio.Semaphore(NOTIFY_AT_ONCE)

        async def tell(change: Change) -> None:
            async with free:
                await self.notify(deployment.scope, change.name, change.digest)

        await asyncio.gather(*(tell(change) for change in changed))
        for change in agents:
            if change.rollout is not None and self.follow_rollout is not None:
                await self.follow_rollout(deployment.scope, change.rollout)
        if self.apply_schedules is not None:
            await self.apply_schedules(deployment.scope)


def _uses_memory(transaction: Transaction, deployment: DeploymentInput) -> bool:
    components = transaction.components(deployment.scope, "agent")
    versions = transaction.agent_versions(deployment.scope, [component.digest for component in components])
    return any(version.spec.memory.enabled or version.spec.memory.auto_store for version in versions.values())


def _count(ended: Sequence[Deployment], state: DeploymentState) -> None:
    for deployment in ended:
        METRICS.deployment(state, (datetime.now(UTC) - deployment.created_at).total_seconds())


def _apply(
    transaction: Transaction,
    deployment: DeploymentInput,
    release: Release,
    notes: DeploymentNotes,
    lacking: Callable[[ToolVersion], Missing],
) -> list[Change]:
    scope, changes = deployment.scope, release.changes
    changed = [change for change in changes if change.action != "unchanged"]
    before: Versions = {
        (change.kind, change.name): _version_of(transaction, scope, change.kind, component.digest)
        for change in changed
        if change.before is not None
        and (component := transaction.component(scope, change.kind, change.name)) is not None
    }
    live_by: dict[tuple[ComponentKind, str], DeploymentId | None] = {
        (c.kind, c.name): c.deployment_id for c in transaction.components(scope)
    }
    after: Versions = {}
    rollouts = Rollouts(transaction, scope, deployment.actor or SYSTEM, deployment.origin)
    named = {bundle.name for bundle in deployment.request.bundles if bundle.kind == "agent"}
    for change in changes:
        if change.kind == "agent" and (change.action == "deleted" or _brings_back(transaction, scope, change, named)):
            undone = deployment.rollback_of
            why = f"deployment {undone} was undone" if undone else "the deployment of another version came after it"
            change.ends = rollouts.supersede(change.name, why)
    _reset_breakers(transaction, deployment, changed)
    for change in changed:
        if change.action == "deleted":
            _remove(transaction, scope, change)
        elif change.digest is not None:
            version = _version_of(transaction, scope, change.kind, change.digest)
            _describe(change, version, lacking)
            if _rolls_out(transaction, deployment, change, before.get((change.kind, change.name)), version, rollouts):
                continue
            after[change.kind, change.name] = version
            transaction.put_component(
                scope,
                change.kind,
                change.name,
                digest=change.digest,
                version=change.after or "",
                state=AgentState.RUNNING if change.kind == "agent" else ToolState.RUNNING,
                deployment_id=deployment.deployment_id,
            )
    _drain(transaction, deployment, before, after, live_by)
    notes.activated(changes, rollback=deployment.rollback_of is not None)
    specs = [each.spec for each in [*after.values(), *release.kept_agents.values()] if isinstance(each, AgentVersion)]
    skills = _count_skills(release, after)
    for change in changed:
        if change.rollout is not None:
            continue
        old, new = before.get((change.kind, change.name)), after.get((change.kind, change.name))
        if isinstance(old, AgentVersion) or isinstance(new, AgentVersion):
            assert not isinstance(old, ToolVersion)
            assert not isinstance(new, ToolVersion)
            notes.agent(old, new, skills)
            now = datetime.now(UTC)
            notes.schedules(change.name, *set_schedules(transaction, scope, change.name, new, now))
            notes.triggers(change.name, *set_triggers(transaction, scope, change.name, new, now))
        elif old is not None or new is not None:
            change.suggestions = suggestions(new, specs)
            notes.tool(old, new, change.ungranted)
    return changes


def _brings_schedules(transaction: Transaction, scope: Scope, changes: Sequence[Change]) -> bool:
    """Whether anything that is new or modified is asked by the clock. Whoever deploys no such agent hears of no others."""
    new = [c.digest for c in changes if c.kind == "agent" and c.action in ("new", "modified") and c.digest is not None]
    return any(version.spec.schedules for version in transaction.agent_versions(scope, new).values())


def _drain(
    transaction: Transaction,
    deployment: DeploymentInput,
    before: Versions,
    after: Versions,
    live_by: Mapping[tuple[ComponentKind, str], DeploymentId | None],
) -> None:
    """What was replaced or removed finishes what it has in progress."""
    drains = Drains(transaction, deployment.scope, deployment.actor or SYSTEM, deployment.origin)
    for key, new in after.items():
        drains.live_again(*key, new.digest)
    for key, old in before.items():
        if key in after or transaction.component(deployment.scope, *key) is None:
            drains.begin(old, live_by.get(key))


def _remove(transaction: Transaction, scope: Scope, change: Change) -> None:
    """Undeploys it; what an agent keeps for all conversations goes with it."""
    transaction.remove_component(scope, change.kind, change.name)
    if change.kind == "agent":
        transaction.remove_agent_state(scope, change.name)


def _describe(change: Change, version: AgentVersion | ToolVersion, lacking: Callable[[ToolVersion], Missing]) -> None:
    """Says of a change what is new, and what of that nobody has granted."""
    if isinstance(version, AgentVersion):
        change.after = version.spec.version
        change.capabilities = [capability.name for capability in version.spec.capabilities]
    else:
        change.after = version.manifest.version
        change.unsandboxed = version.manifest.unsandboxed
    module = version.module or version.remote if isinstance(version, AgentVersion) else version
    if module is not None:
        change.lacks(lacking(module))


def _brings_back(transaction: Transaction, scope: Scope, change: Change, named: Collection[str]) -> bool:
    """Whether somebody deploys what is live, while a rollout of something else is under way."""
    if change.action != "unchanged" or change.name not in named:
        return False
    component = transaction.component(scope, "agent", change.name)
    return component is not None and component.digest == change.digest


def _rolls_out(
    transaction: Transaction,
    deployment: DeploymentInput,
    change: Change,
    before: AgentVersion | ToolVersion | None,
    after: AgentVersion | ToolVersion,
    rollouts: Rollouts,
) -> bool:
    """Whether a new version of an agent gets only a part of the traffic at first; begins that."""
    if not isinstance(after, AgentVersion):
        return False
    change.ends = rollouts.supersede(change.name, f"{after.spec.version} was deployed after it")
    component = transaction.component(deployment.scope, "agent", change.name)
    plan = plan_of(after, deployment.request.strategy, gate=deployment.request.gate)
    if plan is None or not isinstance(before, AgentVersion) or deployment.rollback_of is not None:
        return False
    if component is None or component.state != AgentState.RUNNING:
        return False  # what takes no work has no traffic to share
    rollout = rollouts.begin(change.name, before, after, plan, deployment.deployment_id)
    change.rollout, change.strategy = rollout.id, plan.strategy
    return True


def _reset_breakers(transaction: Transaction, deployment: DeploymentInput, changed: Sequence[Change]) -> None:
    """Closes the circuit breakers of what is deployed again, which may work now, or removed."""
    names = {(change.kind, change.name) for change in changed}
    for breaker in transaction.breakers(deployment.scope):
        if (breaker.kind, breaker.name) in names:
            reset(
                transaction,
                deployment.scope,
                breaker.kind,
                breaker.name,
                "deployed",
                actor=deployment.actor or SYSTEM,
                origin=deployment.origin,
                deployment_id=deployment.deployment_id,
            )


def _count_skills(release: Release, after: Versions) -> int:
    agents = [version for version in after.values() if isinstance(version, AgentVersion)]
    return len({c.name for version in [*agents, *release.kept_agents.values()] for c in version.spec.capabilities})


def _version_of(
    transaction: Transaction, scope: Scope, kind: ComponentKind, digest: Digest
) -> AgentVersion | ToolVersion:
    if kind == "agent":
        return transaction.agent_versions(scope, [digest])[digest]
    return transaction.tool_versions(scope, [digest])[digest]
