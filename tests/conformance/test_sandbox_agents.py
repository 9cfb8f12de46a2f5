"""Components of agents in the sandbox: the same agent in each language, and what they keep."""

import json
from pathlib import Path

import pytest

import caxton
from caxton.definitions.agent_modules import describe_module
from caxton.domain.agent_modules import AgentModule, AgentState, Handled
from caxton.domain.agents import AgentSpec, AgentVersion
from caxton.domain.errors import AgentMemoryExceeded, AgentMessageTooLarge, InvalidModule
from caxton.domain.ids import digest_of
from caxton.domain.tools import ToolLimits, ToolVersion
from tests.support.bench import Bench
from tests.support.wasm_agents import AGENT

BUNDLED = Path(caxton.__file__).parent / "bundled"
MODULES = {
    "rust": BUNDLED / "templates/checklist/checklist.wasm",
    "javascript": BUNDLED / "agent_starters/javascript/checklist.wasm",
    "python": BUNDLED / "agent_starters/python/checklist.wasm",
}


async def agent_of(bench: Bench, content: bytes, **limits: float) -> ToolVersion:
    """The agent as it would be deployed, compiled."""
    module = describe_module(content)
    assert module.form == "component"
    wasm = AgentModule(module="a.wasm", limits=ToolLimits.model_validate(limits))
    spec = AgentSpec.model_validate({"name": "a", "version": "1.0.0", "capabilities": ["a"], "kind": "wasm"})
    version = AgentVersion(
        spec=spec.model_copy(update={"wasm": wasm}), digest=digest_of(content), module_digest=module.digest
    )
    await bench.blobs.put("test", content)
    assert version.module is not None
    await bench.sandbox.inspect("test", version.module)
    return version.module


async def handle(bench: Bench, agent: ToolVersion, request: str, state: AgentState | None = None) -> Handled:
    message = json.dumps({"request": request, "capability": "a", "step": 1, "results": [], "history": []})
    message = message.replace('": ', '":').replace(', "', ',"')
    return await bench.sandbox.handle("test", agent, message, state or AgentState())


@pytest.mark.requirement("AGT-7")
@pytest.mark.parametrize("language", MODULES)
async def test_an_agent_of_each_language_runs_and_keeps_a_list(bench: Bench, language: str) -> None:
    if not MODULES[language].exists():
        pytest.skip(
            f"build it first, as {MODULES[language].parent.name}/README.md says: it is too large for the repository"
        )
    content = MODULES[language].read_bytes()
    assert describe_module(content).keeps_state
    agent = await agent_of(bench, content, fuel=10_000_000_000, wall_time=5.0, memory=128 << 20)
    before = AgentState()
    added = await handle(bench, agent, 'add "rye" bread – 2 €', before)
    assert added.answer is not None
    assert added.answer.reply == '1. [ ] "rye" bread – 2 €'
    assert added.log == ["info: 1 items"]
    assert (before.values, before.changed) == ({}, False)  # it is changed when the step is recorded
    assert added.state.changed
    done = await handle(bench, agent, "done 1", added.state)
    assert done.answer is not None
    assert done.answer.reply == '1. [x] "rye" bread – 2 €'
    shown = await handle(bench, agent, "list", done.state.copy())
    assert shown.answer is not None
    assert shown.answer.reply == done.answer.reply
    refused = await handle(bench, agent, "done 7", AgentState(dict(done.state.values)))
    assert (refused.answer, refused.refusal) == (None, "there is no item 7; the list has 1")
    assert not refused.state.changed


@pytest.mark.requirement("AGT-7")
async def test_that_memory_ended_is_proven_with_the_state_as_it_was(bench: Bench) -> None:
    agent = await agent_of(bench, AGENT.read_bytes(), memory=8 << 20)
    with pytest.raises(AgentMemoryExceeded) as failed:
        await handle(bench, agent, "allocate", AgentState({"count": "1"}))
    assert failed.value.details["limit"] == "memory"
    assert failed.value.usage is not None
    assert failed.value.usage.fuel


@pytest.mark.requirement("AGT-7")
async def test_a_message_that_is_too_large_does_not_reach_it(bench: Bench) -> None:
    agent = await agent_of(bench, AGENT.read_bytes(), message_size=1024)
    with pytest.raises(AgentMessageTooLarge) as failed:
        await handle(bench, agent, "echo " + 2_000 * "x")
    assert "[wasm.limits]" in failed.value.hints[0].text
    assert failed.value.details["cause"] == "input"  # no fault of the agent's


@pytest.mark.requirement("AGT-7")
async def test_a_tool_is_no_agent_and_an_agent_no_tool(bench: Bench) -> None:
    tool = (BUNDLED / "tools/csv-tools/csv-tools.wasm").read_bytes()
    with pytest.raises(InvalidModule, match="an agent may import nothing but"):
        await agent_of(bench, tool)
    with pytest.raises(InvalidModule, match="a tool may import nothing but"):
        await bench.tool(AGENT.read_bytes())


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("", "x", "a key has"),
        ("a" * 129, "x", "a key has"),
        ("a\nb", "x", "a key has"),
        ("a", "x" * 70_000, "64"),
        ("a", "\0", "NUL"),
    ],
)
def test_what_cannot_be_kept_is_told(key: str, value: str, problem: str) -> None:
    state = AgentState()
    assert problem in (state.set(key, value) or "")
    assert not state.changed


def test_there_are_so_many_keys_and_no_more() -> None:
    state = AgentState()
    assert all(state.set(f"k{number}", "x") is None for number in range(100))
    assert "100 keys" in (state.set("one more", "x") or "")
    assert state.set("k7", "y") is None
