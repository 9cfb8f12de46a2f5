"""Keeps capability indexes current. It asks the records port for the registry's generation and rebuilds when that moved."""

import copy
from collections.abc import Collection, Mapping, Sequence

from caxton.domain.agents import AgentSpec, AgentState, AgentVersion
from caxton.domain.breakers import Breaker, BreakerKind
from caxton.domain.drains import over
from caxton.domain.grants import NO_GRANTS, StandingGrants, ToolGrant
from caxton.domain.ids import ConversationId, DeploymentId, Digest, Scope
from caxton.domain.memory_functions import MEMORY_TOOL, SERVER
from caxton.domain.records import Component, Transaction
from caxton.domain.rollout_plans import AfterAbort
from caxton.domain.rollouts import MOST_ROLLOUTS, Rollout, RolloutState, gets
from caxton.domain.tools import ToolState, ToolVersion
from caxton.routing.index import CapabilityIndex, DeployedAgent, build_index, update_index

Breakers = Mapping[tuple[BreakerKind, str], Breaker]
"""Circuit breakers that are not closed, or have failures to remember, by kind and name."""


class Registry:
    """What is deployed in one workspace, at one generation."""

    def __init__(
        self,
        index: CapabilityIndex,
        tools: dict[str, tuple[ToolVersion, ToolState]],
        deployments: dict[str, tuple[Digest, DeploymentId | None]] | None = None,
        *,
        has_budgets: bool = False,
    ) -> None:
        """Join the capability index with the active versions of tools, and each agent's digest with its deployment."""
        self.index = index
        self.tools = tools
        self.deployments = deployments or {}
        self.has_budgets = has_budgets
        """Whether anything that agents of the workspace do counts against a budget."""
        self.grants: Mapping[str, Sequence[ToolGrant]] = {}
        """What operators and settings grant, by tool."""
        self.rollouts: Mapping[str, Rollout] = {}
        """Rollouts under way, by agent."""
        self.withdrawn: frozenset[Digest] = frozenset()
        """Versions that were rolled back and that no conversation stays with."""
        self.quarantined: Mapping[str, str] = {}
        """Tools that take no calls until an administrator releases them, and why."""
        self.breakers: Breakers = {}
        self.breaker_generation = -1

    def with_breakers(self, breakers: Breakers, generation: int) -> "Registry":
        """The same, with circuit breakers as they are at a generation of theirs."""
        made = copy.copy(self)
        made.breakers, made.breaker_generation = breakers, generation
        return made

    def version_for(self, agent: str, conversation: ConversationId, live: Digest) -> Digest:
        """The version of `agent` that a new conversation begins with: the `live` one, or the candidate of a rollout."""
        rollout = self.rollouts.get(agent)
        if rollout is None or rollout.stable != live:
            return live
        return rollout.candidate if gets(conversation, rollout.candidate, rollout.share) else live

    def rollout_of(self, agent: str, digest: Digest) -> str | None:
        """The rollout that what this version does is counted for, if there is one in which the two share the traffic."""
        rollout = self.rollouts.get(agent)
        if rollout is None or rollout.share == 0:
            return None
        return rollout.id if digest in (rollout.stable, rollout.candidate) else None

    def is_live(self, agent: str, digest: Digest) -> bool:
        """Whether this version of an agent is the one that is live: no candidate, and no earlier one."""
        return self.deployments.get(agent, (None, None))[0] == digest

    def running_tool(self, name: str) -> ToolVersion | None:
        """The active version of a tool that takes calls."""
        if name == SERVER:
            return MEMORY_TOOL
        version, state = self.tools.get(name, (None, None))
        return version if state is ToolState.RUNNING and name not in self.quarantined else None


MOST_VERSIONS = 4_096

MOST_CHANGED = 500
"""Components that an index takes up one by one; where more have changed, all are read."""

ENDED_ROLLOUTS = 100
"""The latest rollouts of a workspace whose conversations are checked after they were rolled back."""
NO_BREAKERS: Breakers = {}


class Directory:
    """Registries of all workspaces, in memory. Asking costs one indexed read; rebuilding happens only after a change."""

    def __init__(self, standing: StandingGrants = NO_GRANTS) -> None:
        """Start empty. `standing` are the grants that the server's settings make."""
        self._standing = standing
        self._registries: dict[Scope, Registry] = {}
        self._versions: dict[tuple[Scope, Digest], AgentVersion] = {}

    def registry(self, transaction: Transaction, scope: Scope) -> Registry:
        """The workspace's registry as of this transaction."""
        generation = transaction.generation(scope)
        known = self._registries.get(scope)
        if known is None or known.index.generation != generation:
            known = _read(transaction, scope, generation, known, self._standing)
        breakers = transaction.breaker_generation(scope)
        if known.breaker_generation != breakers:
            found = {(breaker.kind, breaker.name): breaker for breaker in transaction.breakers(scope)}
            known = known.with_breakers(found, breakers)
        self._registries[scope] = known
        return known

    def breakers(self, scope: Scope) -> Breakers:
        """The workspace's circuit breakers, as they were when somebody last read its registry here."""
        known = self._registries.get(scope)
        return known.breakers if known else NO_BREAKERS

    def agent_version(self, transaction: Transaction, scope: Scope, digest: Digest) -> AgentVersion:
        """A version of an agent. Versions never change, so each is read once."""
        found = self._versions.get((scope, digest))
        if found is None:
            found = transaction.agent_versions(scope, [digest])[digest]
            if len(self._versions) >= MOST_VERSIONS:
                self._versions.clear()
            self._versions[scope, digest] = found
        return found


def _read(
    transaction: Transaction, scope: Scope, generation: int, before: Registry | None, standing: StandingGrants
) -> Registry:
    found = None if before is None else _changed(transaction, scope, generation, before)
    found = found or _all(transaction, scope, generation, before)
    found.has_budgets = bool(transaction.budgets(scope.customer, scope.workspace))
    found.grants = read_grants(transaction, scope, standing)
    live = transaction.rollouts(scope, live=True, limit=MOST_ROLLOUTS)
    found.rollouts = {rollout.agent: rollout for rollout in live}
    ended = transaction.rollouts(scope, live=False, limit=ENDED_ROLLOUTS)
    moved = {rollout.candidate for rollout in ended if _takes_back(rollout)}
    found.withdrawn = over(transaction.drains(scope)) | moved
    return found


def _all(transaction: Transaction, scope: Scope, generation: int, before: Registry | None) -> Registry:
    """All that is deployed."""
    components = transaction.components(scope)
    specs = _specs(transaction, scope, [c.digest for c in components if c.kind == "agent"], before)
    tools = _tools(transaction, scope, [c.digest for c in components if c.kind == "tool"], before)
    deployed = [_deployed(c, specs[c.digest]) for c in components if c.kind == "agent" and c.digest in specs]
    active = {
        c.name: (tools[c.digest], ToolState(c.state)) for c in components if c.kind == "tool" and c.digest in tools
    }
    deployments = {c.name: (c.digest, c.deployment_id) for c in components if c.kind == "agent"}
    found = Registry(build_index(generation, deployed), active, deployments)
    found.quarantined = {c.name: c.suspended for c in components if c.kind == "tool" and c.suspended is not None}
    return found


def _changed(transaction: Transaction, scope: Scope, generation: int, before: Registry) -> Registry | None:
    """What was known `before`, with what has changed since; None where that is much."""
    changed = transaction.changed_components(scope, before.index.generation, MOST_CHANGED + 1)
    if len(changed) > MOST_CHANGED:
        return None
    agents = {name: component for (kind, name), component in changed.items() if kind == "agent"}
    tools = {name: component for (kind, name), component in changed.items() if kind == "tool"}
    # What an MCP server offers may have been accepted again, which changes no component.
    unsandboxed = [version for version, _ in before.tools.values() if not version.manifest.is_sandboxed]
    specs = _specs(transaction, scope, [c.digest for c in agents.values() if c], before, only=agents)
    wanted = {c.digest for c in tools.values() if c} | {version.digest for version in unsandboxed}
    versions = transaction.tool_versions(scope, sorted(wanted)) if wanted else {}
    index = update_index(
        before.index,
        generation,
        {name: _deployed(c, specs[c.digest]) if c and c.digest in specs else None for name, c in agents.items()},
    )
    active = {name: (versions.get(known.digest, known), state) for name, (known, state) in before.tools.items()}
    deployments, quarantined = dict(before.deployments), dict(before.quarantined)
    for name, c in agents.items():
        deployments.pop(name, None)
        if c is not None:
            deployments[name] = (c.digest, c.deployment_id)
    for name, c in tools.items():
        active.pop(name, None)
        quarantined.pop(name, None)
        if c is not None and c.digest in versions:
            active[name] = (versions[c.digest], ToolState(c.state))
        if c is not None and c.suspended is not None:
            quarantined[name] = c.suspended
    found = Registry(index, active, deployments)
    found.quarantined = quarantined
    return found


def _deployed(component: Component, spec: AgentSpec) -> DeployedAgent:
    return DeployedAgent(spec, component.digest, AgentState(component.state), suspended=component.suspended)


def _takes_back(rollout: Rollout) -> bool:
    return rollout.state is RolloutState.ROLLED_BACK and rollout.plan.after_abort is AfterAbort.MOVE


def read_grants(transaction: Transaction, scope: Scope, standing: StandingGrants) -> dict[str, list[ToolGrant]]:
    """What operators and settings grant in a workspace, by tool."""
    grants: dict[str, list[ToolGrant]] = {}
    for grant in (*standing.of(scope), *transaction.tool_grants(scope)):
        grants.setdefault(grant.tool, []).append(grant)
    return grants


# Definitions never change, and to read them all again would take most of the time that one agent's start takes.


def _specs(
    transaction: Transaction,
    scope: Scope,
    wanted: Sequence[Digest],
    before: Registry | None,
    only: Collection[str] | None = None,
) -> dict[Digest, AgentSpec]:
    """The agents of the `wanted` digests; those that the registry had `before` (`only` of these names) are not read again."""
    known = before.index.agents if before else {}
    agents = known.values() if only is None else [known[name] for name in only if name in known]
    found = {agent.digest: agent.spec for agent in agents}
    fresh = [digest for digest in wanted if digest not in found]
    return found | {digest: agent.spec for digest, agent in transaction.agent_versions(scope, fresh).items()}


def _tools(
    transaction: Transaction, scope: Scope, wanted: Sequence[Digest], before: Registry | None
) -> dict[Digest, ToolVersion]:
    """Likewise, the tools."""
    known = [tool for tool, _ in before.tools.values()] if before else []
    # What an MCP server offers may have been accepted again.
    found = {tool.digest: tool for tool in known if tool.manifest.is_sandboxed}
    return found | transaction.tool_versions(scope, [digest for digest in wanted if digest not in found])
