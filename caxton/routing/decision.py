"""The decision: from a request and the index to one agent, or to a failure that says what to do."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from caxton.domain.agents import AgentState
from caxton.domain.capabilities import version_matches
from caxton.domain.errors import AllAgentsUnavailable, CircuitBreakerOpen, Hint, NoCapableAgent, NotFound
from caxton.domain.executions import RoutingStrategy, Target
from caxton.domain.ids import Digest
from caxton.domain.quantities import format_duration
from caxton.routing.index import CapabilityIndex, Provider
from caxton.routing.similar import similar_names
from caxton.routing.strategies import choose

NOBODY: Mapping[str, float] = {}

MOMENT = 0.1
"""Seconds after which to come back at the earliest."""

STARTS_WITHIN = 1.0
"""Seconds after which to ask again for an agent that is being started, such as one whose health made a restart necessary."""

_COMES = Hint(text=f"it is being started: try again in {format_duration(STARTS_WITHIN)}")


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
    resting: Mapping[str, float] = NOBODY,
) -> Decision:
    """Chooses an agent.

    Args:
        index: the workspace's capabilities.
        target: a capability with a version range, or an agent by name.
        strategy: how to choose among several.
        key: decides ties and draws, so that the same request is routed the same way (the execution's id).
        load: executions in progress by agent, for LoadBalanced.
        preferred: the agent that the conversation is with already; it stays while it takes work.
        excluded: agents that must not be chosen (those that would close a circle), while there are others.
        resting: agents whose circuit breakers are open, and the seconds until they may be asked again.

    Raises:
        NoCapableAgent: nobody offers the capability in that range.
        AllAgentsUnavailable: somebody does, but takes no work now.
        CircuitBreakerOpen: all who would are resting after failures.
        NotFound: there is no agent of the name that `target` gives.
    """
    if target.agent is not None:
        return _route_to_agent(index, target.agent, target.capability, strategy, resting)
    name = target.capability or ""
    providers = index.providers.get(name, ())
    if target.version_range != "*":
        fitting = tuple(p for p in providers if version_matches(p.version, target.version_range))
    else:
        # Who names no version gets a release, as with npm; a pre-release only where there is nothing else.
        fitting = tuple(p for p in providers if not p.is_prerelease) or providers
    if not fitting:
        raise _no_capable_agent(index, name, target.version_range, providers)
    able = [provider for provider in fitting if provider.takes_work and provider.agent not in resting]
    if not able:
        raise _unavailable(index, name, fitting, resting)
    if preferred is not None:
        for provider in able:
            if provider.agent == preferred:
                return _decision(provider, name, strategy)
    free = [provider for provider in able if provider.agent not in excluded] or able
    return _decision(choose(strategy, free, key=key, load=load or {}), name, strategy)


def _decision(provider: Provider, capability: str, strategy: RoutingStrategy) -> Decision:
    return Decision(provider.agent, provider.digest, capability, provider.version, strategy)


def _route_to_agent(
    index: CapabilityIndex,
    name: str,
    capability: str | None,
    strategy: RoutingStrategy,
    resting: Mapping[str, float],
) -> Decision:
    agent = index.agents.get(name)
    if agent is None:
        similar = similar_names(name, index.agents)
        hints = [Hint(text=f'did you mean "{similar[0]}"?', command=_asking_agent(similar[0]))] if similar else []
        if name in index.providers:
            hints = [Hint(text=f'"{name}" is a capability; ask for it', command=_asking_for(name))]
        hints.append(Hint(text="see which agents there are", command="caxton agent list"))
        raise NotFound(f'there is no agent "{name}"', *hints, details={"agent": name, "similar": similar})
    if agent.state is not AgentState.RUNNING:
        starts = agent.state is AgentState.LOADED
        raise AllAgentsUnavailable(
            f'agent "{name}" is {agent.state} and takes no work',
            _COMES if starts else Hint(text="start it", command=f"caxton agent start {name}"),
            details={"agent": name, "state": agent.state, "reason": "AllAgentsUnavailable"},
            retry_after=STARTS_WITHIN if starts else None,
        )
    if agent.suspended is not None:
        raise AllAgentsUnavailable(
            f'agent "{name}" is suspended: {agent.suspended}',
            Hint(text="an operator can let it work again", command=f"caxton agent resume {name}"),
            details={"agent": name, "state": "Suspended", "reason": "AllAgentsUnavailable"},
        )
    if name in resting:
        offers = [offered.name for offered in agent.spec.capabilities]
        raise _breaker_open(index, f'agent "{name}" keeps failing and rests', offers, {name: resting[name]})
    offered = agent.spec.offers(capability) if capability else agent.spec.capabilities[0]
    return Decision(name, agent.digest, offered and offered.name, offered and offered.version, strategy)


def _asking_for(capability: str) -> str:
    """A command that asks for a capability. Commands that talk otherwise, such as `caxton chat`, put their own in its place."""
    return f'caxton ask {capability} "…"'


def _asking_agent(name: str) -> str:
    return f'caxton ask --agent {name} "…"'


def _no_capable_agent(
    index: CapabilityIndex, name: str, version_range: str, providers: tuple[Provider, ...]
) -> NoCapableAgent:
    details = {"capability": name, "version_range": version_range, "reason": "NoCapableAgent"}
    if providers:
        offered = sorted({provider.version for provider in providers}, reverse=True)
        return NoCapableAgent(
            f'no agent offers "{name}" in version {version_range}; offered: {", ".join(offered)}',
            Hint(text="ask for a version that is offered", command=_asking_for(f"{name}@^{offered[0]}")),
            details={**details, "offered": offered, "similar": [name]},
        )
    similar = similar_names(name, index.providers)
    hints = [Hint(text=f'did you mean "{similar[0]}"?', command=_asking_for(similar[0]))] if similar else []
    if name in index.agents:
        offered = [capability.name for capability in index.agents[name].spec.capabilities]
        hints = [
            Hint(text=f'"{name}" is an agent; ask for what it offers', command=_asking_for(offered[0])),
            Hint(text="or ask the agent itself", command=_asking_agent(name)),
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


def _unavailable(
    index: CapabilityIndex, name: str, providers: tuple[Provider, ...], resting: Mapping[str, float]
) -> AllAgentsUnavailable | CircuitBreakerOpen:
    at_rest = {p.agent: resting[p.agent] for p in providers if p.takes_work and p.agent in resting}
    if at_rest:
        what = (
            f'agent "{next(iter(at_rest))}" keeps failing and rests'
            if len(at_rest) == 1
            else "agents keep failing and rest"
        )
        return _breaker_open(index, f'nobody answers "{name}" now: {what}', [name], at_rest)
    states = {provider.agent: "Suspended" if provider.suspended else str(provider.state) for provider in providers}
    details = {"capability": name, "agents": states}
    listed = ", ".join(f"{agent} is {state}" for agent, state in sorted(states.items()))
    first, state = sorted(states.items())[0]
    starts = str(AgentState.LOADED) in states.values()
    if starts:
        hint = _COMES
    elif state == "Suspended":
        hint = Hint(text="an operator can let it work again", command=f"caxton agent resume {first}")
    else:
        hint = Hint(text="start one", command=f"caxton agent start {first}")
    return AllAgentsUnavailable(
        f'no agent that offers "{name}" takes work now: {listed}',
        hint,
        details={**details, "reason": "AllAgentsUnavailable"},
        retry_after=STARTS_WITHIN if starts else None,
    )


def _breaker_open(
    index: CapabilityIndex, what: str, capabilities: Collection[str], at_rest: Mapping[str, float]
) -> CircuitBreakerOpen:
    """The refusal, with when to come back and who could be asked instead."""
    after = max(MOMENT, min(at_rest.values()))
    others = sorted(
        {
            provider.agent
            for name in capabilities
            for provider in index.providers.get(name, ())
            if provider.takes_work and provider.agent not in at_rest
        }
    )
    similar = [] if others else [found for name in capabilities for found in _similar(index, name, capabilities)]
    hints = (
        [Hint(text="ask another agent that offers it", command=f'caxton ask --agent {others[0]} "…"')] if others else []
    )
    if similar:
        hints.append(Hint(text="something similar is offered", command=f'caxton ask {similar[0]} "…"'))
    hints.append(Hint(text=f"try again in {format_duration(after)}: then one request tries whether it works again"))
    hints.append(Hint(text="see what fails", command="caxton breaker list"))
    return CircuitBreakerOpen(
        f"{what}; retrying in {format_duration(after)}",
        *hints,
        details={
            "capability": next(iter(capabilities), None),
            "agents": {name: round(seconds, 3) for name, seconds in sorted(at_rest.items())},
            "alternatives": others,
            "similar": list(dict.fromkeys(similar)),
            "reason": "CircuitBreakerOpen",
        },
        retry_after=round(after, 3),
    )


def _similar(index: CapabilityIndex, name: str, but: Collection[str]) -> list[str]:
    return similar_names(name, [other for other in index.providers if other not in but])
