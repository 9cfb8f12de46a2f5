"""Approvals: an action waits durably for a person, whose decision is told to the agent, the user and the log."""

import time
from typing import Any

import httpx
import pytest

from tests.api.conftest import Deploy
from tests.api.test_events import events_of, listed
from tests.api.test_failures import calls, hostile
from tests.conftest import RunningServer
from tests.support.agents import agent, hands_over, replies
from tests.support.stand_in import Answer, Remote
from tests.support.streams import Listener

TOOL_POLICY = """tools = ["hostile"]
[tool_policies."hostile.ok"]
risk_level = "high"
approval_mode = "{mode}"
approval_timeout = "{timeout}"
action_type = "wire-money"
"""


def guarded(mode: str = "operator", timeout: str = "1h") -> dict[str, str | bytes]:
    """An agent whose tool call waits for a person."""
    more = TOOL_POLICY.format(mode=mode, timeout=timeout)
    return {**hostile(), **agent("teller", rules=calls("ok"), more=more)}


def reviewed(timeout: str = "1h") -> dict[str, str | bytes]:
    """An agent whose replies wait for a person."""
    offered = (
        f'[{{ name = "write", approval_mode = "operator", risk_level = "medium", approval_timeout = "{timeout}" }}]'
    )
    return agent("writer", capabilities=offered, rules=replies("Dear {{ request }}"))


def send(api: httpx.Client, capability: str, content: str = "x") -> str:
    body = {"capability": capability, "content": content}
    answer = api.post("/v1/messages", json=body, params={"wait": "false"})
    assert answer.status_code == 202, answer.text
    return answer.json()["execution_id"]


def pending(api: httpx.Client, count: int = 1) -> list[dict[str, Any]]:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = api.get("/v1/approvals", params={"state": "Pending"}).json()["approvals"]
        if len(found) >= count:
            return found
        time.sleep(0.05)
    raise AssertionError("nothing waits")


def finished(api: httpx.Client, execution_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        turn = api.get(f"/v1/executions/{execution_id}").json()
        if turn["state"] != "running":
            return turn
        time.sleep(0.05)
    raise AssertionError("the turn did not end")


def agrees(api: httpx.Client, execution_id: str) -> dict[str, Any]:
    rebuilt = api.get(f"/v1/executions/{execution_id}/replay").json()
    assert rebuilt["differences"] == []
    return rebuilt["executions"][0]


@pytest.mark.requirement("GOV-1")
@pytest.mark.requirement("GOV-3")
def test_a_tool_call_goes_out_when_it_is_granted(api: httpx.Client, deploy: Deploy) -> None:
    deploy(guarded())
    execution = send(api, "teller")
    (approval,) = pending(api)
    assert (approval["agent"], approval["name"], approval["risk_level"]) == ("teller", "hostile.ok", "high")
    assert approval["action_type"] == "wire-money"
    assert approval["content"] == "{}"
    assert api.get(f"/v1/executions/{execution}").json()["state"] == "running"
    granted = api.post(f"/v1/approvals/{approval['id']}/grant", json={"reason": "checked"})
    assert granted.status_code == 200, granted.text
    assert granted.json()["state"] == "Granted"
    assert finished(api, execution)["reply"]["content"]["text"].startswith("ok:")
    types = [event.event_type for event in events_of(api, execution)]
    order = ["action_prepared", "approval_requested", "approval_granted", "action_dispatched", "execution_completed"]
    assert [found for found in types if found in order][:4] == order[:4]
    told = next(event for event in events_of(api, execution) if event.event_type == "approval_granted")
    assert (told.actor, told.payload["reason"], told.risk_level) == ("founder:admin", "checked", "high")
    rebuilt = agrees(api, execution)
    assert rebuilt["approvals"][0]["decision"] == "granted"
    assert rebuilt["approvals"][0]["decided_by"] == "founder:admin"
    # The same decision again changes nothing; another one is refused, also the same one by somebody else.
    assert api.post(f"/v1/approvals/{approval['id']}/grant").status_code == 200
    assert api.post(f"/v1/approvals/{approval['id']}/grant", json={"reason": "another"}).status_code == 409
    key = api.post("/v1/keys", json={"name": "second", "role": "operator"}).json()["key"]
    other = api.post(f"/v1/approvals/{approval['id']}/grant", headers={"Authorization": f"Bearer {key}"})
    assert other.status_code == 409
    assert "Granted by founder:admin already" in other.json()["detail"]
    assert api.post(f"/v1/approvals/{approval['id']}/reject").status_code == 409
    assert len(listed(api, type="approval_granted")) == 1


@pytest.mark.requirement("GOV-1", "SEC-9")
def test_what_deceives_the_eye_of_whoever_judges_a_reply_is_shown_everywhere(api: httpx.Client, deploy: Deploy) -> None:
    deploy(reviewed())
    asked = "pay 10\u202e001\u202c to B\u034fob"
    execution = send(api, "write", asked)
    (approval,) = pending(api)
    assert approval["content"] == "Dear pay 10<U+202E>001<U+202C> to B<U+034F>ob"
    assert api.post(f"/v1/approvals/{approval['id']}/grant").status_code == 200
    assert finished(api, execution)["reply"]["content"]["text"] == f"Dear {asked}", "it is said as it was written"


@pytest.mark.requirement("GOV-1")
def test_a_refused_call_is_a_result_that_the_agent_understands(api: httpx.Client, deploy: Deploy) -> None:
    deploy(guarded())
    execution = send(api, "teller")
    (approval,) = pending(api)
    api.post(f"/v1/approvals/{approval['id']}/reject", json={"reason": "too much money"}).raise_for_status()
    text = finished(api, execution)["reply"]["content"]["text"]
    assert text.startswith("failed:")
    assert "founder:admin refused" in text
    assert "too much money" in text
    by_type = {event.event_type: event for event in events_of(api, execution)}
    assert by_type["approval_rejected"].payload["reason"] == "too much money"
    assert by_type["action_failed"].error_code == "approval_rejected"
    assert "tool_executed" not in by_type
    assert "tool_execution_failed" not in by_type
    assert agrees(api, execution)["approvals"][0]["decision"] == "rejected"


@pytest.mark.requirement("GOV-1")
def test_a_call_that_nobody_decides_on_is_not_made(api: httpx.Client, deploy: Deploy) -> None:
    deploy(guarded(timeout="1s"))
    execution = send(api, "teller")
    (approval,) = pending(api)
    assert "nobody decided in time" in finished(api, execution)["reply"]["content"]["text"]
    assert api.get(f"/v1/approvals/{approval['id']}").json()["state"] == "TimedOut"
    late = api.post(f"/v1/approvals/{approval['id']}/grant")
    assert late.status_code == 409
    assert "TimedOut" in late.json()["detail"]
    (told,) = listed(api, type="approval_timeout")
    assert told["actor"] == "system"
    assert agrees(api, execution)["approvals"][0]["decision"] == "timeout"


@pytest.mark.requirement("EVT-2", "SEC-2")
def test_a_reply_that_waits_is_streamed_to_nobody(api: httpx.Client, deploy: Deploy, stand_in: Remote) -> None:
    offered = '[{ name = "write", approval_mode = "operator" }]'
    text = f'name = "writer"\nversion = "1.0.0"\ncapabilities = {offered}\nmodel = "{stand_in.model}"\n'
    deploy({"agents/writer.toml": text})
    stand_in.answer(Answer(text="what nobody has read yet", delay=0.3, took=0.3, chunks=6))
    execution = send(api, "write", "Anna")
    listener = Listener(api, execution)
    (approval,) = pending(api)
    api.post(f"/v1/approvals/{approval['id']}/reject", json={}).raise_for_status()
    events = listener.events()
    assert [event.kind for event in events if event.kind not in ("step", "reply")] == []
    assert "nobody has read" not in str([event.data for event in events])


@pytest.mark.requirement("EVT-2")
@pytest.mark.parametrize(("verdict", "decision"), [("grant", "granted"), ("reject", "rejected")])
def test_a_reply_waits_for_its_reader(api: httpx.Client, deploy: Deploy, verdict: str, decision: str) -> None:
    deploy(reviewed())
    execution = send(api, "write", "Anna")
    (approval,) = pending(api)
    assert approval["content"] == "Dear Anna"
    assert approval["action_type"] == "reply"
    assert api.get(f"/v1/executions/{execution}").json()["reply"] is None
    api.post(f"/v1/approvals/{approval['id']}/{verdict}", json={"reason": "tone"}).raise_for_status()
    turn = finished(api, execution)
    assert turn["state"] == "completed"
    text = turn["reply"]["content"]["text"]
    assert text == "Dear Anna" if verdict == "grant" else "Dear Anna" not in text and "tone" in text
    types = [event.event_type for event in events_of(api, execution)]
    wanted = ["approval_requested", f"approval_{decision}"]
    wanted.append("action_dispatched" if verdict == "grant" else "action_failed")
    assert [found for found in types if found in {*wanted, "execution_completed"}] == [*wanted, "execution_completed"]
    completed = next(event for event in events_of(api, execution) if event.event_type == "execution_completed")
    assert completed.payload.get("approval") == (None if verdict == "grant" else "rejected")
    agrees(api, execution)


def test_who_may_decide_depends_on_what_is_asked(
    api: httpx.Client, deploy: Deploy, caxton_server: RunningServer, workspace: str
) -> None:
    deploy(guarded(mode="founder"))
    execution = send(api, "teller")
    (approval,) = pending(api)
    for role, status in (("viewer", 403), ("developer", 403), ("operator", 403)):
        key = api.post("/v1/keys", json={"name": role, "role": role}).json()["key"]
        with caxton_server.client(workspace, key=key) as client:
            answer = client.post(f"/v1/approvals/{approval['id']}/grant")
            assert answer.status_code == status, role
            assert client.get("/v1/approvals").json()["approvals"][0]["id"] == approval["id"]
    with caxton_server.client("elsewhere") as elsewhere:
        assert elsewhere.get(f"/v1/approvals/{approval['id']}").status_code == 404
        assert elsewhere.post(f"/v1/approvals/{approval['id']}/grant").status_code == 404
    assert api.post("/v1/approvals/ap_nope/grant").status_code == 404
    api.post(f"/v1/approvals/{approval['id']}/grant").raise_for_status()
    finished(api, execution)


def test_a_hand_over_waits_with_the_one_that_it_waits_for(api: httpx.Client, deploy: Deploy) -> None:
    """The wait counts neither as the agent's time nor as that of whoever asked it."""
    more = 'delegates = ["teller"]\n[limits]\ntime = "2s"\n'
    deploy({**guarded(), **agent("front", rules=hands_over("teller"), more=more)})
    execution = send(api, "front")
    (approval,) = pending(api)
    time.sleep(3)
    api.post(f"/v1/approvals/{approval['id']}/grant").raise_for_status()
    turn = finished(api, execution)
    assert turn["state"] == "completed", turn
    agrees(api, execution)


def test_cancelling_withdraws_what_waits(api: httpx.Client, deploy: Deploy) -> None:
    deploy(guarded())
    conversation = api.post("/v1/conversations", json={"capability": "teller"}).json()["id"]
    sent = api.post(f"/v1/conversations/{conversation}/messages", json={"content": "x"}, params={"wait": "false"})
    (approval,) = pending(api)
    api.post(f"/v1/conversations/{conversation}/cancel").raise_for_status()
    assert api.get(f"/v1/approvals/{approval['id']}").json()["state"] == "Withdrawn"
    execution = sent.json()["execution_id"]
    types = [event.event_type for event in events_of(api, execution)]
    assert "approval_withdrawn" in types
    assert types[-1] == "execution_failed"
    assert types.count("action_failed") == types.count("action_prepared")
    refused = api.post(f"/v1/approvals/{approval['id']}/grant")
    assert refused.status_code == 409
    agrees(api, execution)


def test_two_calls_of_one_step_wait_side_by_side(api: httpx.Client, deploy: Deploy) -> None:
    deploy(guarded())
    executions = [send(api, "teller") for _ in range(3)]
    waiting = pending(api, 3)
    for approval in waiting:
        api.post(f"/v1/approvals/{approval['id']}/grant").raise_for_status()
    for execution in executions:
        assert finished(api, execution)["state"] == "completed"
