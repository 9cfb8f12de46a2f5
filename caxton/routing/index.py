"""The capability index: who offers what, prepared so that a decision is a few dictionary look-ups."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from caxton.domain.agents import AgentSpec, AgentState
from caxton.domain.capabilities import version_key
from caxton.domain.ids import Digest


@dataclass(frozen=True, slots=True)
class Provider:
    """An agent that offers a capability."""

    agent: str
    digest: Digest
    version: str
    """The capability's version, not the agent's."""
    state: AgentState
    weight: float = 1.0
    suspended: bool = False

    @property
    def takes_work(self) -> bool:
        """Whether new work may go to it."""
        return self.state is AgentState.RUNNING and not self.suspended

    @property
    def is_prerelease(self) -> bool:
        """Whether the version is a pre-release (https://semver.org/#spec-item-9)."""
        return "-" in self.version.partition("+")[0]


@dataclass(frozen=True, slots=True)
class DeployedAgent:
    """An agent as the registry has it."""

    spec: AgentSpec
    digest: Digest
    state: AgentState
    suspended: str | None = None
    """Why it takes no work, though its state would let it."""


@dataclass(frozen=True, slots=True)
class CapabilityIndex:
    """All capabilities of one workspace at one generation of its registry."""

    generation: int
    providers: dict[str, tuple[Provider, ...]] = field(default_factory=dict[str, tuple[Provider, ...]])
    """By capability; the newest version first, then by agent name."""
    agents: dict[str, DeployedAgent] = field(default_factory=dict[str, DeployedAgent])

    @property
    def capabilities(self) -> list[str]:
        """Names of all capabilities, sorted."""
        return sorted(self.providers)


def build_index(generation: int, agents: Iterable[DeployedAgent]) -> CapabilityIndex:
    """The index of `agents`."""
    found: dict[str, list[Provider]] = {}
    by_name: dict[str, DeployedAgent] = {}
    for agent in agents:
        by_name[agent.spec.name] = agent
        _offer(found, agent)
    return CapabilityIndex(generation, {name: _ordered(providers) for name, providers in found.items()}, by_name)


def update_index(
    index: CapabilityIndex, generation: int, changed: Mapping[str, DeployedAgent | None]
) -> CapabilityIndex:
    """The index with some agents changed, by name; None for those that are gone. It costs what they offer, not what there is."""
    agents, providers = dict(index.agents), dict(index.providers)
    offered: dict[str, list[Provider]] = {}
    for name in changed:
        before = agents.pop(name, None)
        for capability in before.spec.capabilities if before else ():
            offered.setdefault(capability.name, [])
    for name, agent in changed.items():
        if agent is not None:
            agents[name] = agent
            _offer(offered, agent)
    for capability, new in offered.items():
        kept = [provider for provider in providers.pop(capability, ()) if provider.agent not in changed]
        if kept or new:
            providers[capability] = _ordered([*kept, *new])
    return CapabilityIndex(generation, providers, agents)


def _offer(found: dict[str, list[Provider]], agent: DeployedAgent) -> None:
    for capability in agent.spec.capabilities:
        provider = Provider(
            agent.spec.name,
            agent.digest,
            capability.version,
            agent.state,
            suspended=agent.suspended is not None,
        )
        found.setdefault(capability.name, []).append(provider)


def _ordered(providers: list[Provider]) -> tuple[Provider, ...]:
    if len(providers) > 1:
        providers.sort(key=lambda provider: provider.agent)
        providers.sort(key=lambda provider: version_key(provider.version), reverse=True)
    return tuple(providers)
