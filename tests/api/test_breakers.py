"""Circuit breakers of agents, tools and model providers, as callers and operators see them."""

from typing import Any

import httpx
import pytest

from tests.api.conftest import Deploy
from tests.api.test_failures import calls, hostile
from tests.support.agents import agent, hands_over, replies
from tests.support.streams import read_stream
from tests.support.waiting import until

FAILS = """
[[rules]]
when = { contains = "bad" }
[[rules.steps]]
fail = "it does not work"
[[rules]]
when = { contains = "good" }
[[rules.steps]]
reply = "it works"
"""
"""Fails as it is told to, without the caller's having done anything wrong."""


def fragile(name: str = "fragile", *, breaker: str = "failures = 3", more: str = "", **options: Any) -> dict[str, Any]:
    return agent(name, rules=FAILS, more=f"{more}[breaker]\n{breaker}\n", **options)


def ask(api: httpx.Client, capability: str, content: str) -> httpx.Response:
    return api.post("/v1/messages", json={"capability": capability, "content": content})


def breakers(api: httpx.Client) -> dict[str, dict[str, Any]]:
    return {f"{each['kind']} {each['name']}": each for each in api.get("/v1/breakers").json()["breakers"]}


def state(api: httpx.Client, subject: str = "agent fragile") -> str | None:
    found = breakers(api).get(subject)
    return found["state"] if found else None


def events(api: httpx.Client, *types: str) -> list[dict[str, Any]]:
    found = api.get("/v1/events", params={"type": list(types), "limit": 500}).json()["events"]
    return sorted(found, key=lambda event: event["sequence"])


def open_it(api: httpx.Client, capability: str = "fragile", subject: str = "agent fragile", times: int = 3) -> None:
    for _ in range(times):
        assert ask(api, capability, "bad").json()["code"] == "execution_failed"
    until(lambda: state(api, subject) == "Open")


@pytest.mark.requirement("RTE-4")
@pytest.mark.requirement("RTE-5")
def test_an_agent_that_keeps_failing_rests_is_tried_by_one_and_takes_work_again(
    api: httpx.Client, deploy: Deploy
) -> None:
    deploy(fragile(breaker='failures = 3\nopen_for = "1s"'))
    open_it(api)
    refused = ask(api, "fragile", "good")
    assert refused.status_code == 503
    body = refused.json()
    assert body["code"] == "circuit_breaker_open"
    assert body["retryable"]
    assert 0 < body["retry_after"] <= 1
    assert refused.headers["Retry-After"] == "1"
    assert "retrying in" in body["detail"]
    assert any("breaker list" in hint.get("command", "") for hint in body["hints"])
    by_name = api.post("/v1/messages", json={"agent": "fragile", "content": "good"})
    assert by_name.json().get("code") in ("circuit_breaker_open", None)

    shown = api.get("/v1/agents/fragile").json()
    assert shown["breaker"] is None or shown["breaker"]["last_error"] == "execution_failed"
    until(lambda: ask(api, "fragile", "good").status_code == 200)
    until(lambda: "agent fragile" not in breakers(api))
    assert api.get("/v1/agents/fragile").json()["breaker"] is None
    told = events(api, "circuit_breaker_opened", "circuit_breaker_half_opened", "circuit_breaker_closed")
    assert [event["event_type"] for event in told] == [
        "circuit_breaker_opened",
        "circuit_breaker_half_opened",
        "circuit_breaker_closed",
    ]
    assert told[0]["payload"]["failures"] == 3
    assert told[0]["payload"]["retry_after_s"] == 1
    assert told[0]["agent"] == "fragile"
    assert told[2]["payload"]["reason"] == "recovered"


@pytest.mark.requirement("RTE-5")
def test_a_try_that_fails_opens_it_for_twice_as_long(api: httpx.Client, deploy: Deploy) -> None:
    deploy(fragile(breaker='failures = 2\nopen_for = "0.5s"'))
    open_it(api, times=2)
    until(lambda: ask(api, "fragile", "bad").json()["code"] == "execution_failed")
    until(lambda: len(events(api, "circuit_breaker_opened")) == 2)
    assert [each["payload"]["retry_after_s"] for each in events(api, "circuit_breaker_opened")] == [0.5, 1]
    assert events(api, "circuit_breaker_opened")[1]["payload"]["openings"] == 2


@pytest.mark.requirement("RTE-5")
def test_others_that_offer_the_capability_do_the_work_meanwhile(api: httpx.Client, deploy: Deploy) -> None:
    offered = '["translate"]'
    deploy({**fragile(breaker='failures = 2\nopen_for = "5m"', capabilities=offered)})
    for _ in range(2):
        ask(api, "translate", "bad")
    until(lambda: state(api) == "Open")
    assert ask(api, "translate", "good").json()["code"] == "circuit_breaker_open"
    deploy(
        {
            **fragile(breaker='failures = 2\nopen_for = "5m"', capabilities=offered),
            **agent("steady", capabilities=offered, rules=replies("steadily")),
        }
    )
    for _ in range(5):
        turn = ask(api, "translate", "good").json()
        assert turn["reply"]["content"]["text"] == "steadily"
    named = api.post("/v1/messages", json={"agent": "fragile", "content": "good"}).json()
    assert named["code"] == "circuit_breaker_open"
    assert named["details"]["alternatives"] == ["steady"]


@pytest.mark.requirement("RTE-5")
def test_what_callers_bring_about_does_not_open_it(api: httpx.Client, deploy: Deploy) -> None:
    deploy(fragile(breaker="failures = 1"))
    for content in ("neither", "nor", "x" * 100):
        assert ask(api, "fragile", content).json()["code"] == "no_script_rule"
    assert ask(api, "fragile", "good").status_code == 200
    assert "agent fragile" not in breakers(api)


def test_a_rate_of_failures_opens_it_too_and_where_it_is_switched_off_nothing_does(
    api: httpx.Client, deploy: Deploy
) -> None:
    deploy(
        {
            **fragile(breaker="failures = 100\nrate = 0.5\nminimum = 6"),
            **fragile("tireless", breaker="enabled = false\nfailures = 1"),
        }
    )
    for content in ("good", "bad", "good", "bad", "good", "bad"):
        ask(api, "fragile", content)
        ask(api, "tireless", "bad")

    def opens() -> bool:
        ask(api, "fragile", "bad")  # successes may be counted a moment later, and a success opens no breaker
        return state(api) == "Open"

    until(opens)
    assert ask(api, "tireless", "good").status_code == 200


@pytest.mark.requirement("RTE-5")
def test_only_one_request_at_a_time_tries(api: httpx.Client, deploy: Deploy) -> None:
    rules = FAILS.replace("[[rules]]", "delay = 1.0\n[[rules]]", 1)
    breaker = '[breaker]\nfailures = 1\nopen_for = "0.1s"\n'
    deploy(agent("fragile", rules=rules, more=breaker))
    ask(api, "fragile", "bad")
    until(lambda: state(api) == "Open")

    def tries() -> str | None:
        answer = api.post("/v1/messages", json={"capability": "fragile", "content": "good"}, params={"wait": "false"})
        return answer.json()["execution_id"] if answer.is_success else None

    first = until(tries)
    others = [ask(api, "fragile", "good") for _ in range(3)]
    assert {other.json()["code"] for other in others} == {"circuit_breaker_open"}
    assert breakers(api)["agent fragile"]["message"] == "testing whether it works again"
    until(lambda: api.get(f"/v1/executions/{first}").json()["state"] == "completed")
    until(lambda: "agent fragile" not in breakers(api))
    assert ask(api, "fragile", "good").status_code == 200


def test_an_operator_closes_one_by_hand_a_viewer_may_only_look_and_a_deployment_closes_it(
    api: httpx.Client, deploy: Deploy, workspace: str
) -> None:
    deploy(fragile(breaker='failures = 2\nopen_for = "5m"'))
    open_it(api, times=2)
    viewer = api.post("/v1/keys", json={"name": f"viewer-{workspace}", "role": "viewer"}).json()["key"]
    headers = {"Authorization": f"Bearer {viewer}"}
    assert api.get("/v1/breakers", headers=headers).json()["breakers"][0]["name"] == "fragile"
    assert api.post("/v1/breakers/agent/fragile/reset", headers=headers).status_code == 403
    was = api.post("/v1/breakers/agent/fragile/reset")
    assert was.json()["state"] == "Open"
    assert ask(api, "fragile", "good").status_code == 200
    assert api.post("/v1/breakers/agent/fragile/reset").status_code == 404
    assert api.post("/v1/breakers/planet/fragile/reset").status_code == 400
    assert events(api, "circuit_breaker_closed")[-1]["payload"]["reason"] == "reset"
    assert events(api, "circuit_breaker_closed")[-1]["actor"].startswith("founder")

    open_it(api, times=2)
    deploy(fragile(breaker='failures = 2\nopen_for = "5m"', version="1.0.1"))
    assert ask(api, "fragile", "good").status_code == 200
    assert events(api, "circuit_breaker_closed")[-1]["payload"]["reason"] == "deployed"


@pytest.mark.requirement("MSG-4")
def test_who_listens_is_told_when_something_is_tried_again(api: httpx.Client, deploy: Deploy) -> None:
    deploy(
        {
            **fragile(breaker='failures = 1\nopen_for = "2s"'),
            **agent("front", rules=hands_over("fragile"), more='delegates = ["fragile"]\n'),
        }
    )
    open_it(api, times=1)
    conversation = api.post("/v1/conversations", json={"capability": "front"}).json()["id"]
    sent = api.post(
        f"/v1/conversations/{conversation}/messages", json={"content": "good"}, params={"wait": "false"}
    ).json()
    events = read_stream(api, sent["execution_id"])
    assert events[-1].kind == "reply", "the hand-over was tried again when the agent had rested"
    retries = [event.data for event in events if event.kind == "retry"]
    for told in retries:  # unless it had rested already
        assert told["what"] == "delivery"
        assert told["code"] == "circuit_breaker_open"
        assert told["of"] == 3
        assert 0 < told["after"] <= 2


@pytest.mark.requirement("TOL-9")
def test_a_tool_that_keeps_trapping_rests_and_the_model_is_told_of_others(api: httpx.Client, deploy: Deploy) -> None:
    tool = hostile()
    tool["tools/hostile/tool.toml"] = f"{tool['tools/hostile/tool.toml']}\n[breaker]\nfailures = 2\nopen_for = '5m'\n"
    deploy({**tool, **agent("user", rules=calls("trap"), more='tools = ["hostile"]\n')})
    assert ask(api, "user", "x").json()["reply"]["content"]["text"].startswith("failed: ")
    until(lambda: state(api, "tool hostile") == "Open")
    said = ask(api, "user", "x").json()["reply"]["content"]["text"]
    assert 'the tool "hostile" keeps failing and rests; retrying in' in said
    assert api.get("/v1/tools/hostile").json()["breaker"]["state"] == "Open"
    by_hand = api.post("/v1/tools/hostile/call", json={"function": "ok", "arguments": {}})
    assert by_hand.status_code == 503
    assert by_hand.json()["code"] == "tool_breaker_open"
    assert "agent user" not in breakers(api), "the agent did answer"
    assert api.post("/v1/breakers/tool/hostile/reset").status_code == 200
    again = api.post("/v1/tools/hostile/call", json={"function": "trap", "arguments": {}})
    assert again.json()["code"] == "tool_trapped"


@pytest.mark.requirement("RTE-5", "DEP-6")
def test_what_a_candidate_answers_does_not_keep_the_live_version_from_resting(
    api: httpx.Client, deploy: Deploy
) -> None:
    deploy(fragile(breaker="failures = 8\nminimum = 1000"))
    half = "[rollout]\nstages = [{ percent = 50, sample = 1000 }]\n"
    deploy(agent("fragile", version="2.0.0", rules=replies("v2"), more=f"[breaker]\nfailures = 8\n{half}"))
    failed = answered = 0
    while failed < 8:
        assert state(api) != "Open", (failed, answered)
        is_answered = ask(api, "fragile", "bad").status_code == 200
        answered, failed = answered + is_answered, failed + (not is_answered)
    until(lambda: state(api) == "Open")
