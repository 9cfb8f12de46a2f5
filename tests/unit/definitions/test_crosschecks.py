"""Checks between agents and tools, as client and server run them. Their texts: wrong_workspaces/between-files."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_workspaces import agent_text

from caxton.definitions.agents import AgentSource, read_agent
from caxton.definitions.circles import find_circles
from caxton.definitions.crosscheck import crosscheck


def agent(name: str, *more: str, offers: str = "work") -> AgentSource:
    reading = read_agent(f"{name}.toml", {f"{name}.toml": agent_text(name, *more, offers=offers).encode()})
    assert reading.value is not None
    return reading.value


def deployed(source: AgentSource) -> AgentSource:
    """As the server knows an agent that is there already: without its file."""
    return AgentSource(source.version, source.bundle, f"agents/{source.name}.toml (deployed)")


def test_an_agent_that_is_deployed_is_checked_without_its_file() -> None:
    kept = deployed(agent("kept", 'tools = ["gone"]', 'delegates = ["work", "nowhere"]', offers="stay"))
    problems = crosscheck([kept, agent("new")], {})
    assert [(problem.file, problem.line, problem.severity, problem.message) for problem in problems] == [
        ("agents/kept.toml (deployed)", 1, "error", 'unknown tool "gone"'),
        ("agents/kept.toml (deployed)", 1, "warning", 'no agent offers the capability "nowhere"'),
    ]


def test_the_functions_of_tools_are_checked_where_they_are_known() -> None:
    script = b'rules = [{ steps = [{ tool = "till.ad" }, { tool = "new.any" }, { reply = "x" }] }]'
    text = agent_text("a", 'tools = ["till", "new", "till.sum"]', 'script = "a.script.toml"')
    source = read_agent("a.toml", {"a.toml": text.encode(), "a.script.toml": script}).value
    assert source is not None
    assert crosscheck([source], {"till": None, "new": None}) == []
    problems = crosscheck([source], {"till": ["add", "subtract"], "new": None})
    assert [(problem.file, problem.line, problem.column, problem.message, problem.hint) for problem in problems] == [
        ("agents/a.script.toml", 1, 30, 'the tool "till" has no function "ad"', 'did you mean "add"?'),
        ("agents/a.toml", 4, 25, 'the tool "till" has no function "sum"', 'it has "add" and "subtract"'),
    ]


@pytest.mark.parametrize(
    ("delegate", "hint"),
    [
        ("write-vers", '"write-vers" in delegates of the agent\'s file is misspelt: write "write-verse" there'),
        ("write-prose", 'did you mean "write-prose"?'),
    ],
)
def test_of_two_spellings_of_a_capability_the_one_that_is_offered_is_right(delegate: str, hint: str) -> None:
    script = b'rules = [{ steps = [{ capability = "write-verse@^1" }, { reply = "x" }] }]'
    text = agent_text("a", f'delegates = ["{delegate}"]', 'script = "a.script.toml"')
    source = read_agent("a.toml", {"a.toml": text.encode(), "a.script.toml": script}).value
    assert source is not None
    offering = [agent("poet", offers="write-verse"), agent("prose", offers="write-prose")]
    [problem] = [each for each in crosscheck([source, *offering], {}) if each.file == "agents/a.script.toml"]
    assert problem.message == f'the agent may not hand work over to "write-verse": its delegates are "{delegate}"'
    assert problem.hint == hint


def test_of_two_spellings_of_a_tool_the_one_that_is_there_is_right() -> None:
    script = b'rules = [{ steps = [{ tool = "csv-tools.sum" }, { reply = "x" }] }]'
    text = agent_text("a", 'tools = ["csv-tool"]', 'script = "a.script.toml"')
    source = read_agent("a.toml", {"a.toml": text.encode(), "a.script.toml": script}).value
    assert source is not None
    problems = crosscheck([source], {"csv-tools": ["sum"]})
    assert [(problem.message, problem.hint) for problem in problems if problem.file == "agents/a.script.toml"] == [
        (
            'the agent may not call "csv-tools.sum"',
            '"csv-tool" in tools of the agent\'s file is misspelt: write "csv-tools" there',
        )
    ]


def test_a_policy_that_would_guard_nothing_is_refused() -> None:
    policies = '[tool_policies."till.ad"]\napproval_mode = "operator"\n[tool_policies.tilt]\nrisk_level = "high"\n'
    text = agent_text("a", 'tools = ["till"]') + "\n" + policies
    reading = read_agent("a.toml", {"a.toml": text.encode()})
    assert reading.value is not None, reading.problems
    problems = crosscheck([reading.value], {"till": ["add"]})
    assert [(problem.message, problem.hint) for problem in problems] == [
        ('the tool "till" has no function "ad"', 'did you mean "add"?'),
        ('there is a policy for "tilt", but the agent does not use "tilt"', 'did you mean "till"?'),
    ]


def test_a_policy_with_a_wrong_word_says_what_is_possible() -> None:
    policies = '[tool_policies.till]\napproval_mode = "boss"\n'
    text = agent_text("a", 'tools = ["till"]') + "\n" + policies
    (problem,) = read_agent("a.toml", {"a.toml": text.encode()}).problems
    assert problem.message == '"boss" is not possible here'
    assert problem.hint == 'write "auto", "operator" or "founder"'


def test_an_unknown_key_of_a_policy_is_told_with_the_keys_of_a_policy() -> None:
    policies = "[tool_policies.till]\nfoo = 1\n"
    (problem,) = read_agent(
        "a.toml", {"a.toml": (agent_text("a", 'tools = ["till"]') + "\n" + policies).encode()}
    ).problems
    assert problem.message == 'unknown key "foo"'
    assert "approval_mode" in (problem.hint or "")
    assert "capabilities" not in (problem.hint or "")


@pytest.mark.parametrize(("version", "circle"), [("1.0.0", True), ("2.0.0", False)])
def test_a_circle_counts_only_if_the_versions_fit(version: str, circle: bool) -> None:
    text = agent_text("first", 'delegates = ["other"]')
    text = text.replace('"work"', f'{{ name = "work", version = "{version}" }}')
    first = read_agent("first.toml", {"first.toml": text.encode()}).value
    assert first is not None
    other = agent("other", 'delegates = ["work@^1"]', offers="other")
    errors = [problem for problem in crosscheck([first, other], {}) if problem.severity == "error"]
    assert bool(errors) == circle


def test_two_agents_may_hand_over_in_a_circle_if_one_of_them_allows_it() -> None:
    agents = [agent("a", 'delegates = ["b"]', offers="a"), agent("b", 'delegates = ["a"]', offers="b")]
    [problem] = crosscheck(agents, {})
    assert problem.message == "work is handed over in a circle: a → b → a"
    allowed = agent("b", 'delegates = ["a"]', "limits = { loops = 2 }", offers="b")
    assert crosscheck([agents[0], allowed], {}) == []


def test_a_thousand_agents_are_checked_in_a_moment() -> None:
    agents = [agent(f"a{n}", f'delegates = ["c{n + 1}"]', 'tools = ["till"]', offers=f"c{n}") for n in range(1000)]
    agents.append(agent("last", offers="c1000"))
    assert crosscheck(agents, {"till": None}) == []


NODES = "abcdef"
GRAPHS = st.dictionaries(st.sampled_from(NODES), st.sets(st.sampled_from(NODES)), min_size=1)


def is_circle(graph: dict[str, set[str]], nodes: tuple[str, ...]) -> bool:
    return all(following in graph.get(node, ()) for node, following in zip(nodes, (*nodes[1:], nodes[0]), strict=True))


@settings(max_examples=150, deadline=None)
@given(GRAPHS)
def test_what_is_found_are_circles_and_every_node_on_a_circle_is_in_one(graph: dict[str, set[str]]) -> None:
    found = list(find_circles(graph))
    assert all(is_circle(graph, circle) and len(set(circle)) == len(circle) for circle in found)
    assert len({frozenset(zip(circle, (*circle[1:], circle[0]), strict=True)) for circle in found}) == len(found)
    on_circles = {
        node
        for length in range(1, len(graph) + 1)
        for nodes in itertools.permutations(sorted(graph), length)
        if is_circle(graph, nodes)
        for node in nodes
    }
    assert {node for circle in found for node in circle} == on_circles
