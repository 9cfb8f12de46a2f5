"""What a deployment needs of the world: check all, make all live at once, tell the agents' workflows."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field

from temporalio import activity

from caxton.activities.deployment_events import DeploymentNotes
from caxton.activities.releases import Release, read_release
from caxton.activities.validation import validate_release
from caxton.domain.agents import AgentState, AgentVersion
from caxton.domain.deployments import Change, DeploymentState
from caxton.domain.events import SYSTEM
from caxton.domain.ids import Digest, Scope
from caxton.domain.ports import BlobStore, ModelGateway, ToolSandbox
from caxton.domain.records import ComponentKind, Records, Transaction
from caxton.domain.tools import ToolState, ToolVersion
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

Notify = Callable[[Scope, str, Digest | None], Awaitable[None]]
"""Tells an agent's workflow that it was deployed (digest) or removed (None)."""


@dataclass
class DeploymentActivities:
    """Deployments. `notify` reaches the agents' workflows."""

    records: Records
    blobs: BlobStore
    sandbox: ToolSandbox
    models: ModelGateway
    notify: Notify = field(repr=False)
    channels: Collection[str] = ()
    """Names of the channels that escalations may use."""
    warm_memory: Callable[[], None] | None = field(default=None, repr=False)
    """Gets the memory ready, where agents that use it are deployed."""

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
            release = await self.records.read(lambda tx: read_release(tx, scope, deployment.request))
            versions = await validate_release(scope, release, self.blobs, self.sandbox, self.models, self.channels)
        finally:
            beating.cancel()

        def stage(transaction: Transaction) -> None:
            for bundle, version in versions:
                transaction.put_version(scope, bundle.kind, bundle, version, deployment.deployment_id)
            transaction.set_deployment(scope, deployment.deployment_id, DeploymentState.DEPLOYING)
            notes = DeploymentNotes(scope, deployment.deployment_id, deployment.actor or SYSTEM)
            notes.configured(release.changes)
            transaction.add_events_once(scope, notes.events)

        await self.records.write(stage)

    @activity.defn(name=ACTIVATE_DEPLOYMENT)
    async def activate_deployment(self, deployment: DeploymentInput) -> bool:
        """Makes all changes live in one transaction. Returns whether there were any."""

        def activate(transaction: Transaction) -> bool:
            known = transaction.deployment(deployment.scope, deployment.deployment_id)
            if known is not None and known.state is DeploymentState.RUNNING:
                return bool([change for change in known.changes if change.action != "unchanged"])
            release = read_release(transaction, deployment.scope, deployment.request)
            notes = DeploymentNotes(deployment.scope, deployment.deployment_id, deployment.actor or SYSTEM)
            changes = _apply(transaction, deployment, release, notes)
            transaction.set_deployment(
                deployment.scope,
                deployment.deployment_id,
                DeploymentState.RUNNING,
                changes=changes,
                before=release.before,
            )
            if deployment.rollback_of is not None:
                transaction.set_deployment(deployment.scope, deployment.rollback_of, DeploymentState.ROLLED_BACK)
            transaction.add_events(deployment.scope, notes.events)
            return any(change.action != "unchanged" for change in changes)

        return await self.records.write(activate)

    @activity.defn(name=FAIL_DEPLOYMENT)
    async def fail_deployment(self, failure: DeploymentFailure) -> None:
        """Records why nothing was changed."""

        def fail(transaction: Transaction) -> None:
            known = transaction.deployment(failure.scope, failure.deployment_id)
            if known is None or known.state is DeploymentState.FAILED:
                return
            transaction.set_deployment(
                failure.scope, failure.deployment_id, DeploymentState.FAILED, error=failure.error
            )
            notes = DeploymentNotes(failure.scope, failure.deployment_id)
            notes.failed(failure.error)
            transaction.add_events(failure.scope, notes.events)

        await self.records.write(fail)

    @activity.defn(name=NOTIFY_AGENTS)
    async def notify_agents(self, deployment: DeploymentInput) -> None:
        """Tells the workflows of all agents that were deployed, updated or removed."""
        if self.warm_memory is not None and await self.records.read(lambda tx: _uses_memory(tx, deployment)):
            self.warm_memory()
        done = await self.records.read(lambda tx: tx.deployment(deployment.scope, deployment.deployment_id))
        assert done is not None
        changed = [c for c in done.changes if c.kind == "agent" and c.action != "unchanged"]
        free = asyncio.Semaphore(NOTIFY_AT_ONCE)

        async def tell(change: Change) -> None:
            async with free:
                await self.notify(deployment.scope, change.name, change.digest)

        await asyncio.gather(*(tell(change) for change in changed))


def _uses_memory(transaction: Transaction, deployment: DeploymentInput) -> bool:
    components = transaction.components(deployment.scope, "agent")
    versions = transaction.agent_versions(deployment.scope, [component.digest for component in components])
    return any(version.spec.memory.enabled or version.spec.memory.auto_store for version in versions.values())


def _apply(
    transaction: Transaction, deployment: DeploymentInput, release: Release, notes: DeploymentNotes
) -> list[Change]:
    scope, changes = deployment.scope, release.changes
    changed = [change for change in changes if change.action != "unchanged"]
    before = {
        (change.kind, change.name): _version_of(transaction, scope, change.kind, component.digest)
        for change in changed
        if change.before is not None
        and (component := transaction.component(scope, change.kind, change.name)) is not None
    }
    after: dict[tuple[str, str], AgentVersion | ToolVersion] = {}
    for change in changed:
        if change.action == "deleted":
            transaction.remove_component(scope, change.kind, change.name)
        elif change.digest is not None:
            version = _version_of(transaction, scope, change.kind, change.digest)
            after[change.kind, change.name] = version
            change.after = version.spec.version if isinstance(version, AgentVersion) else version.manifest.version
            if isinstance(version, AgentVersion):
                change.capabilities = [capability.name for capability in version.spec.capabilities]
            transaction.put_component(
                scope,
                change.kind,
                change.name,
                digest=change.digest,
                version=change.after,
                state=AgentState.RUNNING if change.kind == "agent" else ToolState.RUNNING,
                deployment_id=deployment.deployment_id,
            )
    notes.activated(changes, rollback=deployment.rollback_of is not None)
    skills = _count_skills(release, after)
    for change in changed:
        old, new = before.get((change.kind, change.name)), after.get((change.kind, change.name))
        if isinstance(old, AgentVersion) or isinstance(new, AgentVersion):
            assert not isinstance(old, ToolVersion)
            assert not isinstance(new, ToolVersion)
            notes.agent(old, new, skills)
        elif old is not None or new is not None:
            notes.tool(old, new)
    return changes


def _count_skills(release: Release, after: Mapping[tuple[str, str], AgentVersion | ToolVersion]) -> int:
    agents = [version for version in after.values() if isinstance(version, AgentVersion)]
    return len({c.name for version in [*agents, *release.kept_agents.values()] for c in version.spec.capabilities})


def _version_of(
    transaction: Transaction, scope: Scope, kind: ComponentKind, digest: Digest
) -> AgentVersion | ToolVersion:
    if kind == "agent":
        return transaction.agent_versions(scope, [digest])[digest]
    return transaction.tool_versions(scope, [digest])[digest]
