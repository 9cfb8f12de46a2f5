"""Keeps capability indexes current. It asks the records port for the registry's generation and rebuilds when that moved."""

from caxton.domain.agents import AgentState
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


class Directory:
    """Registries of all workspaces, in memory. Asking costs one indexed read; rebuilding happens only after a change."""

    def __init__(self) -> None:
        """Start empty."""
        self._registries: dict[Scope, Registry] = {}

    def registry(self, transaction: Transaction, scope: Scope) -> Registry:
        """The workspace's registry as of this transaction."""
        generation = transaction.generation(scope)
        known = self._registries.get(scope)
        if known is not None and known.index.generation == generation:
            return known
        built = _read(transaction, scope, generation)
        self._registries[scope] = built
        return built


def _read(transaction: Transaction, scope: Scope, generation: int) -> Registry:
    components = transaction.components(scope)
    agents = transaction.agent_versions(scope, [c.digest for c in components if c.kind == "agent"])
    tools = transaction.tool_versions(scope, [c.digest for c in components if c.kind == "tool"])
    deployed = [
        DeployedAgent(agents[Digest(c.digest)].spec, c.digest, AgentState(c.state), suspended=c.suspended)
        for c in components
        if c.kind == "agent" and c.digest in agents
    ]
    active = {
        c.name: (tools[c.digest], ToolState(c.state)) for c in components if c.kind == "tool" and c.digest in tools
    }
    deployments = {c.name: (c.digest, c.deployment_id) for c in components if c.kind == "agent"}
    limited = bool(transaction.budgets(scope.customer, scope.workspace))
    return Registry(build_index(generation, deployed), active, deployments, has_budgets=limited)
