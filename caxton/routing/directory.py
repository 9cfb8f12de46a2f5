"""Keeps capability indexes current. It asks the records port for the registry's generation and rebuilds when that moved."""

import time
from collections.abc import Callable, Sequence

from caxton.domain.agents import AgentSpec, AgentState, AgentVersion
from caxton.domain.ids import DeploymentId, Digest, Scope
from caxton.domain.memory_functions import MEMORY_TOOL, SERVER
from caxton.domain.records import Transaction
from caxton.domain.tools import ToolState, ToolVersion
from caxton.routing.index import CapabilityIndex, DeployedAgent, build_index


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

    def running_tool(self, name: str) -> ToolVersion | None:
        """The active version of a tool that takes calls."""
        if name == SERVER:
            return MEMORY_TOOL
        version, state = self.tools.get(name, (None, None))
        return version if state is ToolState.RUNNING else None


CURRENT_FOR = 0.25
"""Seconds for which a registry that was found current may be taken for it without another look."""

MOST_VERSIONS = 4_096


class Directory:
    """Registries of all workspaces, in memory. Asking costs one indexed read; rebuilding happens only after a change."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start empty."""
        self._clock = clock
        self._registries: dict[Scope, Registry] = {}
        self._checked: dict[Scope, float] = {}
        self._changes = 0
        self._versions: dict[tuple[Scope, Digest], AgentVersion] = {}

    def registry(self, transaction: Transaction, scope: Scope) -> Registry:
        """The workspace's registry as of this transaction."""
        checked, changes = self._clock(), self._changes
        generation = transaction.generation(scope)
        known = self._registries.get(scope)
        if known is None or known.index.generation != generation:
            known = self._registries[scope] = _read(transaction, scope, generation, known)
        if changes == self._changes:
            self._checked[scope] = checked
        return known

    def changed(self) -> None:
        """This process has changed a registry: none counts as current any more without a look. On any thread."""
        self._changes += 1
        self._checked.clear()

    def recent(self, scope: Scope) -> Registry | None:
        """The workspace's registry if somebody found it current just now: no read, and good enough to let work in by."""
        if self._clock() - self._checked.get(scope, -CURRENT_FOR) >= CURRENT_FOR:
            return None
        return self._registries.get(scope)

    def agent_version(self, transaction: Transaction, scope: Scope, digest: Digest) -> AgentVersion:
        """A version of an agent. Versions never change, so each is read once."""
        found = self._versions.get((scope, digest))
        if found is None:
            found = transaction.agent_versions(scope, [digest])[digest]
            if len(self._versions) >= MOST_VERSIONS:
                self._versions.clear()
            self._versions[scope, digest] = found
        return found


def _read(transaction: Transaction, scope: Scope, generation: int, before: Registry | None) -> Registry:
    components = transaction.components(scope)
    specs = _specs(transaction, scope, [c.digest for c in components if c.kind == "agent"], before)
    tools = _tools(transaction, scope, [c.digest for c in components if c.kind == "tool"], before)
    deployed = [
        DeployedAgent(specs[c.digest], c.digest, AgentState(c.state), suspended=c.suspended)
        for c in components
        if c.kind == "agent" and c.digest in specs
    ]
    active = {
        c.name: (tools[c.digest], ToolState(c.state)) for c in components if c.kind == "tool" and c.digest in tools
    }
    deployments = {c.name: (c.digest, c.deployment_id) for c in components if c.kind == "agent"}
    limited = bool(transaction.budgets(scope.customer, scope.workspace))
    return Registry(build_index(generation, deployed), active, deployments, has_budgets=limited)


# Definitions never change, and to read them all again would take most of the time that one agent's start takes.


def _specs(
    transaction: Transaction, scope: Scope, wanted: Sequence[Digest], before: Registry | None
) -> dict[Digest, AgentSpec]:
    """The agents of the `wanted` digests; those that the registry had `before` are not read again."""
    found = {agent.digest: agent.spec for agent in before.index.agents.values()} if before else {}
    fresh = [digest for digest in wanted if digest not in found]
    return found | {digest: agent.spec for digest, agent in transaction.agent_versions(scope, fresh).items()}


def _tools(
    transaction: Transaction, scope: Scope, wanted: Sequence[Digest], before: Registry | None
) -> dict[Digest, ToolVersion]:
    """Likewise, the tools."""
    found = {tool.digest: tool for tool, _ in before.tools.values()} if before else {}
    return found | transaction.tool_versions(scope, [digest for digest in wanted if digest not in found])
