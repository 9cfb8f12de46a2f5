"""The decision: from a request and the index to one agent, or to a failure that says what to do."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from caxton.domain.agents import AgentState
from caxton.domain.capabilities import version_matches
from caxton.domain.errors import AllAgentsUnavailable, CircuitBreakerOpen, Hint, NoCapableAgent, NotFound
from caxton.domain.executions import RoutingStrategy, Target
from caxton.domain.ids import Digest
from caxton.routing.index import CapabilityIndex, Provider
from caxton.routing.similar import similar_names
from caxton.routing.strategies import choose


@dataclass(frozen=True, slots=True)
class Decision:
    """Who does it."""

    agent: str
    digest: Digest
    capability: str | None
    capability_version: str | None
    strategy: RoutingStrategy


def route(
    index: CapabilityIndex,
    target: Target,
    strategy: RoutingStrategy,
    *,
    key: str,
    load: Mapping[str, int] | None = None,
    preferred: str | None = None,
    excluded: Collection[str] = (),
) -> Decision:
    """Chooses an agent.

    Args:
        index: the workspace's capabilities.
        target: a capability with a version range, or an agent by name.
        strategy: how to choose among several.
        key: decides ties and draws, so that the same request is routed the same way (the execution's id).
        load: executions in hand by agent, for LoadBalanced.
        preferred: the agent that the conversation is with already; it stays while it takes work.
        excluded: agents that must not be chosen (those that would close a circle), while there are others.

    Raises:
        NoCapableAgent: nobody offers the capability in that range.
        AllAgentsUnavailable: somebody does, but takes no work now.
        CircuitBreakerOpen: all who would are resting after failures.
        NotFound: there is no agent of the name that `target` gives.
    """
    if target.agent is not None:
        return _route_to_agent(index, target.agent, target.capability, strategy)
    name = target.capability or ""
    providers = index.providers.get(name, ())
    if target.version_range != "*":
        fitting = tuple(p for p in providers if version_matches(p.version, target.version_range))
    else:
        # Who names no version gets a release, as with npm; a pre-release only where there is nothing else.
        fitting = tuple(p for p in providers if not p.is_prerelease) or providers
    if not fitting:
        raise _no_capable_agent(index, name, target.version_range, providers)
    able = [provider for provider in fitting if provider.takes_work]
    if not able:
        raise _unavailable(name, fitting)
    if preferred is not None:
        for provider in able:
            if provider.agent == preferred:
                return _decision(provider, name, strategy)
    free = [provider for provider in able if provider.agent not in excluded] or able
    return _decision(choose(strategy, free, key=key, load=load or {}), name, strategy)


def _decision(provider: Provider, capability: str, strategy: RoutingStrategy) -> Decision:
    return Decision(provider.agent, provider.digest, capability, provider.version, strategy)


def _route_to_agent(index: CapabilityIndex, name: str, capability: str | None, strategy: RoutingStrategy) -> Decision:
    agent = index.agents.get(name)
    if agent is None:
        similar = similar_names(name, index.agents)
        hints = [Hint(text=f'did you mean "{similar[0]}"?')] if similar else []
        hints.append(Hint(text="see which agents there are", command="caxton agent list"))
        raise NotFound(f'there is no agent "{name}"', *hints, details={"agent": name, "similar": similar})
    if agent.state is not AgentState.RUNNING:
        raise AllAgentsUnavailable(
            f'agent "{name}" is {agent.state} and takes no work',
            Hint(text="start it", command=f"caxton agent start {name}"),
            details={"agent": name, "state": agent.state, "reason": "AllAgentsUnavailable"},
        )
    if agent.suspended is not None:
        raise AllAgentsUnavailable(
            f'agent "{name}" is suspended: {agent.suspended}',
            Hint(text="an operator can let it work again", command=f"caxton agent resume {name}"),
            details={"agent": name, "state": "Suspended", "reason": "AllAgentsUnavailable"},
        )
    if agent.breaker_open:
        raise CircuitBreakerOpen(
            f'agent "{name}" has failed too often and is resting',
            details={"agent": name, "reason": "CircuitBreakerOpen"},
        )
    offered = agent.spec.offers(capability) if capability else agent.spec.capabilities[0]
    return Decision(name, agent.digest, offered and offered.name, offered and offered.version, strategy)


def _no_capable_agent(
    index: CapabilityIndex, name: str, version_range: str, providers: tuple[Provider, ...]
) -> NoCapableAgent:
    details = {"capability": name, "version_range": version_range, "reason": "NoCapableAgent"}
    if providers:
        offered = sorted({provider.version for provider in providers}, reverse=True)
        return NoCapableAgent(
            f'no agent offers "{name}" in version {version_range}; offered: {", ".join(offered)}',
            Hint(text="ask for a version that is offered", command=f'caxton ask {name}@^{offered[0]} "…"'),
            details={**details, "offered": offered, "similar": [name]},
        )
    similar = similar_names(name, index.providers)
    hints = [Hint(text=f'did you mean "{similar[0]}"?', command=f'caxton ask {similar[0]} "…"')] if similar else []
    if name in index.agents:
        offered = [capability.name for capability in index.agents[name].spec.capabilities]
        hints = [
            Hint(text=f'"{name}" is an agent; ask for what it offers', command=f'caxton ask {offered[0]} "…"'),
            Hint(text="or ask the agent itself", command=f'caxton ask --agent {name} "…"'),
        ]
        similar = offered + [each for each in similar if each not in offered]
    if index.providers:
        hints.append(Hint(text="see what is offered", command="caxton capabilities"))
    else:
        hints.append(
            Hint(text="no agent is deployed yet: make one and deploy it", command="caxton init && caxton deploy")
        )
    described: list[dict[str, Any]] = [
        {
            "capability": other,
            "agents": len(index.providers.get(other, ())),
            "providers": [p.agent for p in index.providers.get(other, ())],
        }
        for other in similar
    ]
    return NoCapableAgent(
        f'no agent offers the capability "{name}"',
        *hints,
        details={**details, "similar": similar, "alternatives": described},
    )


def _unavailable(name: str, providers: tuple[Provider, ...]) -> AllAgentsUnavailable | CircuitBreakerOpen:
    states = {provider.agent: "Suspended" if provider.suspended else str(provider.state) for provider in providers}
    details = {"capability": name, "agents": states}
    if all(provider.breaker_open or provider.state is not AgentState.RUNNING for provider in providers) and any(
        provider.breaker_open for provider in providers
    ):
        return CircuitBreakerOpen(
            f'all agents that offer "{name}" have failed too often and are resting',
            "try again in a while",
            details={**details, "reason": "CircuitBreakerOpen"},
        )
    listed = ", ".join(f"{agent} is {state}" for agent, state in sorted(states.items()))
    first, state = sorted(states.items())[0]
    hint = (
        Hint(text="an operator can let it work again", command=f"caxton agent resume {first}")
        if state == "Suspended"
        else Hint(text="start one", command=f"caxton agent start {first}")
    )
    return AllAgentsUnavailable(
        f'no agent that offers "{name}" takes work now: {listed}',
        hint,
        details={**details, "reason": "AllAgentsUnavailable"},
    )
