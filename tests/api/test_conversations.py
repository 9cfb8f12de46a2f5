"""Conversations."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from temporalio.client import Client

from tests.api.conftest import Deploy
from tests.support.agents import agent, replies

HISTORY = replies("{{ history | length }} before: {{ request }}")


async def engine_of(api: httpx.Client) -> Client:
    engine = api.get("/v1/server").json()["engine"]
    return await Client.connect(engine["address"], namespace=engine["namespace"])


def start(api: httpx.Client, **body: object) -> str:
    started = api.post("/v1/conversations", json=body)
    assert started.status_code == 201, started.text
    return str(started.json()["id"])


def say(api: httpx.Client, conversation: str, text: str, key: str | None = None) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return api.post(f"/v1/conversations/{conversation}/messages", json={"content": text}, headers=headers)


def send(api: httpx.Client, conversation: str, text: str) -> httpx.Response:
    """Without waiting for the reply."""
    path = f"/v1/conversations/{conversation}/messages"
    return api.post(path, json={"content": text}, params={"wait": "false"})


def wait_for_state(api: httpx.Client, conversation: str, state: str, seconds: float = 20) -> dict[str, object]:
    deadline = time.monotonic() + seconds
    while True:
        found: dict[str, object] = api.get(f"/v1/conversations/{conversation}").json()
        if found["state"] == state or time.monotonic() > deadline:
            assert found["state"] == state
            return found
        time.sleep(0.05)


@pytest.mark.requirement("MSG-6")
def test_a_conversation_remembers(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("memo", rules=HISTORY))
    conversation = start(api, capability="memo", topic="tests")
    answers = [say(api, conversation, f"m{n}").json()["reply"]["content"]["text"] for n in range(3)]
    assert answers == ["0 before: m0", "2 before: m1", "4 before: m2"]
    listed = api.get(f"/v1/conversations/{conversation}/messages").json()["messages"]
    assert [message["content"]["text"] for message in listed][::2] == ["m0", "m1", "m2"]
    active = api.get("/v1/conversations", params={"active": "true", "agent": "memo"}).json()["conversations"]
    assert [found["id"] for found in active] == [conversation]
    assert len(api.get("/v1/messages", params={"agent": "memo"}).json()["messages"]) == 6


@pytest.mark.requirement("MSG-5")
def test_an_ended_conversation_takes_no_message(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("memo", rules=HISTORY))
    conversation = start(api, capability="memo")
    say(api, conversation, "hello")
    ended = api.post(f"/v1/conversations/{conversation}/end", json={"reason": "Completed"}).json()
    assert ended["state"] == "Completed"
    assert ended["end_reason"] == "Completed"
    refused = say(api, conversation, "more")
    assert refused.status_code == 409
    assert refused.json()["code"] == "conversation_closed"
    assert api.post(f"/v1/conversations/{conversation}/end", json={}).status_code == 409


@pytest.mark.requirement("MSG-5")
def test_a_silent_conversation_expires(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("memo", rules=HISTORY))
    conversation = start(api, capability="memo", idle_timeout=0.5)
    found = wait_for_state(api, conversation, "Expired")
    assert found["end_reason"] == "Timeout"


@pytest.mark.requirement("MSG-5")
def test_cancelling_ends_the_turn_in_hand(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("slow", rules=replies("done", delay=30)))
    conversation = start(api, capability="slow")
    sent = api.post(f"/v1/conversations/{conversation}/messages", json={"content": "x"}, params={"wait": "false"})
    assert sent.status_code == 202
    execution = sent.json()["execution_id"]
    deadline = time.monotonic() + 10
    while api.get(f"/v1/executions/{execution}").status_code != 200 and time.monotonic() < deadline:
        time.sleep(0.05)
    cancelled = api.post(f"/v1/conversations/{conversation}/cancel")
    assert cancelled.status_code == 200, cancelled.text
    assert cancelled.json()["end_reason"] == "Cancelled"
    turn = api.get(f"/v1/executions/{execution}").json()
    assert turn["state"] == "failed"
    assert turn["error"]["code"] == "execution_cancelled"


@pytest.mark.requirement("MSG-5")
def test_a_message_that_waits_for_its_turn_is_found_where_its_answer_says(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("slow", rules=replies("done", delay=2)))
    conversation = start(api, capability="slow")
    first, second, third = (send(api, conversation, text) for text in ("first", "second", "third"))
    assert {sent.status_code for sent in (first, second, third)} == {202}
    for sent in (second, third):
        found = api.get(sent.headers["Location"])
        assert found.status_code == 200, found.text
        assert (found.json()["state"], found.json()["execution_id"]) == ("running", sent.json()["execution_id"])
    path = f"/v1/executions/{third.json()['execution_id']}"
    assert api.get("/v1/executions/x_other").status_code == 404
    assert api.get(second.headers["Location"], headers={"X-Caxton-Workspace": "elsewhere"}).status_code == 404
    told = api.post(f"{path}/cancel")
    assert told.status_code == 200, told.text
    streamed = api.get(f"{path}/stream").text
    assert "execution_cancelled" in streamed
    assert api.get(second.headers["Location"]).json()["state"] == "completed"


@pytest.mark.requirement("MSG-3")
def test_messages_at_once_are_answered_one_after_another(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("memo", rules=HISTORY))
    conversation = start(api, capability="memo")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: say(api, conversation, f"m{n}").json(), range(8)))
    counts = sorted(int(answer["reply"]["content"]["text"].split()[0]) for answer in answers)
    assert counts == [0, 2, 4, 6, 8, 10, 12, 14]


@pytest.mark.requirement("MSG-8")
def test_a_message_sent_again_is_answered_once(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("memo", rules=HISTORY))
    conversation = start(api, capability="memo")
    first = say(api, conversation, "hello", key="k").json()
    assert say(api, conversation, "hello", key="k").json() == first
    assert say(api, conversation, "other", key="k").status_code == 409


def test_starting_again_with_the_same_key_finds_the_conversation(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("memo", rules=HISTORY))
    headers = {"Idempotency-Key": "start"}
    first = api.post("/v1/conversations", json={"capability": "memo"}, headers=headers).json()
    assert api.post("/v1/conversations", json={"capability": "memo"}, headers=headers).json()["id"] == first["id"]


@pytest.mark.requirement("MSG-1")
async def test_a_conversation_is_a_workflow_that_the_engine_shows(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("memo", rules=HISTORY))
    conversation = start(api, capability="memo")
    say(api, conversation, "hello")
    client = await engine_of(api)
    workspace = api.headers["X-Caxton-Workspace"]
    workflow_id = f"conversation/local/{workspace}/{conversation}"
    described = await client.get_workflow_handle(workflow_id).describe()
    assert await described.static_summary() == "conversation about memo"
    query = f'CaxtonWorkspace="{workspace}" AND CaxtonCapability="memo" AND CaxtonState="InProgress"'
    deadline = time.monotonic() + 10
    found: list[str] = []
    while not found and time.monotonic() < deadline:  # the engine's visibility follows its history
        found = [workflow.id async for workflow in client.list_workflows(query) if workflow.id == workflow_id]
    assert found == [workflow_id]


@pytest.mark.slow
@pytest.mark.requirement("MSG-9")
async def test_a_long_conversation_goes_on_in_short_histories(api: httpx.Client, deploy: Deploy) -> None:
    # A reply that takes a moment is nothing for the fast path: each turn is the workflow's.
    deploy(agent("memo", rules=f"delay = 0.001\n{HISTORY}", more="[limits]\nhistory = 4\n"))
    conversation = start(api, capability="memo")
    handle = (await engine_of(api)).get_workflow_handle(
        f"conversation/local/{api.headers['X-Caxton-Workspace']}/{conversation}"
    )
    runs = set[str]()
    for number in range(90):
        answer = say(api, conversation, f"m{number}").json()["reply"]["content"]["text"]
        assert answer == f"{min(4, 2 * number)} before: m{number}"
        if number % 10 == 0:
            described = await handle.describe()
            runs.add(described.run_id)
            assert described.history_length < 600
    assert len(runs) > 1, "its workflow began anew"
    assert api.get(f"/v1/conversations/{conversation}").json()["message_count"] == 180


def test_an_unknown_conversation_is_not_found(api: httpx.Client) -> None:
    assert api.get("/v1/conversations/c_nothing").status_code == 404
    assert say(api, "c_nothing", "x").status_code == 404


def test_a_turn_is_cancelled_alone_and_at_once(api: httpx.Client, deploy: Deploy) -> None:
    slow = "delay = 20\n[[rules]]\nwhen = { contains = 'slow' }\n[[rules.steps]]\nreply = 'too late'\n"
    deploy(
        {
            **agent("mixed", rules=slow + "[[rules]]\n[[rules.steps]]\nreply = 'quick'\n"),
            **agent("echo", rules=replies("hi")),
        }
    )
    conversation = api.post("/v1/conversations", json={"capability": "mixed"}).json()["id"]
    path = f"/v1/conversations/{conversation}/messages"
    running = api.post(path, json={"content": "slow"}, params={"wait": "false"}).json()["execution_id"]
    waiting = api.post(path, json={"content": "slow too"}, params={"wait": "false"}).json()["execution_id"]
    while api.get(f"/v1/executions/{running}").status_code != 200:
        time.sleep(0.05)
    started = time.monotonic()
    cancelled = api.post(f"/v1/executions/{running}/cancel")
    assert cancelled.status_code == 200, cancelled.text
    assert cancelled.json()["state"] == "failed"
    assert cancelled.json()["error"]["code"] == "execution_cancelled"
    assert time.monotonic() - started < 5
    shown = api.get(f"/v1/conversations/{conversation}").json()
    assert shown["state"] == "InProgress"
    while api.get(f"/v1/executions/{waiting}").status_code != 200:
        time.sleep(0.05)
    assert api.post(f"/v1/executions/{waiting}/cancel").json()["state"] == "failed"
    texts = [message["content"]["text"] for message in api.get(path).json()["messages"]]
    assert "too late" not in texts
    # Cancelled again, nothing changes; what never was is not found.
    assert api.post(f"/v1/executions/{running}/cancel").json()["state"] == "failed"
    assert api.post("/v1/executions/x_nope/cancel").status_code == 404
    assert api.get(f"/v1/executions/{running}/replay").json()["differences"] == []
    api.post(f"/v1/conversations/{conversation}/end", json={}).raise_for_status()
