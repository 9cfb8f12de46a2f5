"""Shadows: a candidate gets the same requests, answers nobody, and runs no tool."""

from typing import Any

import httpx
import pytest

from tests.api.conftest import Deploy
from tests.api.test_forks import grant
from tests.api.test_gates import COUNT, WIPE, ask_text, clerk, ended, script
from tests.api.test_rollouts import ask, latest, live_version, shares, tell
from tests.api.test_schedules import events
from tests.support.agents import agent, replies
from tests.support.mcp_tools import ServerFolder
from tests.support.stand_in import Answer, Remote
from tests.support.waiting import until

pytestmark = pytest.mark.xdist_group("forks")

RULES = 'rules = [{ rule = "exact" }, { rule = "same_calls" }, { rule = "recorded_calls" }]'


def shadow(more: str = "") -> str:
    return f'[rollout]\nstrategy = "shadow"\nlook_every = "0.2s"\n[rollout.shadow]\nsample = 4\n{RULES}\n{more}\n'


@pytest.mark.requirement("DEP-6")
def test_the_shadow_of_an_agent_with_tools_has_no_effects(
    api: httpx.Client,
    deploy: Deploy,
    outside: tuple[ServerFolder, str],
) -> None:
    folder, origin = outside
    grant(api, origin)
    deploy(clerk(origin, 1, script(COUNT, reply="v1: {{ request }}")))
    before = len(folder.noted("called"))
    wild = script(WIPE, COUNT, COUNT, reply="v2: {{ request }}")
    deploy(clerk(origin, 2, wild, more=shadow()))
    assert latest(api)["percent"] == 0
    turns = [ask_text(api, f"{number}") for number in range(4)]
    assert [turn["reply"]["content"]["text"] for turn in turns] == [f"v1: {number}" for number in range(4)]
    found = ended(api)
    assert folder.noted("called")[before:] == ["count"] * 4, "what reached the tool from outside came from v1 alone"
    assert (found["state"], live_version(api)) == ("RolledBack", "1.0.0")
    assert found["reason"] == "4 of 4 turns differ"
    [report] = found["gates"]
    assert (report["name"], report["compared"], report["differ"]) == ("shadow", 4, 4)
    assert {each["rule"] for each in report["differences"]} == {"exact", "same_calls", "recorded_calls"}
    assert {each["source"] for each in report["differences"]} == {turn["execution_id"] for turn in turns}
    assert len(api.get("/v1/tools/other/logs").json()["lines"]) == 4
    rehearsed = [each for each in events(api, "execution_forked") if each["payload"].get("rehearsal")]
    assert len(rehearsed) == 4
    assert len(api.get("/v1/conversations").json()["conversations"]) == 4, "nobody has talked with the candidate"
    agents = until(lambda: (each := api.get("/v1/agents").json()["agents"])[0]["statistics"]["calls"] >= 4 and each)
    assert agents[0]["statistics"]["calls"] == 4, "and no view counts it"


@pytest.mark.requirement("DEP-6")
def test_a_shadow_that_answers_alike_waits_for_a_person_or_goes_live(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("clerk", rules=replies("v1: {{ request }}")))
    deploy(agent("clerk", version="2.0.0", rules=replies("v1: {{ request }}"), more=shadow()))
    assert shares(api, 4) == {"v1": 4}
    found = ended(api)
    assert (found["state"], found["reason"]) == ("Paused", "the shadow is done: 0 of 4 turns differ; promote or abort")
    assert tell(api, "promote").json()["state"] == "Promoted"
    assert live_version(api) == "2.0.0"
    deploy(agent("clerk", version="3.0.0", rules=replies("v1: {{ request }}"), more=shadow('on_good = "promote"')))
    assert shares(api, 4) == {"v1": 4}
    assert ended(api)["state"] == "Promoted"


@pytest.mark.requirement("DEP-6")
def test_a_shadow_has_a_budget_of_its_own(api: httpx.Client, deploy: Deploy, stand_in: Remote) -> None:
    def version(number: int, more: str = "") -> dict[str, str | bytes]:
        text = f'name = "clerk"\nversion = "{number}.0.0"\ncapabilities = ["clerk"]\nmodel = "{stand_in.model}"\n{more}'
        return {"agents/clerk.toml": text}

    stand_in.answer(Answer(text="v1: x", usage={"prompt_tokens": 50, "completion_tokens": 10}))
    deploy(version(1))
    budget = {"resource": "tokens", "period": "day", "limit": 1_000_000, "agent": "clerk"}
    budget["workspace"] = api.headers["X-Caxton-Workspace"]
    api.put("/v1/budgets", json=budget).raise_for_status()
    deploy(version(2, shadow("budget = { tokens = 100 }")))
    assert shares(api, 4) == {"v1": 4}
    found = ended(api)
    assert (found["state"], "the budget of the shadow is used up" in found["reason"]) == ("Paused", True), found
    asked = len(stand_in.requests())
    assert ask(api) == "v1"
    used: list[dict[str, Any]] = api.get("/v1/budgets").json()["budgets"]
    assert [each["used"] for each in used if each["workspace"] == budget["workspace"]] == [5 * 60.0]
    assert len(stand_in.requests()) == asked + 1, "the shadow asks no more"


@pytest.mark.requirement("DEP-6")
def test_what_rehearsals_use_counts_for_the_workspace_and_not_for_the_agent(
    api: httpx.Client, deploy: Deploy, stand_in: Remote
) -> None:
    def version(number: int, more: str = "") -> dict[str, str | bytes]:
        text = f'name = "clerk"\nversion = "{number}.0.0"\ncapabilities = ["clerk"]\nmodel = "{stand_in.model}"\n{more}'
        return {"agents/clerk.toml": text}

    stand_in.answer(Answer(text="v1: x", usage={"prompt_tokens": 50, "completion_tokens": 10}))
    deploy(version(1))
    workspace = api.headers["X-Caxton-Workspace"]
    for agent_name, limit in (("", 500), ("clerk", 1_000_000)):
        budget = {"resource": "tokens", "period": "day", "limit": limit, "workspace": workspace}
        api.put("/v1/budgets", json={**budget, **({"agent": agent_name} if agent_name else {})}).raise_for_status()

    def used() -> dict[str, float]:
        found = api.get("/v1/budgets").json()["budgets"]
        return {each["agent"] or "": each["used"] for each in found if each["workspace"] == workspace}

    deploy(version(2, shadow().replace("sample = 4", "sample = 10")))
    assert shares(api, 4) == {"v1": 4}
    until(lambda: used().get("") == 8 * 60.0, seconds=60)
    assert used()["clerk"] == 4 * 60.0
    assert ask(api) == "v1"
    assert used()[""] == 9 * 60.0, "the budget is used up: the shadow waits"
    asked = len(stand_in.requests())
    waits = until(lambda: next((g for g in latest(api)["gates"] if "budget" in g["reason"] or g["reason"]), None), 30)
    assert "tokens" in waits["reason"]
    assert len(stand_in.requests()) == asked
