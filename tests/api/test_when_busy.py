"""A message into a conversation that is at work: it waits, is refused, interrupts, or replaces what came before."""

import time
from typing import Any

import httpx
import pytest

from tests.api.conftest import Deploy
from tests.api.test_conversation_order import SLOW_OR_QUICK, texts
from tests.api.test_conversations import send, start
from tests.conftest import RunningServer
from tests.support.agents import agent, replies

pytestmark = pytest.mark.requirement("MSG-10")


def workers(when_busy: str | None = None) -> dict[str, str | bytes]:
    """An agent that takes a minute for what is slow, and answers all else at once."""
    offered = None if when_busy is None else f'[{{ name = "mixed", when_busy = "{when_busy}" }}]'
    mixed = agent("mixed", capabilities=offered, rules=SLOW_OR_QUICK, more='delegates = ["sleeper"]\n')
    return {**mixed, **agent("sleeper", rules=replies("slept", delay=60))}


def write(api: httpx.Client, conversation: str, text: str, when_busy: str | None = None, **more: Any) -> httpx.Response:
    body = {"content": text, "when_busy": when_busy}
    return api.post(f"/v1/conversations/{conversation}/messages", json=body, timeout=30, **more)


def begin_slow(api: httpx.Client, conversation: str) -> str:
    """A turn that is at work, as its execution's id."""
    execution = str(send(api, conversation, "slow").json()["execution_id"])
    deadline = time.monotonic() + 20
    while "action_prepared" not in types_of(api, execution):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return execution


def types_of(api: httpx.Client, execution: str) -> list[str]:
    return [event["event_type"] for event in api.get(f"/v1/executions/{execution}/events").json()["events"]]


def code_of(api: httpx.Client, execution: str) -> str:
    turn = api.get(f"/v1/executions/{execution}").json()
    assert turn["state"] == "failed"
    return str(turn["error"]["code"])


def test_a_message_waits_unless_somebody_says_otherwise(api: httpx.Client, deploy: Deploy) -> None:
    deploy(workers())
    conversation = start(api, capability="mixed")
    slow = begin_slow(api, conversation)
    waiting = send(api, conversation, "quick").json()["execution_id"]
    time.sleep(0.5)
    assert api.get(f"/v1/executions/{waiting}").json()["state"] == "running"
    api.post(f"/v1/executions/{slow}/cancel").raise_for_status()
    assert texts(api, conversation, 4)[2:] == ["quick", "1 before: quick"]


def test_reject_refuses_while_the_conversation_is_at_work(api: httpx.Client, deploy: Deploy) -> None:
    deploy(workers())
    conversation = start(api, capability="mixed")
    slow = begin_slow(api, conversation)
    refused = write(api, conversation, "quick", "reject")
    assert (refused.status_code, refused.json()["code"]) == (409, "conversation_busy")
    assert "enqueue" in str(refused.json()["hints"])
    assert api.get(f"/v1/executions/{slow}").json()["state"] == "running"
    api.post(f"/v1/executions/{slow}/cancel").raise_for_status()
    deadline = time.monotonic() + 10
    while (answered := write(api, conversation, "quick", "reject")).status_code == 409:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert answered.json()["reply"]["content"]["text"] == "1 before: quick"


@pytest.mark.parametrize(
    ("how", "code", "before"), [("interrupt", "execution_interrupted", 2), ("replace", "execution_replaced", 0)]
)
def test_a_message_comes_before_what_is_at_work(
    api: httpx.Client, deploy: Deploy, how: str, code: str, before: int
) -> None:
    deploy(workers())
    conversation = start(api, capability="mixed")
    slow = begin_slow(api, conversation)
    waiting = send(api, conversation, "slow too").json()["execution_id"]
    began = time.monotonic()
    answered = write(api, conversation, "quick", how, headers={"Idempotency-Key": f"once-{conversation}"})
    assert answered.status_code == 200, answered.text
    assert time.monotonic() - began < 10
    assert answered.json()["reply"]["content"]["text"] == f"{before} before: quick"
    assert [code_of(api, execution) for execution in (slow, waiting)] == [code, code]
    (told,) = [
        event["payload"]
        for event in api.get(f"/v1/executions/{slow}/events").json()["events"]
        if event["event_type"] == "cancellation_requested"
    ]
    assert (told["how"], told["by_message"]) == (how, answered.json()["reply"]["reply_to"])
    again = write(api, conversation, "quick", how, headers={"Idempotency-Key": f"once-{conversation}"})
    assert again.json()["execution_id"] == answered.json()["execution_id"]
    said = texts(api, conversation, 6)
    assert said[0] == "slow"
    assert said[-2:] == ["quick", f"{before} before: quick"]
    after = write(api, conversation, "and now").json()["reply"]["content"]["text"]
    assert after == f"{before + 2} before: and now"
    for execution in (slow, waiting, answered.json()["execution_id"]):
        assert api.get(f"/v1/executions/{execution}/replay").json()["differences"] == []


def test_a_capability_says_what_happens_and_a_message_may_say_otherwise(api: httpx.Client, deploy: Deploy) -> None:
    deploy(workers("interrupt"))
    conversation = start(api, capability="mixed")
    slow = begin_slow(api, conversation)
    refused = write(api, conversation, "quick", "reject")
    assert refused.status_code == 409
    answered = write(api, conversation, "quick")
    assert answered.json()["reply"]["content"]["text"] == "1 before: quick"
    assert code_of(api, slow) == "execution_interrupted"


def test_an_idle_conversation_answers_at_once_whatever_is_said(api: httpx.Client, deploy: Deploy) -> None:
    deploy(workers())
    conversation = start(api, capability="mixed")
    for number, how in enumerate(("enqueue", "reject", "interrupt", "replace")):
        answered = write(api, conversation, "quick", how)
        assert answered.json()["reply"]["content"]["text"] == f"{2 * number} before: quick"


def test_an_unknown_way_is_refused(api: httpx.Client, deploy: Deploy) -> None:
    deploy(workers())
    conversation = start(api, capability="mixed")
    refused = write(api, conversation, "quick", "interupt")
    assert refused.status_code == 400
    assert "enqueue" in refused.text


@pytest.mark.requirement("SEC-1")
@pytest.mark.parametrize("how", ["interrupt", "replace"])
def test_who_may_not_cancel_ends_nobodys_work(
    api: httpx.Client, deploy: Deploy, caxton_server: RunningServer, workspace: str, how: str
) -> None:
    deploy(workers())
    conversation = start(api, capability="mixed")
    slow = begin_slow(api, conversation)
    role = f"sender-{workspace}"
    assert api.put(f"/v1/roles/{role}", json={"permissions": ["messages:send"]}).status_code == 200
    made = api.post("/v1/keys", json={"name": f"sender-{workspace}", "role": role}).raise_for_status().json()
    with caxton_server.client(workspace, key=made["key"]) as sender:
        for params in ({}, {"wait": "false"}):
            refused = write(sender, conversation, "quick", how, params=params)
            assert (refused.status_code, refused.json()["details"]["needed"]) == (403, "conversations:end")
        assert write(sender, conversation, "quick", "reject").status_code == 409
    assert api.get(f"/v1/executions/{slow}").json()["state"] == "running"
    api.post(f"/v1/executions/{slow}/cancel").raise_for_status()
