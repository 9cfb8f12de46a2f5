"""Agents that are not well are restarted and stopped, tools that break rules are quarantined, and somebody is told."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.test_breakers import ask, events, fragile
from tests.api.test_failures import calls, hostile
from tests.api.test_service_levels import SECRET, Receiver
from tests.api.test_service_levels import receiver as receiver
from tests.conftest import RunningServer, start_server, stop_server
from tests.support.agents import agent, replies
from tests.support.deploying import deploy_files
from tests.support.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.xdist_group("healing")]


@pytest.fixture(scope="module")
def server(receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that looks often, and tells a channel."""
    env = {
        "CAXTON_CHANNELS": json.dumps({"ops": {"url": receiver.url, "secret_env": "OPS_SECRET"}}),
        "OPS_SECRET": SECRET,
        "CAXTON_ALERTS__CHANNELS": '["ops"]',
        "CAXTON_HEALTH__EVERY": "0.5",
        "CAXTON_HEALTH__BACKOFF": "0.5",
    }
    process, running = start_server(tmp_path_factory.mktemp("healing") / "data", env=env)
    yield running
    stop_server(process)


@pytest.fixture
def api(server: RunningServer, workspace: str) -> Iterator[httpx.Client]:
    with server.client(workspace) as client:
        yield client


def of_type(receiver: Receiver, kind: str, workspace: str) -> list[dict[str, Any]]:
    return [each for each in receiver.notices if each["type"] == kind and each["data"]["workspace"] == workspace]


@pytest.mark.requirement("AGT-5")
def test_an_agent_whose_turns_all_fail_is_restarted_three_times_and_then_stopped(
    api: httpx.Client, tmp_path: Path, receiver: Receiver, workspace: str
) -> None:
    files = {
        **fragile(breaker='failures = 1\nopen_for = "0.1s"\nlongest = "0.2s"'),
        **agent("steady", rules=replies("steadily")),
    }
    deploy_files(api, tmp_path, files)

    def is_stopped() -> bool:
        ask(api, "fragile", "bad")
        shown = api.get("/v1/agents/fragile").json()
        return shown["state"] == "Stopped" and (shown["reason"] or "").startswith("HealthCheckFailed")

    until(is_stopped, 120)
    told = [event["payload"] for event in events(api, "agent_health_checked")]
    assert [(each["status"], each["restarts"]) for each in told] == [
        ("Restarted", 1),
        ("Restarted", 2),
        ("Restarted", 3),
        ("Stopped", 3),
    ]
    assert {each["reason"] for each in told} == {"execution_failed"}
    shown = api.get("/v1/agents/fragile").json()
    assert shown["reason"].startswith("HealthCheckFailed: ")
    assert events(api, "agent_stopped")[-1]["payload"]["reason"].startswith("HealthCheckFailed: ")
    assert ask(api, "fragile", "good").json()["code"] == "all_agents_unavailable"
    assert ask(api, "steady", "x").is_success, "others are not touched"
    [alert] = until(lambda: of_type(receiver, "caxton.agent_stopped", workspace), 60)
    assert alert["data"]["name"] == "fragile"
    assert alert["data"]["restarts"] == 3
    until(lambda: events(api, "escalation_delivered"), 60)
    # An operator starts it again, and it has a fresh start.
    assert api.post("/v1/agents/fragile/start").json()["state"] == "Running"
    until(lambda: ask(api, "fragile", "good").is_success, 60)


@pytest.mark.requirement("AGT-5")
def test_what_callers_bring_about_restarts_nobody(api: httpx.Client, tmp_path: Path) -> None:
    deploy_files(api, tmp_path, {**fragile(breaker="failures = 1"), **fragile("other", breaker="failures = 1")})
    for _ in range(5):
        assert ask(api, "fragile", "neither").json()["code"] == "no_script_rule"
    ask(api, "other", "bad")
    until(lambda: events(api, "agent_health_checked"), 60)  # so its health was checked since
    assert {event["payload"]["name"] for event in events(api, "agent_health_checked")} == {"other"}


def quarantined(*, violations: int) -> dict[str, str | bytes]:
    tool = hostile()
    manifest = f"{tool['tools/hostile/tool.toml']}\n[quarantine]\nviolations = {violations}\n"
    return {**tool, "tools/hostile/tool.toml": manifest}


@pytest.mark.requirement("TOL-7")
def test_a_tool_that_keeps_reaching_its_limits_is_quarantined_until_an_administrator_releases_it(
    api: httpx.Client, tmp_path: Path, receiver: Receiver, workspace: str, server: RunningServer
) -> None:
    files = {
        **quarantined(violations=3),
        **agent("user", rules=calls("allocate"), more='tools = ["hostile"]\n'),
        **agent("fine", rules=calls("ok"), more='tools = ["hostile"]\n'),
    }
    deploy_files(api, tmp_path, files)
    for _ in range(3):
        assert "failed: " in ask(api, "user", "x").json()["reply"]["content"]["text"]
    until(lambda: api.get("/v1/tools/hostile").json()["quarantined"])
    [told] = events(api, "tool_quarantined")
    assert told["payload"]["violations"] >= 3  # a call that is left to its workflow is made again
    assert told["payload"]["reason"] == "tool_memory_exceeded"
    assert 'the tool "hostile" is quarantined' in ask(api, "fine", "x").json()["reply"]["content"]["text"]
    by_hand = api.post("/v1/tools/hostile/call", json={"function": "ok", "arguments": {}})
    assert by_hand.status_code == 503
    assert by_hand.json()["code"] == "tool_quarantined"
    assert any("caxton tool release hostile" in hint.get("command", "") for hint in by_hand.json()["hints"])
    [alert] = until(lambda: of_type(receiver, "caxton.tool_quarantined", workspace), 60)
    assert alert["data"]["name"] == "hostile"

    operator = api.post("/v1/keys", json={"name": f"operator-{workspace}", "role": "operator"}).json()["key"]
    with server.client(workspace, key=operator) as other:
        assert other.post("/v1/tools/hostile/release").status_code == 403
        changed = str(files["tools/hostile/tool.toml"]).replace("1.0.0", "1.0.1")
        deploy_files(other, tmp_path, {**files, "tools/hostile/tool.toml": changed})
    assert api.get("/v1/tools/hostile").json()["quarantined"], "a new version does not get it out"
    assert api.post("/v1/tools/hostile/release", json={"reason": "looked at it"}).json()["quarantined"] is None
    assert api.post("/v1/tools/hostile/release").status_code == 409
    assert events(api, "tool_released")[-1]["payload"]["reason"] == "looked at it"
    assert ask(api, "fine", "x").json()["reply"]["content"]["text"].startswith("ok: ")


@pytest.mark.requirement("TOL-7")
def test_arguments_that_are_too_large_are_the_callers_fault(api: httpx.Client, tmp_path: Path) -> None:
    deploy_files(api, tmp_path, quarantined(violations=1))
    large = {"function": "ok", "arguments": {"text": "x" * 100_000}}
    for _ in range(3):
        assert api.post("/v1/tools/hostile/call", json=large).json()["code"] == "tool_message_too_large"
    assert api.post("/v1/tools/hostile/call", json={"function": "ok", "arguments": {}}).is_success
    assert api.get("/v1/tools/hostile").json()["quarantined"] is None
