"""Lifecycles, capabilities and tools."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.api.conftest import Deploy
from tests.support.agents import agent, replies
from tests.support.tools import bundled_tool


def ask(api: httpx.Client, capability: str) -> httpx.Response:
    return api.post("/v1/messages", json={"capability": capability, "content": "x"})


@pytest.mark.requirement("AGT-4")
@pytest.mark.requirement("AGT-6")
def test_stopping_lets_work_in_hand_finish_and_sends_new_work_elsewhere(api: httpx.Client, deploy: Deploy) -> None:
    slow = agent("slow", capabilities='["work", "slow-work"]', rules=replies("slow", delay=2))
    deploy({**slow, **agent("other", capabilities='["work"]', rules=replies("other"))})
    with ThreadPoolExecutor(2) as pool:
        asked = pool.submit(ask, api, "slow-work")
        deadline = time.monotonic() + 10
        while api.get("/v1/agents/slow").json()["running"] == 0 and time.monotonic() < deadline:
            time.sleep(0.02)
        stopping = pool.submit(api.post, "/v1/agents/slow/stop", json={"grace": 30})
        while api.get("/v1/agents/slow").json()["state"] == "Running" and time.monotonic() < deadline:
            time.sleep(0.02)
        assert api.get("/v1/agents/slow").json()["state"] == "Draining"
        assert {ask(api, "work").json()["agent"] for _ in range(5)} == {"other"}
        assert asked.result().json()["reply"]["content"]["text"] == "slow"
        assert stopping.result().json()["state"] == "Stopped"
    assert api.post("/v1/agents/slow/restart", json={}).json()["state"] == "Running"
    assert api.post("/v1/agents/slow/start").json()["state"] == "Running"


@pytest.mark.requirement("AGT-6")
def test_work_that_outlasts_the_grace_period_fails_clearly(api: httpx.Client, deploy: Deploy) -> None:
    # Two steps, each of them slow: the second one finds the agent stopped.
    rules = "delay = 1.5\n[[rules]]\n[[rules.steps]]\ncapability = 'helper'\n[[rules.steps]]\nreply = 'done'\n"
    deploy({**agent("slow", rules=rules, more='delegates = ["helper"]\n'), **agent("helper", rules=replies("ok"))})
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, api, "slow")
        deadline = time.monotonic() + 10
        while api.get("/v1/agents/slow").json()["running"] == 0 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert api.post("/v1/agents/slow/stop", json={"grace": 0}).json()["state"] == "Stopped"
        assert "stopped" in asked.result().json()["detail"]


@pytest.mark.requirement("RTE-6")
@pytest.mark.requirement("RTE-3")
def test_capabilities_change_without_restart_and_are_counted(api: httpx.Client, deploy: Deploy) -> None:
    deploy(
        agent("a", capabilities='[{ name = "work", version = "1.0.0", description = "Does it." }]', rules=replies("1"))
    )
    ask(api, "work")
    deploy(agent("a", capabilities='[{ name = "work", version = "1.1.0" }, "more"]', rules=replies("2")))
    found = {c["name"]: c for c in api.get("/v1/capabilities").json()["capabilities"]}
    assert set(found) == {"work", "more"}
    assert found["work"]["versions"] == ["1.1.0"]
    assert found["work"]["statistics"]["calls"] == 1
    assert found["work"]["statistics"]["succeeded"] == 1
    assert found["work"]["statistics"]["mean_ms"] > 0
    searched = api.get("/v1/capabilities", params={"query": "mor"}).json()["capabilities"]
    assert [c["name"] for c in searched] == ["more"]


@pytest.mark.requirement("TOL-1")
@pytest.mark.requirement("TOL-6")
@pytest.mark.requirement("TOL-8")
def test_a_tool_is_listed_called_checked_and_counted(api: httpx.Client, deploy: Deploy) -> None:
    rules = (
        "[[rules]]\n[[rules.steps]]\ntool = 'csv-tools.summarize'\narguments = { csv = \"m,v\\na,1\\nb,2\" }\n"
        "[[rules.steps]]\nreply = '{{ results[0].json.total }}'\n"
    )
    deploy({**bundled_tool("csv-tools"), **agent("sums", rules=rules, more='tools = ["csv-tools"]\n')})
    listed = api.get("/v1/tools").json()["tools"]
    assert [tool["name"] for tool in listed] == ["csv-tools"]
    assert {function["name"] for function in listed[0]["functions"]} >= {"read_csv", "summarize"}
    assert listed[0]["functions"][0]["inputSchema"]["type"] == "object"
    assert ask(api, "sums").json()["reply"]["content"]["text"] in ("3", "3.0")
    called = api.post("/v1/tools/csv-tools/call", json={"function": "parse", "arguments": {"csv": "a,b\n1,2"}}).json()
    assert called["is_error"] is False
    assert called["usage"]["fuel"] > 0
    wrong = api.post("/v1/tools/csv-tools/call", json={"function": "parse", "arguments": {"cvs": 1}})
    assert wrong.status_code == 422
    assert wrong.json()["code"] == "tool_input_invalid"
    unknown = api.post("/v1/tools/csv-tools/call", json={"function": "pars", "arguments": {}})
    assert unknown.status_code == 404
    assert 'did you mean "parse"?' in unknown.json()["hints"][0]["text"]
    statistics = api.get("/v1/tools/csv-tools").json()["statistics"]
    assert (statistics["calls"], statistics["succeeded"]) == (3, 2)  # by the agent, by hand, and by hand with a mistake
    assert statistics["mean_ms"] > 0
    assert api.get("/v1/tools/csv-tools/logs").json()["lines"][0]["function"] == "summarize"
