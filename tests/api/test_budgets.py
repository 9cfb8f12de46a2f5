"""Budgets: enforced before the model is called, durable, told in the log."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.test_events import listed
from tests.conftest import RunningServer
from tests.support.agents import agent, hands_over, replies
from tests.support.deploying import deploy_files


@pytest.fixture
def payer(api: httpx.Client, caxton_server: RunningServer, tmp_path: Path) -> Iterator[httpx.Client]:
    """The administrator of a customer of its own, with two agents."""
    body = {"name": "boss", "role": "admin", "customer": f"acme-{uuid.uuid4().hex[:8]}"}
    key = api.post("/v1/keys", json=body).json()["key"]
    files = {
        **agent("echo", rules=replies("you said: {{ request }}")),
        **agent("front", rules=hands_over("echo"), more='delegates = ["echo"]\n'),
    }
    with caxton_server.client("shop", key=key) as client:
        deploy_files(client, tmp_path / "shop", files)
        yield client


def ask(api: httpx.Client, capability: str = "echo") -> httpx.Response:
    return api.post("/v1/messages", json={"capability": capability, "content": "x"})


@pytest.mark.requirement("GOV-4")
@pytest.mark.parametrize("subject", [{}, {"workspace": "shop"}, {"workspace": "shop", "agent": "echo"}])
def test_requests_are_refused_when_their_budget_is_used_up(payer: httpx.Client, subject: dict[str, str]) -> None:
    assert ask(payer).status_code == 200  # before there is a budget: it counts
    budget = {"resource": "requests", "period": "day", "limit": 3, **subject}
    made = payer.put("/v1/budgets", json=budget)
    assert made.status_code == 200, made.text
    assert made.json()["used"] == 1
    assert [ask(payer).status_code for _ in range(4)] == [200, 200, 429, 429]
    refused = ask(payer)
    body = refused.json()
    assert body["code"] == "budget_exceeded"
    assert int(refused.headers["Retry-After"]) > 0
    assert (body["details"]["used"], body["details"]["limit"]) == (3, 3)
    assert "caxton budgets set requests" in body["hints"][0]["command"]
    (warned,) = listed(payer, type="budget_exceeded")
    assert warned["payload"]["used"] == 3
    # Raised, work passes at once; removed, nothing is limited.
    payer.put("/v1/budgets", json={**budget, "limit": 4}).raise_for_status()
    assert [ask(payer).status_code for _ in range(2)] == [200, 429]
    assert payer.get("/v1/budgets").json()["budgets"][0]["used"] == 4
    payer.request("DELETE", "/v1/budgets", params={k: v for k, v in budget.items() if k != "limit"}).raise_for_status()
    assert ask(payer).status_code == 200
    assert len(listed(payer, type="budget_set")) == 3


@pytest.mark.requirement("GOV-4")
def test_tokens_are_counted_from_the_log_and_enforced_before_the_model_is_called(payer: httpx.Client) -> None:
    ask(payer, "front")
    spent = sum(
        event["payload"]["input_tokens"] + event["payload"]["output_tokens"]
        for event in listed(payer, type="model_called")
    )
    made = payer.put("/v1/budgets", json={"resource": "tokens", "period": "total", "limit": spent + 0.5}).json()
    assert made["used"] == spent
    calls = len(listed(payer, type="model_called"))
    if spent == 0:  # scripts read and write no tokens: nothing is left of a budget of none
        payer.put("/v1/budgets", json={"resource": "tokens", "period": "total", "limit": 0}).raise_for_status()
    else:
        ask(payer)
        calls = len(listed(payer, type="model_called"))
    refused = ask(payer)
    assert refused.status_code == 429
    assert refused.json()["code"] == "budget_exceeded"
    assert len(listed(payer, type="model_called")) == calls
    for _ in range(3):
        assert ask(payer).status_code == 429
    (told,) = listed(payer, type="budget_refused")
    assert told["error_code"] == "budget_exceeded"
    assert told["payload"]["limit"] == 0
    accepted = payer.post("/v1/messages", json={"capability": "echo", "content": "x"}, params={"wait": "false"})
    assert accepted.status_code == 429  # also who does not wait is told at once


@pytest.mark.requirement("GOV-4")
def test_a_hand_over_counts_against_the_budget_of_the_agent_that_gets_it(payer: httpx.Client) -> None:
    ask(payer, "front").raise_for_status()
    budget = {"resource": "requests", "period": "day", "limit": 2, "workspace": "shop", "agent": "echo"}
    assert payer.put("/v1/budgets", json=budget).json()["used"] == 1
    assert ask(payer, "front").status_code == 200
    refused = ask(payer, "front")
    assert refused.status_code == 502, refused.text  # the front agent could not finish its work
    execution = refused.json()["details"]["execution_id"]
    types = [event["event_type"] for event in payer.get(f"/v1/executions/{execution}/events").json()["events"]]
    assert "budget_refused" in types
    assert payer.get(f"/v1/executions/{execution}/replay").json()["differences"] == []
    assert payer.get("/v1/budgets").json()["budgets"][0]["used"] == 2


def test_a_budget_for_what_does_not_exist_is_refused(payer: httpx.Client) -> None:
    for key in ({"workspace": "shopp"}, {"workspace": "shop", "agent": "ecco"}):
        answer = payer.put("/v1/budgets", json={"resource": "tokens", "period": "day", "limit": 1, **key})
        assert answer.status_code == 404, answer.text
        assert "did you mean" in answer.json()["hints"][0]["text"]


def test_only_administrators_set_budgets_and_each_customer_its_own(
    payer: httpx.Client, api: httpx.Client, caxton_server: RunningServer
) -> None:
    payer.put("/v1/budgets", json={"resource": "requests", "period": "hour", "limit": 100}).raise_for_status()
    assert all(budget["limit"] != 100 for budget in api.get("/v1/budgets").json()["budgets"])
    key = payer.post("/v1/keys", json={"name": "ops", "role": "operator"}).json()["key"]
    with caxton_server.client("shop", key=key) as operator:
        assert operator.get("/v1/budgets").status_code == 200
        assert (
            operator.put("/v1/budgets", json={"resource": "requests", "period": "hour", "limit": 1}).status_code == 403
        )
    for wrong in (
        {"resource": "apples", "period": "day", "limit": 1},
        {"resource": "tokens", "period": "week", "limit": 1},
        {"resource": "tokens", "period": "day", "limit": -1},
        {"resource": "tokens", "period": "day", "limit": 1, "agent": "echo"},
        {"resource": "tokens", "period": "day", "limit": 1, "workspace": "No Name"},
    ):
        assert payer.put("/v1/budgets", json=wrong).status_code == 400, wrong
    missing = payer.request("DELETE", "/v1/budgets", params={"resource": "tokens", "period": "hour"})
    assert missing.status_code == 404
