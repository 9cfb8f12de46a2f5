"""Limits of agents and tools: what is beyond them waits, is seen to wait, and nothing of it is lost or refused."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from caxton.definitions.workspace import load_workspace
from tests.api.conftest import Deploy
from tests.api.test_events import listed
from tests.conftest import RunningServer
from tests.support.agents import agent, replies
from tests.support.deploying import write_files
from tests.support.hostile_tool import call_tool, hostile_tool
from tests.support.waiting import until


def send(api: httpx.Client, capability: str, count: int) -> list[str]:
    def one(number: int) -> str:
        body = {"capability": capability, "content": f"x{number}"}
        return api.post("/v1/messages", params={"wait": "false"}, json=body).json()["execution_id"]

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(one, range(count)))


def ended(api: httpx.Client, executions: list[str], seconds: float = 60) -> list[dict[str, Any]]:
    def one(execution: str) -> dict[str, Any]:
        def finished() -> dict[str, Any] | None:
            turn = api.get(f"/v1/executions/{execution}").json()
            return None if turn["state"] == "running" else turn

        return until(finished, seconds)

    return [one(each) for each in executions]


def queues(api: httpx.Client, **params: str) -> dict[str, dict[str, Any]]:
    found = api.get("/v1/queues", params=params)
    assert found.status_code == 200, found.text
    return {f"{each['kind']}:{each['name']}": each for each in found.json()["queues"]}


def most_at_once(api: httpx.Client, event_type: str = "model_called") -> int:
    """How many calls were in flight at the same time, by the log."""
    changes: list[tuple[datetime, int]] = []
    for event in listed(api, type=event_type):
        end = datetime.fromisoformat(event["timestamp"])
        begin = end - timedelta(milliseconds=event["latency_ms"] * 0.8)
        changes += [(begin, 1), (end, -1)]
    now = most = 0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return most


@pytest.mark.requirement("RTE-8")
def test_an_agent_has_as_many_calls_in_flight_as_its_file_allows_and_waiting_is_not_its_time(
    api: httpx.Client, deploy: Deploy
) -> None:
    limits = '[limits]\nmax_in_flight = 2\ntime = "6s"\n'
    deploy(agent("slow", rules=replies("{{ request }}", delay=1.2), more=limits))
    sent = send(api, "slow", 16)

    def busy() -> dict[str, Any] | None:
        found = queues(api).get("agent:slow")
        return found if found and found["waiting"] > 4 and found["in_flight"] == 2 else None

    seen = until(busy)
    assert seen["max_in_flight"] == 2
    assert seen["oldest_seconds"] >= 0
    turns = ended(api, sent)  # the last of them waits for longer than its agent may take
    assert [turn["reply"]["content"]["text"] for turn in turns] == [f"x{number}" for number in range(16)]
    assert most_at_once(api) <= 2
    waited = [event["payload"].get("waited_ms") or 0 for event in listed(api, type="model_called")]
    assert max(waited) > 2_000
    until(lambda: not queues(api))


@pytest.mark.requirement("RTE-8")
def test_what_is_fast_does_not_wait_for_what_a_limit_holds_up(api: httpx.Client, deploy: Deploy) -> None:
    deploy(
        {
            **agent("slow", rules=replies("{{ request }}", delay=0.5), more="[limits]\nmax_in_flight = 1\n"),
            **agent("other", rules=replies("{{ request }}", delay=0.05)),
            **agent("echo", rules=replies("{{ request }}")),
        }
    )
    sent = send(api, "slow", 12)
    until(lambda: queues(api).get("agent:slow", {}).get("waiting"))
    took: list[float] = []
    for number in range(20):
        began = time.monotonic()
        capability = "echo" if number % 2 else "other"
        assert api.post("/v1/messages", json={"capability": capability, "content": "x"}).status_code == 200
        took.append(time.monotonic() - began)
    assert sorted(took)[10] < 0.5
    assert all(turn["state"] == "completed" for turn in ended(api, sent))


@pytest.mark.requirement("RTE-8")
def test_a_rate_spreads_the_calls_of_an_agent(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("slow", rules=replies("{{ request }}", delay=0.01), more='[limits]\nrate = "5/s"\n'))
    began = time.monotonic()
    ended(api, send(api, "slow", 15))
    assert time.monotonic() - began > 1.8  # five at once, ten more at five a second


@pytest.mark.requirement("SEC-3")
@pytest.mark.parametrize("rate", ["5e-324", "1e-12", "0.000001"])
def test_no_file_says_a_rate_of_next_to_nothing(tmp_path: Path, rate: str) -> None:
    files = agent("slow", rules=replies("x"), more=f"[limits]\nrate = {rate}\n")
    (problem,) = load_workspace(write_files(tmp_path, files)).errors
    assert '"rate" must be at least' in problem.message


@pytest.mark.requirement("RTE-8")
def test_a_tool_has_as_many_calls_in_flight_as_its_manifest_allows(api: httpx.Client, deploy: Deploy) -> None:
    deploy(hostile_tool(limits={"max_in_flight": 1, "wall_time": "0.5s", "fuel": 10**12}))
    assert call_tool(api, "ok").status_code == 200
    began = time.monotonic()
    call_tool(api, "spin")
    alone = time.monotonic() - began  # half a second, or as long as its fuel lasts on this machine
    with ThreadPoolExecutor(4) as pool:
        began = time.monotonic()
        answers = [each.result() for each in [pool.submit(call_tool, api, "spin") for _ in range(4)]]
        took = time.monotonic() - began
    assert {answer.json()["code"] for answer in answers} <= {"tool_timeout", "tool_fuel_exhausted"}
    assert took > 3 * alone  # one after another


@pytest.mark.requirement("RTE-8")
def test_an_agent_waits_for_a_tool_whose_manifest_limits_it(api: httpx.Client, deploy: Deploy) -> None:
    rules = (
        "[[rules]]\n[[rules.steps]]\ntool = 'hostile.spin'\n[rules.steps.arguments]\n[[rules.steps]]\nreply = 'done'\n"
    )
    deploy(
        {
            **agent("caller", rules=rules.replace("[rules.steps.arguments]\n", ""), more='tools = ["hostile"]\n'),
            **hostile_tool(limits={"max_in_flight": 1, "wall_time": "0.4s", "fuel": 10**12}),
        }
    )
    sent = send(api, "caller", 4)
    until(lambda: queues(api).get("tool:hostile", {}).get("waiting"))
    ended(api, sent)
    assert most_at_once(api, "tool_execution_failed") <= 1


@pytest.mark.requirement("RTE-8")
def test_a_turn_that_is_cancelled_while_it_waits_leaves_the_queue(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("slow", rules=replies("{{ request }}", delay=1.5), more="[limits]\nmax_in_flight = 1\n"))
    sent = send(api, "slow", 6)
    until(lambda: queues(api).get("agent:slow", {}).get("waiting", 0) >= 5)
    for execution in sent[2:]:
        assert api.post(f"/v1/executions/{execution}/cancel").status_code in (200, 202, 204)
    until(lambda: queues(api).get("agent:slow", {}).get("waiting", 0) <= 2, 10)
    ended(api, sent)
    until(lambda: not queues(api))


@pytest.mark.requirement("RTE-8", "SEC-3")
def test_nobody_sees_what_waits_of_others(
    api: httpx.Client, deploy: Deploy, caxton_server: RunningServer, workspace: str
) -> None:
    deploy(agent("secluded", rules=replies("{{ request }}", delay=0.6), more="[limits]\nmax_in_flight = 1\n"))
    sent = send(api, "secluded", 3)
    until(lambda: queues(api))
    with caxton_server.client(f"{workspace}-other") as elsewhere:
        assert queues(elsewhere) == {}
    body = {"name": "boss", "role": "admin", "customer": f"c-{workspace}"}
    key = api.post("/v1/keys", json=body).json()["key"]
    with caxton_server.client(workspace, key=key) as other:
        assert queues(other) == {}
        assert other.get("/v1/queues", params={"everywhere": "true"}).status_code == 403
    found = queues(api, everywhere="true")["agent:secluded"]
    assert found["workspace"] == workspace
    until(lambda: 'caxton_calls_waiting{kind="agent",name="secluded"}' in api.get("/metrics").text, 5)
    ended(api, sent)
