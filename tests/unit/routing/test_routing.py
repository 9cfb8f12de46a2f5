"""Routing: for any set of agents, a decision keeps its promises or says why there is none."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton.domain.agents import AgentSpec, AgentState
from caxton.domain.capabilities import version_matches
from caxton.domain.errors import AllAgentsUnavailable, CircuitBreakerOpen, NoCapableAgent, NotFound
from caxton.domain.executions import RoutingStrategy, Target
from caxton.domain.ids import Digest, digest_of
from caxton.routing.decision import route
from caxton.routing.index import CapabilityIndex, DeployedAgent, build_index, update_index

NAMES = ["analyst", "artist", "clerk", "fetcher", "planner"]
CAPABILITIES = ["analyze", "draw", "fetch"]
VERSIONS = ["0.9.0", "1.0.0", "1.2.0", "1.10.0", "2.0.0-rc.1", "2.0.0"]
RANGES = ["*", "^1.0.0", ">=1.2 <2", "2.x", "^3"]


def deployed(name: str, offers: dict[str, str], state: AgentState = AgentState.RUNNING, **more: Any) -> DeployedAgent:
    capabilities = [{"name": capability, "version": version} for capability, version in offers.items()]
    spec = AgentSpec.model_validate(
        {"name": name, "version": "1.0.0", "capabilities": capabilities, "model": "openai:gpt-5"}
    )
    return DeployedAgent(spec, Digest(digest_of(name.encode())), state, **more)


agents = st.builds(
    deployed,
    st.sampled_from(NAMES),
    st.dictionaries(st.sampled_from(CAPABILITIES), st.sampled_from(VERSIONS), min_size=1),
    st.sampled_from(
        [AgentState.RUNNING, AgentState.RUNNING, AgentState.RUNNING, AgentState.DRAINING, AgentState.FAILED]
    ),
)
workspaces = st.lists(agents, max_size=5, unique_by=lambda agent: agent.spec.name)
strategies = st.sampled_from(RoutingStrategy)
keys = st.text("abcdef", min_size=1, max_size=8)


def able(agent: DeployedAgent, capability: str, version_range: str, workspace: list[DeployedAgent]) -> bool:
    takes_work = agent.state is AgentState.RUNNING
    return takes_work and fits(agent, capability, version_range, workspace)


def fits(agent: DeployedAgent, capability: str, version_range: str, workspace: list[DeployedAgent]) -> bool:
    offered = agent.spec.offers(capability)
    if offered is None:
        return False
    if version_range != "*":
        return version_matches(offered.version, version_range)
    released = [o for a in workspace if (o := a.spec.offers(capability)) and "-" not in o.version]
    return not released or "-" not in offered.version


@pytest.mark.requirement("RTE-1")
@given(
    workspace=workspaces,
    capability=st.sampled_from(CAPABILITIES),
    version_range=st.sampled_from(RANGES),
    strategy=strategies,
    key=keys,
    load=st.dictionaries(st.sampled_from(NAMES), st.integers(0, 5)),
    preferred=st.one_of(st.none(), st.sampled_from(NAMES)),
    excluded=st.sets(st.sampled_from(NAMES)),
)
def test_whoever_is_chosen_can_do_it(
    workspace: list[DeployedAgent],
    capability: str,
    version_range: str,
    strategy: RoutingStrategy,
    key: str,
    load: dict[str, int],
    preferred: str | None,
    excluded: set[str],
) -> None:
    index = build_index(1, workspace)
    target = Target(capability=capability, version_range=version_range)
    candidates = {a.spec.name: a for a in workspace if able(a, capability, version_range, workspace)}

    def decide(index: CapabilityIndex) -> str:
        decision = route(index, target, strategy, key=key, load=load, preferred=preferred, excluded=excluded)
        assert decision.capability == capability
        assert decision.strategy is strategy
        return decision.agent

    if not candidates:
        offers = [a for a in workspace if fits(a, capability, version_range, workspace)]
        with pytest.raises((NoCapableAgent, AllAgentsUnavailable, CircuitBreakerOpen)) as caught:
            decide(index)
        assert isinstance(caught.value, NoCapableAgent) == (not offers)
        assert caught.value.details["reason"] == type(caught.value).__name__
        return
    chosen = decide(index)
    assert chosen in candidates
    assert decide(build_index(2, reversed(workspace))) == chosen  # whatever order they were deployed in
    if preferred in candidates:
        assert chosen == preferred
        return
    free = [name for name in candidates if name not in excluded] or list(candidates)
    assert chosen in free
    if strategy is RoutingStrategy.LOAD_BALANCED:
        offered = index.providers[capability]
        newest = next(p.version for p in offered if p.agent in free)
        rivals = [p.agent for p in offered if p.agent in free and p.version == newest]
        assert load.get(chosen, 0) == min(load.get(name, 0) for name in rivals)


@pytest.mark.requirement("RTE-2")
def test_strategies_choose_as_their_names_say() -> None:
    index = build_index(
        1, [deployed("b", {"draw": "1.0.0"}), deployed("a", {"draw": "1.0.0"}), deployed("c", {"draw": "1.1.0"})]
    )
    target = Target(capability="draw")

    def chosen(strategy: RoutingStrategy, target: Target = target, **more: Any) -> Counter[str]:
        return Counter(route(index, target, strategy, key=f"x_{n}", **more).agent for n in range(3_000))

    assert chosen(RoutingStrategy.DETERMINISTIC) == {"c": 3_000}
    drawn = chosen(RoutingStrategy.STOCHASTIC)
    assert all(800 < drawn[name] < 1_200 for name in "abc")
    older = Target(capability="draw", version_range="~1.0")
    assert chosen(RoutingStrategy.LOAD_BALANCED, older, load={"a": 2, "b": 1}) == {"b": 3_000}
    shared = chosen(RoutingStrategy.LOAD_BALANCED, older)
    assert all(1_300 < shared[name] < 1_700 for name in "ab")


@pytest.mark.requirement("RTE-6")
def test_a_failure_names_what_is_similar_and_what_to_do() -> None:
    index = build_index(1, [deployed("analyst", {"analyze-data": "1.2.0"}), deployed("artist", {"draw": "1.0.0"})])
    with pytest.raises(NoCapableAgent) as misspelt:
        route(index, Target(capability="analyse-data"), RoutingStrategy.DETERMINISTIC, key="k")
    assert misspelt.value.details["similar"] == ["analyze-data"]
    assert 'did you mean "analyze-data"?' in [hint.text for hint in misspelt.value.hints]
    with pytest.raises(NoCapableAgent, match=r"offered: 1\.2\.0") as newer:
        route(index, Target(capability="analyze-data", version_range="^2"), RoutingStrategy.DETERMINISTIC, key="k")
    assert newer.value.details["offered"] == ["1.2.0"]
    with pytest.raises(NotFound, match='no agent "analist"') as unknown:
        route(index, Target(agent="analist"), RoutingStrategy.DETERMINISTIC, key="k")
    assert unknown.value.details["similar"] == ["analyst"]
    with pytest.raises(NoCapableAgent) as empty:
        route(build_index(1, []), Target(capability="draw"), RoutingStrategy.DETERMINISTIC, key="k")
    assert any("caxton deploy" in (hint.command or "") for hint in empty.value.hints)


def test_an_agent_that_takes_no_work_is_told_with_how_to_start_it() -> None:
    index = build_index(
        1,
        [
            deployed("artist", {"draw": "1.0.0"}, AgentState.UNLOADED),
        ],
    )
    for target in (Target(capability="draw"), Target(agent="artist")):
        with pytest.raises(AllAgentsUnavailable, match="Unloaded") as caught:
            route(index, target, RoutingStrategy.DETERMINISTIC, key="k")
        assert [hint.command for hint in caught.value.hints] == ["caxton agent start artist"]
        assert caught.value.retry_after is None


def test_who_asks_for_an_agent_that_is_being_started_is_told_to_come_back() -> None:
    index = build_index(1, [deployed("artist", {"draw": "1.0.0"}, AgentState.LOADED)])
    for target in (Target(capability="draw"), Target(agent="artist")):
        with pytest.raises(AllAgentsUnavailable, match="Loaded") as caught:
            route(index, target, RoutingStrategy.DETERMINISTIC, key="k")
        assert caught.value.retry_after == 1.0
        assert caught.value.hints[0].text == "it is being started: try again in 1 s"


@pytest.mark.requirement("RTE-4")
@pytest.mark.requirement("RTE-5")
def test_an_agent_whose_breaker_is_open_is_passed_over_and_where_there_is_no_other_that_is_said() -> None:
    index = build_index(
        1,
        [
            deployed("tired", {"rest": "1.0.0", "nap": "1.0.0"}),
            deployed("awake", {"rest": "1.0.0"}),
            deployed("poet", {"rest-well": "1.0.0"}),
        ],
    )
    chosen = route(index, Target(capability="rest"), RoutingStrategy.DETERMINISTIC, key="k", resting={"awake": 9.0})
    assert chosen.agent == "tired"
    with pytest.raises(CircuitBreakerOpen, match=r"retrying in 4 s") as both:
        route(
            index,
            Target(capability="rest"),
            RoutingStrategy.DETERMINISTIC,
            key="k",
            resting={"awake": 9.0, "tired": 4.0},
        )
    assert both.value.retry_after == 4.0
    assert both.value.details["agents"] == {"awake": 9.0, "tired": 4.0}
    assert both.value.details["similar"] == ["rest-well"]
    with pytest.raises(CircuitBreakerOpen, match='agent "tired" keeps failing') as named:
        route(index, Target(agent="tired"), RoutingStrategy.DETERMINISTIC, key="k", resting={"tired": 4.0})
    assert named.value.details["alternatives"] == ["awake"]
    assert any(hint.command == 'caxton ask --agent awake "…"' for hint in named.value.hints)


@pytest.mark.requirement("AGT-8")
@given(workspaces, workspaces, st.sets(st.sampled_from(NAMES)))
def test_an_index_that_takes_up_changes_is_the_one_that_is_built_anew(
    before: list[DeployedAgent], after: list[DeployedAgent], gone: set[str]
) -> None:
    changed: dict[str, DeployedAgent | None] = {**dict.fromkeys(gone), **{agent.spec.name: agent for agent in after}}
    index = build_index(1, before)
    kept = [agent for agent in before if agent.spec.name not in changed]
    assert update_index(index, 2, changed) == build_index(2, [*kept, *after])
    assert index == build_index(1, before), "who has the old one goes on with it"
