"""A remote agent on the official SDK's server is a capability with all that holds for local ones."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.api.conftest import Deploy
from tests.api.test_approvals import finished, pending, send
from tests.support.a2a_agent import Official, official_agent
from tests.support.agents import agent, hands_over
from tests.support.waiting import until

AGENT = """name = "abroad"
version = "1.0.0"
kind = "a2a"
capabilities = {capabilities}
[a2a]
url = "{url}"
timeout = "{timeout}"
request_timeout = "{timeout}"
"""


@pytest.fixture
def official() -> Iterator[Official]:
    with official_agent() as agent:
        yield agent


@pytest.fixture
def deploy_remote(api: httpx.Client, deploy: Deploy, official: Official) -> Any:
    def run(*, capabilities: str = '["translate"]', timeout: str = "20s", **files: str | bytes) -> None:
        text = AGENT.format(capabilities=capabilities, url=official.url, timeout=timeout)
        api.post("/v1/tool-grants", json={"tool": "abroad", "network": [official.url]}).raise_for_status()
        deploy({"agents/abroad.toml": text, **files})

    return run


def ask(api: httpx.Client, content: str, capability: str = "translate") -> httpx.Response:
    return api.post("/v1/messages", json={"capability": capability, "content": content})


@pytest.mark.requirement("FAC-2")
def test_it_answers_by_itself_and_for_another_agent(api: httpx.Client, deploy_remote: Any, official: Official) -> None:
    front = agent("front", rules=hands_over("translate"), more='delegates = ["translate"]\n')
    deploy_remote(**front)
    assert ask(api, "hello").json()["reply"]["content"]["text"] == "abroad: hello"
    assert ask(api, "over", "front").json()["reply"]["content"]["text"] == "abroad: over"
    assert official.asked == ["hello", "over"]
    failed = ask(api, "fail").json()
    assert failed["code"] == "remote_agent_failed"
    assert "no luck" in failed["detail"]


@pytest.mark.requirement("FAC-2")
def test_one_that_takes_too_long_is_timed_out_and_told_to_stop(
    api: httpx.Client, deploy_remote: Any, official: Official
) -> None:
    deploy_remote(timeout="2s")
    late = ask(api, "slow").json()
    assert late["code"] == "remote_agent_timeout", late
    until(lambda: official.cancelled)
    assert official.asked == ["slow"], "what took too long is not asked for again"


@pytest.mark.requirement("FAC-2")
def test_a_cancelled_turn_cancels_its_task(api: httpx.Client, deploy_remote: Any, official: Official) -> None:
    deploy_remote()
    execution = send(api, "translate", "slow")
    until(lambda: official.asked)
    api.post(f"/v1/executions/{execution}/cancel").raise_for_status()
    assert finished(api, execution)["error"]["code"] == "execution_cancelled"
    until(lambda: official.cancelled)


@pytest.mark.requirement("FAC-2", "RTE-4")
def test_one_that_keeps_failing_rests_and_takes_work_again(
    api: httpx.Client, deploy_remote: Any, official: Official
) -> None:
    deploy_remote()
    official.is_ill = True

    def rests() -> bool:
        assert ask(api, "hello").json()["code"] in ("remote_agent_unavailable", "model_breaker_open")
        shown = api.get("/v1/breakers").json()["breakers"]
        return any((each["kind"], each["name"], each["state"]) == ("model", "a2a:abroad", "Open") for each in shown)

    until(rests, 90)
    assert ask(api, "hello").json()["code"] == "model_breaker_open"
    assert official.asked == []
    official.is_ill = False
    for kind, name in (("model", "a2a:abroad"), ("agent", "abroad")):
        api.post(f"/v1/breakers/{kind}/{name}/reset")
    answered = until(lambda: (found := ask(api, "hello")).status_code == 200 and found)
    assert answered.json()["reply"]["content"]["text"] == "abroad: hello"


@pytest.mark.requirement("FAC-2", "GOV-4")
def test_budgets_hold_for_it(api: httpx.Client, deploy_remote: Any, workspace: str, official: Official) -> None:
    deploy_remote()
    budget = {"resource": "requests", "period": "day", "limit": 2, "workspace": workspace}
    api.put("/v1/budgets", json=budget).raise_for_status()
    answers = [ask(api, f"message {number}") for number in range(3)]
    assert [each.status_code for each in answers] == [200, 200, 429]
    assert answers[-1].json()["code"] == "budget_exceeded"
    assert official.asked == ["message 0", "message 1"]


@pytest.mark.requirement("FAC-2", "FAC-9")
@pytest.mark.parametrize("verdict", ["grant", "reject"])
def test_its_reply_waits_for_a_person(api: httpx.Client, deploy_remote: Any, official: Official, verdict: str) -> None:
    deploy_remote(capabilities='[{ name = "translate", approval_mode = "operator", approval_timeout = "1h" }]')
    execution = send(api, "translate", "hello")
    [waiting] = pending(api)
    assert (waiting["agent"], official.asked) == ("abroad", ["hello"])
    assert api.get(f"/v1/approvals/{waiting['id']}").json()["content"] == "abroad: hello"
    api.post(f"/v1/approvals/{waiting['id']}/{verdict}", json={}).raise_for_status()
    turn = finished(api, execution)
    if verdict == "grant":
        assert turn["reply"]["content"]["text"] == "abroad: hello"
    else:
        assert "abroad: hello" not in turn["reply"]["content"]["text"], "a refused reply does not go out"
    assert official.asked == ["hello"], "it is asked once"
