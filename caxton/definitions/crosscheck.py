"""What can only be checked when all agents and tools are known: in a workspace, and on the server for all together."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from caxton.definitions.agents import AgentSource
from caxton.definitions.circles import find_circles
from caxton.definitions.reading import sorted_problems
from caxton.definitions.scripts import check_actions
from caxton.definitions.starters import included_tools
from caxton.definitions.suggestions import did_you_mean, listed
from caxton.definitions.toml_positions import Path
from caxton.domain.capabilities import CapabilityRequest, version_matches
from caxton.domain.memory_functions import FUNCTIONS, SERVER
from caxton.domain.problems import Problem

_SEE_TOOLS = "Run `caxton tool list` to see what is deployed."


Offers = Mapping[str, Sequence[tuple[str, str]]]
"""Agent and version of each offer, by the capability's name."""


def crosscheck(
    agents: Sequence[AgentSource],
    tools: Mapping[str, Collection[str] | None],
    *,
    all_tools_known: bool = True,
    deployed: Offers | None = None,
) -> list[Problem]:
    """Problems between agents and tools.

    Args:
        agents: all agents that there will be.
        tools: all tools that there will be: the names of their functions, or None where they are not known yet.
        deployed: what agents offer that are on the server and stay there; `agents` replace those of the same name.
        all_tools_known: False where the server may have more tools; a missing tool is then a warning.

    Returns:
        Errors: names given twice, missing tools and functions, hand-overs in a circle. Warnings: capabilities that
        nobody offers, for somebody may come who does.
    """
    tools = {**tools, SERVER: [function.name for function in FUNCTIONS]}
    problems: list[Problem] = [*_duplicates(agents)]
    offers = _offers(agents, deployed or {})
    all_offers_known = not any("capabilities" in agent.doubtful for agent in agents)
    for agent in agents:
        problems += _check_tools(agent, tools, all_tools_known)
        problems += _check_script(agent, tools)
        if agent.script_toml is not None and not agent.doubtful & {"tools", "delegates"}:
            problems += check_actions(agent.script_toml, agent.version.spec, tools, offers)
        problems += _check_policies(agent, tools)
        problems += _check_name(agent, tools)
        if all_offers_known:
            problems += _check_delegates(agent, offers)
            problems += _check_judge(agent, offers)
    problems += _check_circles(agents, offers)
    return sorted_problems(problems)


def _duplicates(agents: Sequence[AgentSource]) -> Iterator[Problem]:
    first: dict[str, AgentSource] = {}
    named = [agent for agent in agents if "name" not in agent.doubtful]
    for agent in sorted(named, key=lambda agent: agent.file):
        earlier = first.setdefault(agent.name, agent)
        if earlier is not agent:
            place = f"{earlier.file}:{earlier.toml.line_of(('name',))}" if earlier.toml else earlier.file
            message = f'the agent "{agent.name}" is defined twice, first in {place}'
            yield agent.problem(("name",), message, "give one of them another name")


# --- tools ---


def _check_tools(
    agent: AgentSource, tools: Mapping[str, Collection[str] | None], all_tools_known: bool
) -> Iterator[Problem]:
    included = included_tools()
    for index, tool in enumerate(agent.version.spec.tools):
        server, _, function = tool.partition(".")
        path: Path = ("tools", index)
        if server in included and server not in tools:
            hint = f"it comes with Caxton: run `caxton tool add {server}`"
            yield agent.problem(path, f'unknown tool "{server}"', hint, warning=not all_tools_known)
        elif server not in tools:
            guess = did_you_mean(server, tools)
            if all_tools_known:
                hint = f"{guess} {_SEE_TOOLS}" if guess else f"put it into tools/{server}. {_SEE_TOOLS}"
                yield agent.problem(path, f'unknown tool "{server}"', hint)
            else:
                hint = guess or "it is not in tools/; the server may have it"
                yield agent.problem(path, f'unknown tool "{server}"', hint, warning=True)
        elif function and not _has(tools[server], function):
            message, hint = _no_function(server, function, tools[server])
            yield agent.problem(path, message, hint)


def _check_name(agent: AgentSource, tools: Mapping[str, Collection[str] | None]) -> Iterator[Problem]:
    """What is granted to a component is granted by name, as to a tool: both would get what is meant for one."""
    if not agent.version.spec.has_model and agent.name in tools:
        message = f'there is a tool "{agent.name}": an agent of this kind and a tool would share grants'
        yield agent.problem(("name",), message, "give one of them another name")


def _check_policies(agent: AgentSource, tools: Mapping[str, Collection[str] | None]) -> Iterator[Problem]:
    """A policy for a tool that the agent does not use would guard nothing: the one that it was meant for is unguarded."""
    spec = agent.version.spec
    used = {tool.partition(".")[0] for tool in spec.tools}
    for name in spec.tool_policies:
        server, _, function = name.partition(".")
        path: Path = ("tool_policies", name)
        if server not in used:
            hint = did_you_mean(server, used) or f'add "{server}" to `tools`, or remove the policy'
            yield agent.problem(path, f'there is a policy for "{name}", but the agent does not use "{server}"', hint)
        elif function and server in tools and not _has(tools[server], function):
            message, hint = _no_function(server, function, tools[server])
            yield agent.problem(path, message, hint)


def _check_script(agent: AgentSource, tools: Mapping[str, Collection[str] | None]) -> Iterator[Problem]:
    """Functions that the script calls, of tools that the agent may use."""
    rules: list[dict[str, Any]] = (agent.version.script or {}).get("rules", [])
    for rule_index, rule in enumerate(rules):
        for step_index, step in enumerate(rule["steps"]):
            server, _, function = str(step.get("tool", "")).partition(".")
            if server in tools and not _has(tools[server], function):
                message, hint = _no_function(server, function, tools[server])
                yield agent.script_problem(("rules", rule_index, "steps", step_index, "tool"), message, hint)


def _has(functions: Collection[str] | None, function: str) -> bool:
    return functions is None or function in functions


def _no_function(server: str, function: str, functions: Collection[str] | None) -> tuple[str, str]:
    known = sorted(functions or ())
    hint = did_you_mean(function, known) or (f"it has {listed(known)}" if known else "it has none")
    return f'the tool "{server}" has no function "{function}"', hint


# --- capabilities ---


def _offers(agents: Sequence[AgentSource], deployed: Offers) -> Offers:
    replaced = {agent.name for agent in agents}
    offers: dict[str, list[tuple[str, str]]] = {}
    for name, others in deployed.items():
        staying = [offer for offer in others if offer[0] not in replaced]
        if staying:
            offers[name] = staying
    for agent in agents:
        for capability in () if "capabilities" in agent.doubtful else agent.version.spec.capabilities:
            offers.setdefault(capability.name, []).append((agent.name, capability.version))
    return offers


def _takers(request: CapabilityRequest, offers: Offers) -> list[str]:
    """Agents to which the request can go."""
    found = offers.get(request.name, ())
    return [name for name, version in found if version_matches(version, request.version_range)]


def _check_delegates(agent: AgentSource, offers: Offers) -> Iterator[Problem]:
    for index, request in enumerate(agent.version.spec.delegates):
        if _takers(request, offers):
            continue
        found = offers.get(request.name)
        if found:
            versions = listed(sorted({version for _, version in found}))
            message = f'no agent offers "{request.name}" in version {request.version_range}: there is {versions}'
            hint = "take a range that holds the version, or deploy an agent that offers it"
        else:
            message = f'no agent offers the capability "{request.name}"'
            hint = (
                did_you_mean(request.name, offers)
                or "handing over to it fails until an agent that offers it is deployed"
            )
        yield agent.problem(("delegates", index), message, hint, warning=True)


def _check_judge(agent: AgentSource, offers: Offers) -> Iterator[Problem]:
    """A judge that nobody is would never say anything, and the rollout never be told good."""
    judge = agent.version.spec.rollout.judge if agent.version.spec.rollout else None
    if judge is not None and judge.capability not in offers:
        message = f'no agent offers "{judge.capability}", so nothing would be judged and the rollout never be told good'
        hint = did_you_mean(judge.capability, offers) or "deploy an agent that offers it first, or with this one"
        yield agent.problem(("rollout", "judge", "capability"), message, hint, warning=True)


def _check_circles(agents: Sequence[AgentSource], offers: Offers) -> Iterator[Problem]:
    """Circles in which every agent may appear but once: work that goes round can only fail."""
    strict = {agent.name: agent for agent in agents if agent.version.spec.limits.loops == 1}
    followers = {
        name: {
            taker: None
            for request in agent.version.spec.delegates
            for taker in _takers(request, offers)
            if taker in strict
        }
        for name, agent in strict.items()
    }
    for circle in find_circles(followers):
        agent, following = strict[circle[0]], circle[1 % len(circle)]
        requests = agent.version.spec.delegates
        index = next(index for index, request in enumerate(requests) if following in _takers(request, offers))
        yield agent.problem(
            ("delegates", index),
            f"work is handed over in a circle: {' → '.join([*circle, circle[0]])}",
            "remove one of the hand-overs, or write loops = 2 under [limits] in one of the agents if it is meant",
        )
