"""Calls that take long, of tools that may be called while a request is accepted: nobody else waits for them."""

import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.test_failures import HOSTILE_MANIFEST, calls
from tests.conftest import RunningServer
from tests.e2e.test_run_to_completion import tool
from tests.support.agents import agent, hands_over, replies
from tests.support.deploying import deploy_files

ENDLESS = HOSTILE_MANIFEST.replace("100_000_000", "1_000_000_000_000").replace("500ms", "2500ms")
ONCE = "idempotent = false\n[limits]"

AGENTS: dict[str, str | bytes] = {
    **agent("plain", rules=replies("{{ request }}")),
    **tool("endless", ENDLESS),
    **agent("slow", rules=calls("spin").replace("hostile", "endless"), more='tools = ["endless"]\n'),
    **tool("short", HOSTILE_MANIFEST),
    **agent("brief", rules=calls("ok").replace("hostile", "short"), more='tools = ["short"]\n'),
    **agent("over", rules=hands_over("brief"), more='delegates = ["brief"]\n'),
    **tool("endless-once", ENDLESS.replace("[limits]", ONCE)),
    **agent("slow_once", rules=calls("spin").replace("hostile", "endless-once"), more='tools = ["endless-once"]\n'),
}


def send(
    api: httpx.Client, capability: str, key: str, *, conversation: str | None = None, wait: bool = True
) -> dict[str, Any]:
    """A request, or a message of a conversation: its turn, finished or not."""
    if conversation is None:
        path, body = "/v1/messages", {"capability": capability, "content": "x"}
    else:
        path, body = f"/v1/conversations/{conversation}/messages", {"content": "x"}
    answer = api.post(path, json=body, params={"wait": str(wait).lower()}, headers={"Idempotency-Key": key})
    answer.raise_for_status()
    return answer.json()


def begin(api: httpx.Client, capability: str) -> str:
    return api.post("/v1/conversations", json={"capability": capability}).json()["id"]


def turn(api: httpx.Client, sent: dict[str, Any]) -> dict[str, Any]:
    return api.get(f"/v1/executions/{sent['execution_id']}").json()


def finished(api: httpx.Client, sent: dict[str, Any]) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while (found := turn(api, sent))["state"] == "running" and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def failures(api: httpx.Client, sent: dict[str, Any]) -> list[str]:
    events = api.get(f"/v1/executions/{sent['execution_id']}/events").json()["events"]
    return [event["error_code"] for event in events if event["event_type"] == "tool_execution_failed"]


@pytest.mark.requirement("PRF-1")
@pytest.mark.parametrize("name", ["slow", "slow_once"])
def test_nobody_waits_for_calls_that_take_long(
    caxton_server: RunningServer, workspace: str, tmp_path: Path, name: str
) -> None:
    with caxton_server.client(workspace) as api:
        deploy_files(api, tmp_path / "w", AGENTS)
        for long in ("endless", "endless-once"):
            grant = {"tool": long, "limits": {"fuel": 1_000_000_000_000, "wall_time": "2500ms"}}
            api.post("/v1/tool-grants", json=grant).raise_for_status()
        slow = [send(api, name, f"{workspace}-{n}", wait=False) for n in range(9)]
        slow += [send(api, name, f"{workspace}-c", conversation=begin(api, name), wait=False)]
        for n in range(4):
            assert send(api, "plain", f"{workspace}-p{n}")["state"] == "completed"
        assert send(api, "plain", f"{workspace}-pc", conversation=begin(api, "plain"))["state"] == "completed"
        for name_of_short in ("brief", "over"):  # the second one's call is made by the worker
            assert send(api, name_of_short, f"{workspace}-{name_of_short}")["state"] == "completed"
        assert "running" in [turn(api, sent)["state"] for sent in slow]  # who waits for them finds all of them ended
        for sent in slow:
            answer = finished(api, sent)
            assert answer["reply"]["content"]["text"].startswith("failed: ")
            assert answer["usage"]["tool_calls"] == 1
            assert failures(api, sent) == ["tool_timeout"]
