"""Approvals beyond yes and no: rules for arguments, four eyes, several approvers, changed arguments, remembered grants."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.api.conftest import Deploy
from tests.api.test_approvals import agrees, finished, pending, reviewed
from tests.api.test_events import events_of, listed
from tests.conftest import RunningServer
from tests.support.agents import agent
from tests.support.tools import bundled_tool

RULES = """
[[rules]]
[[rules.steps]]
tool = "csv-tools.summarize"
arguments = { csv = '''{{ request }}''' }
on_error = "no: {{ results[0].text }}"
[[rules.steps]]
reply = "total {{ results[0].json.total }}"
"""
SMALL, LARGE = "day,amount\n2026-11-20,5\n2026-11-21,7", "day,amount\n2026-11-20,500\n2026-11-21,700"


def clerk(policy: str = "") -> dict[str, str | bytes]:
    """An agent that adds up what it is sent, once somebody agrees."""
    head = 'tools = ["csv-tools"]\n[tool_policies."csv-tools.summarize"]\napproval_mode = "operator"\n'
    return {**bundled_tool("csv-tools"), **agent("clerk", rules=RULES, more=f"{head}{policy}")}


def send(api: httpx.Client, capability: str, content: str) -> str:
    """Asks, and does not wait: it may be answered by then all the same."""
    answer = api.post("/v1/messages", json={"capability": capability, "content": content}, params={"wait": "false"})
    assert answer.status_code in (200, 202), answer.text
    return answer.json()["execution_id"]


@pytest.fixture
def person(api: httpx.Client, caxton_server: RunningServer, workspace: str) -> Any:
    """Makes clients with keys of their own."""
    made: list[httpx.Client] = []

    def make(name: str, role: str = "operator") -> httpx.Client:
        key = api.post("/v1/keys", json={"name": f"{name}-{workspace}", "role": role}).json()["key"]
        client = caxton_server.client(workspace, key=key)
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


Person = Callable[..., httpx.Client]


@pytest.mark.requirement("GOV-1")
def test_only_calls_whose_arguments_match_wait(api: httpx.Client, deploy: Deploy) -> None:
    deploy(clerk('when = { csv = { like = "*700*" } }\n'))
    assert finished(api, send(api, "clerk", SMALL))["reply"]["content"]["text"] == "total 12"
    assert api.get("/v1/approvals").json()["approvals"] == []
    execution = send(api, "clerk", LARGE)
    (approval,) = pending(api)
    api.post(f"/v1/approvals/{approval['id']}/grant").raise_for_status()
    assert finished(api, execution)["reply"]["content"]["text"] == "total 1200"


@pytest.mark.requirement("GOV-1")
def test_another_spelling_gets_round_no_rule(api: httpx.Client, deploy: Deploy) -> None:
    deploy(clerk('when = { csv = "DAY,AMOUNT\\n1,5" }\n'))
    for spelling in ("day,amount\n1,5", "day,amount\n1,5 ", "day,am\u200bount\n1,5"):
        execution = send(api, "clerk", spelling)
        (approval,) = pending(api)
        api.post(f"/v1/approvals/{approval['id']}/reject").raise_for_status()
        assert finished(api, execution)["reply"]["content"]["text"].startswith("no:")
    assert finished(api, send(api, "clerk", "day,amount\n1,6"))["reply"]["content"]["text"].startswith("total")


@pytest.mark.requirement("GOV-1")
def test_four_eyes_means_that_the_requester_cannot_approve(api: httpx.Client, deploy: Deploy, person: Person) -> None:
    deploy(clerk("four_eyes = true\n"))
    anna, ben = person("anna"), person("ben")
    execution = send(anna, "clerk", SMALL)
    (approval,) = pending(api)
    assert approval["requested_by"].startswith("key:anna")
    refused = anna.post(f"/v1/approvals/{approval['id']}/grant")
    assert refused.status_code == 403
    assert "four eyes" in refused.json()["detail"]
    key = next(key for key in api.get("/v1/keys").json()["keys"] if key["name"] == approval["requested_by"][4:])
    rotated = api.post(f"/v1/keys/{key['id']}/rotate").json()["key"]
    again = anna.post(f"/v1/approvals/{approval['id']}/grant", headers={"Authorization": f"Bearer {rotated}"})
    assert again.status_code == 403, "a key in the place of another one is the same person's"
    assert api.get(f"/v1/approvals/{approval['id']}").json()["state"] == "Pending"
    assert ben.post(f"/v1/approvals/{approval['id']}/grant").status_code == 200
    assert finished(api, execution)["reply"]["content"]["text"] == "total 12"
    second = send(anna, "clerk", LARGE)
    (approval,) = pending(api)
    assert anna.post(f"/v1/approvals/{approval['id']}/reject").status_code == 200, "whoever asked may take it back"
    assert finished(api, second)["reply"]["content"]["text"].startswith("no:")


@pytest.mark.requirement("GOV-1")
def test_whoever_runs_a_schedule_by_hand_has_asked_for_the_work(
    api: httpx.Client, deploy: Deploy, person: Person
) -> None:
    schedule = f"[[schedules]]\nname = 'daily'\ncron = '0 0 1 1 *'\ncontent = {json.dumps(SMALL)}\n"
    deploy(clerk(f"four_eyes = true\n{schedule}"))
    anna, ben = person("anna"), person("ben")
    execution = anna.post("/v1/schedules/clerk/daily/trigger?wait=false").raise_for_status().json()["execution_id"]
    (approval,) = pending(api)
    refused = anna.post(f"/v1/approvals/{approval['id']}/grant")
    assert refused.status_code == 403, refused.text
    assert ben.post(f"/v1/approvals/{approval['id']}/grant").status_code == 200
    assert finished(api, execution)["reply"]["content"]["text"] == "total 12"
    year = {"start": "2024-12-31T00:00:00Z", "end": "2025-01-02T00:00:00Z"}
    anna.post("/v1/schedules/clerk/daily/backfill", json=year).raise_for_status()
    (approval,) = pending(api)
    refused = anna.post(f"/v1/approvals/{approval['id']}/grant")
    assert (refused.status_code, "four eyes" in refused.json()["detail"]) == (403, True), "so has who backfills"


@pytest.mark.requirement("GOV-1")
def test_several_different_people_must_agree(api: httpx.Client, deploy: Deploy, person: Person) -> None:
    deploy(clerk("approvals_needed = 2\n"))
    anna, ben, approver = person("anna"), person("ben"), person("carl", "approver")
    execution = send(api, "clerk", SMALL)
    (approval,) = pending(api)
    for _ in range(2):
        answer = anna.post(f"/v1/approvals/{approval['id']}/grant", json={"reason": "fine"})
        assert answer.status_code == 200, answer.text
        assert answer.json()["state"] == "Pending"
        assert len(answer.json()["votes"]) == 1, "one person is one vote"
    changed = ben.post(f"/v1/approvals/{approval['id']}/grant", json={"arguments": {"csv": LARGE}})
    assert changed.status_code == 400, "nobody changes what others have agreed with"
    last = approver.post(f"/v1/approvals/{approval['id']}/grant", json={"reason": "fine too"})
    assert last.json()["state"] == "Granted"
    assert len(last.json()["votes"]) == 2
    assert finished(api, execution)["reply"]["content"]["text"] == "total 12"
    told = next(event for event in events_of(api, execution) if event.event_type == "approval_granted")
    assert len(told.payload["approvers"]) == 2
    assert len(listed(api, type="vote_cast")) == 2
    agrees(api, execution)
    second = send(api, "clerk", LARGE)
    (approval,) = pending(api)
    assert anna.post(f"/v1/approvals/{approval['id']}/grant").json()["state"] == "Pending"
    assert ben.post(f"/v1/approvals/{approval['id']}/reject", json={"reason": "too much"}).json()["state"] == "Rejected"
    assert "too much" in finished(api, second)["reply"]["content"]["text"]


@pytest.mark.requirement("GOV-1")
def test_an_approver_changes_the_arguments(api: httpx.Client, deploy: Deploy) -> None:
    deploy(clerk())
    execution = send(api, "clerk", LARGE)
    (approval,) = pending(api)
    for wrong in ({"csv": 7}, {}, {"csv": SMALL, "sheet": {}}):
        refused = api.post(f"/v1/approvals/{approval['id']}/grant", json={"arguments": wrong})
        assert refused.status_code == 422, f"{wrong}: {refused.text}"
        assert refused.json()["code"] == "tool_input_invalid"
    assert api.get(f"/v1/approvals/{approval['id']}").json()["state"] == "Pending"
    granted = api.post(f"/v1/approvals/{approval['id']}/grant", json={"reason": "less", "arguments": {"csv": SMALL}})
    assert granted.status_code == 200, granted.text
    assert granted.json()["arguments"] == {"csv": SMALL}
    assert "700" in granted.json()["content"], "what was asked for stays"
    assert finished(api, execution)["reply"]["content"]["text"] == "total 12"
    told = next(event for event in events_of(api, execution) if event.event_type == "approval_granted")
    assert told.payload["changed"] == ["csv"]
    assert told.payload["hash_before"] != told.payload["hash_after"]
    other = api.post(f"/v1/approvals/{approval['id']}/grant", json={"arguments": {"csv": LARGE}})
    assert other.status_code == 409
    agrees(api, execution)


@pytest.mark.requirement("GOV-1")
def test_of_two_grants_at_once_each_is_told_whether_it_was_the_one(api: httpx.Client, deploy: Deploy) -> None:
    deploy(clerk())
    execution = send(api, "clerk", LARGE)
    (approval,) = pending(api)
    bodies: list[dict[str, Any]] = [
        {"arguments": {"csv": f"day,amount\n2026-11-20,5\n2026-11-21,{number}"}} for number in range(6)
    ]
    bodies.append({})

    def grant(body: dict[str, Any]) -> httpx.Response:
        return api.post(f"/v1/approvals/{approval['id']}/grant", json=body)

    with ThreadPoolExecutor(len(bodies)) as pool:
        answers = list(pool.map(grant, bodies))
    assert {answer.status_code for answer in answers} == {200, 409}, [answer.text for answer in answers]
    total = finished(api, execution)["reply"]["content"]["text"]
    for body, answer in zip(bodies, answers, strict=True):
        if answer.status_code == 200:
            assert answer.json()["arguments"] == body.get("arguments")
            wanted = f"total {5 + int(body['arguments']['csv'][-1])}" if body else "total 1200"
            assert total == wanted, "what is called is what the one that was told so has granted"


@pytest.mark.requirement("GOV-1")
def test_a_decision_can_be_remembered_later_and_only_once(api: httpx.Client, deploy: Deploy) -> None:
    deploy(clerk())
    execution = send(api, "clerk", SMALL)
    (approval,) = pending(api)
    path = f"/v1/approvals/{approval['id']}/grant"
    assert api.post(path).status_code == 200
    finished(api, execution)
    for _ in range(2):
        assert api.post(path, json={"remember": {"for": "1h"}}).status_code == 200
    (grant,) = api.get("/v1/approvals/remembered").json()["grants"]
    assert grant["approval_id"] == approval["id"]
    assert finished(api, send(api, "clerk", SMALL))["reply"]["content"]["text"] == "total 12", "nobody had to decide"


@pytest.mark.requirement("GOV-1")
def test_a_grant_is_remembered_for_calls_like_it(api: httpx.Client, deploy: Deploy, person: Person) -> None:
    deploy(clerk())
    execution = send(api, "clerk", SMALL)
    (approval,) = pending(api)
    remember = {"for": "1h", "like": {"csv": {"like": "day,amount*,7"}}}
    body = {"reason": "small ones", "remember": remember}
    assert api.post(f"/v1/approvals/{approval['id']}/grant", json=body).status_code == 200
    finished(api, execution)
    (grant,) = api.get("/v1/approvals/remembered").json()["grants"]
    assert (grant["agent"], grant["name"], grant["approval_id"]) == ("clerk", "csv-tools.summarize", approval["id"])
    like = send(api, "clerk", "day,amount\n2026-11-20,1\n2026-11-21,7")
    assert finished(api, like)["reply"]["content"]["text"] == "total 8", "nobody had to decide"
    told = next(event for event in events_of(api, like) if event.event_type == "approval_granted")
    assert (told.payload["remembered"], told.actor) == (grant["id"], "founder:admin")
    agrees(api, like)
    other = send(api, "clerk", LARGE)
    (waiting,) = pending(api)
    api.post(f"/v1/approvals/{waiting['id']}/reject").raise_for_status()
    finished(api, other)
    viewer = person("eyes", "viewer")
    assert viewer.get("/v1/approvals/remembered").status_code == 200
    assert viewer.delete(f"/v1/approvals/remembered/{grant['id']}").status_code == 403
    assert api.delete(f"/v1/approvals/remembered/{grant['id']}").status_code == 204
    assert api.delete(f"/v1/approvals/remembered/{grant['id']}").status_code == 404
    send(api, "clerk", "day,amount\n2026-11-20,1\n2026-11-21,7")
    (waiting,) = pending(api)
    api.post(f"/v1/approvals/{waiting['id']}/reject").raise_for_status()
    types = ["remembered_grant_created", "remembered_grant_revoked"]
    assert [event["event_type"] for event in listed(api, type=types)] == types


def test_a_remembered_grant_ends_and_does_not_get_round_four_eyes(
    api: httpx.Client, deploy: Deploy, person: Person
) -> None:
    deploy(clerk("four_eyes = true\n"))
    anna, ben = person("anna"), person("ben")
    first = send(anna, "clerk", SMALL)
    (approval,) = pending(api)
    body = {"remember": {"for": "5s"}}
    assert ben.post(f"/v1/approvals/{approval['id']}/grant", json=body).status_code == 200
    finished(api, first)
    send(ben, "clerk", SMALL)
    (waiting,) = pending(api)
    api.post(f"/v1/approvals/{waiting['id']}/reject").raise_for_status()
    deadline = time.monotonic() + 30
    while api.get("/v1/approvals/remembered").json()["grants"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    send(anna, "clerk", SMALL)
    (waiting,) = pending(api)
    api.post(f"/v1/approvals/{waiting['id']}/reject").raise_for_status()


def test_replies_have_no_arguments(api: httpx.Client, deploy: Deploy) -> None:
    deploy(reviewed())
    execution = send(api, "write", "Anna")
    (approval,) = pending(api)
    for body in ({"arguments": {"x": 1}}, {"remember": {"for": "1h"}}):
        assert api.post(f"/v1/approvals/{approval['id']}/grant", json=body).status_code == 400
    for body in ({"remember": {"for": "99d"}}, {"remember": {"for": 0}}, {"remember": {"like": {}}}):
        assert api.post(f"/v1/approvals/{approval['id']}/grant", json=body).status_code == 400
    api.post(f"/v1/approvals/{approval['id']}/grant").raise_for_status()
    finished(api, execution)


@pytest.mark.requirement("GOV-1", "SEC-9")
def test_an_address_is_judged_by_where_it_leads(api: httpx.Client, deploy: Deploy) -> None:
    deploy(clerk('when = { csv = { like = "https://bank.example/pay*" } }\n'))
    ways = ("%70ay/1", "see/../pay/1", "see/%2e%2e//pay/1")
    for way in ways:
        send(api, "clerk", f"https://bank.example/{way}")
    first = pending(api, len(ways))[0]
    like = {"csv": {"like": "https://bank.example/see/*"}}
    granted = api.post(f"/v1/approvals/{first['id']}/grant", json={"remember": {"for": "1h", "like": like}})
    assert granted.status_code == 200, granted.text
    send(api, "clerk", "https://bank.example/see/../pay/2")
    assert len(pending(api, len(ways))) == len(ways), "it is not like what was remembered"
