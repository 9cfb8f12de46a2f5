"""Deleting conversations, with all that they left."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from tests.api.conftest import Deploy
from tests.api.test_conversations import say, start
from tests.api.test_events import listed
from tests.api.test_memory import REMEMBERS, search
from tests.conftest import RunningServer
from tests.support.agents import agent, replies

SECRET = "the wedding is on the ninth"


def eventually(holds: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.1)


def end(api: httpx.Client, conversation: str) -> None:
    assert api.post(f"/v1/conversations/{conversation}/end", json={}).status_code == 200


def blob(server: RunningServer, digest: str) -> Path:
    return server.data_dir / "blobs" / "local" / digest[:2] / digest


def long_ago(path: Path) -> None:
    """As if the file had been stored an hour ago."""
    os.utime(path, (time.time() - 3600, time.time() - 3600))


@pytest.mark.requirement("EVT-9")
def test_a_conversation_is_deleted_with_all_that_was_said(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("echo", rules=replies("you said: {{ request }}")))
    conversation = start(api, capability="echo", topic=SECRET)
    turn = say(api, conversation, SECRET).json()
    other = start(api, capability="echo")
    say(api, other, "something else")
    refused = api.delete(f"/v1/conversations/{conversation}")
    assert (refused.status_code, refused.json()["code"]) == (409, "conversation_active")
    end(api, conversation)
    deleted = api.delete(f"/v1/conversations/{conversation}")
    assert deleted.status_code == 200, deleted.text
    assert deleted.json() == {"conversation_id": conversation, "messages": 2, "executions": 1, "complete": True}
    for path in (
        f"/v1/conversations/{conversation}",
        f"/v1/conversations/{conversation}/messages",
        f"/v1/executions/{turn['execution_id']}",
        f"/v1/executions/{turn['execution_id']}/contents",
    ):
        assert api.get(path).status_code == 404, path
    assert api.delete(f"/v1/conversations/{conversation}").status_code == 404
    assert say(api, conversation, "still there?").status_code == 404
    assert [each["id"] for each in api.get("/v1/conversations").json()["conversations"]] == [other]
    (told,) = listed(api, type="conversation_deleted")
    assert (told["conversation_id"], told["actor"]) == (conversation, "founder:admin")
    assert told["payload"]["messages"] == 2
    assert SECRET not in str(listed(api, limit=1000))
    trace = api.get(f"/v1/executions/{turn['execution_id']}/events").json()["events"]
    assert "execution_completed" in [event["event_type"] for event in trace], "the log tells that it was, not what"
    replayed = api.get(f"/v1/executions/{turn['execution_id']}/replay").json()
    assert (replayed["not_compared"], replayed["differences"]) == ("its conversation was deleted", [])


@pytest.mark.requirement("EVT-9")
def test_one_that_goes_on_is_cancelled_first(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("slow", rules=replies("done", delay=30)))
    conversation = start(api, capability="slow")
    path = f"/v1/conversations/{conversation}/messages"
    assert api.post(path, json={"content": "go"}, params={"wait": "false"}).status_code == 202
    deleted = api.delete(f"/v1/conversations/{conversation}", params={"cancel": "true"})
    assert deleted.status_code == 200, deleted.text
    assert api.get(f"/v1/conversations/{conversation}").status_code == 404
    told = [event["event_type"] for event in listed(api, conversation=conversation)]
    assert told.index("cancellation_requested") < told.index("conversation_ended") < told.index("conversation_deleted")


@pytest.mark.slow
@pytest.mark.requirement("EVT-9")
async def test_the_engine_has_no_workflow_of_it_any_more(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("echo", rules=replies("you said: {{ request }}")))
    conversation = start(api, capability="echo")
    say(api, conversation, "hello")
    end(api, conversation)
    engine = api.get("/v1/server").json()["engine"]
    client = await Client.connect(engine["address"], namespace=engine["namespace"])
    workflow = client.get_workflow_handle(f"conversation/local/{api.headers['X-Caxton-Workspace']}/{conversation}")
    await workflow.describe()
    assert api.delete(f"/v1/conversations/{conversation}").json()["complete"]

    async def is_gone() -> bool:
        try:
            await workflow.describe()
        except RPCError as error:
            return error.status is RPCStatusCode.NOT_FOUND
        return False

    until = time.monotonic() + 300
    while not await is_gone():  # the engine takes half a minute and more for one that has just ended
        assert time.monotonic() < until
        await asyncio.sleep(0.5)


@pytest.mark.requirement("EVT-9")
@pytest.mark.requirement("MEM-6")
def test_memories_that_were_made_from_it_go_and_others_stay(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("analyst", rules=replies("Sales grew 60 %"), more=REMEMBERS))
    turns = [
        api.post("/v1/messages", json={"capability": "analyst", "content": text}).json()
        for text in ("How did sales develop?", "What of the north?")
    ]
    eventually(lambda: len(listed(api, type="memory_stored")) == 2)
    assert api.delete(f"/v1/conversations/{turns[0]['conversation_id']}").json()["complete"]
    scope = {"kind": "agent", "owner": "analyst"}
    left = search(api, "sales", scopes=[scope])
    assert [each["entity"]["provenance"]["conversation_id"] for each in left] == [turns[1]["conversation_id"]]
    assert [event["payload"]["reason"] for event in listed(api, type="memory_purged")] == ["ConversationDeleted"]


@pytest.mark.requirement("EVT-9")
def test_content_goes_when_nobody_else_refers_to_it(
    api: httpx.Client, deploy: Deploy, caxton_server: RunningServer
) -> None:
    deploy(agent("echo", rules=replies("I heard you")))
    shared, own = "shared " * 20_000, "own " * 30_000
    conversations: list[str] = []
    digests: dict[str, str] = {}
    for text in (shared, own, shared):
        conversation = start(api, capability="echo")
        say(api, conversation, text)
        (asked, _) = api.get(f"/v1/conversations/{conversation}/messages").json()["messages"]
        digests[text] = asked["content"]["digest"]
        end(api, conversation)
        conversations.append(conversation)
    for digest in digests.values():
        long_ago(blob(caxton_server, digest))
    for conversation in conversations[:2]:
        assert api.delete(f"/v1/conversations/{conversation}").json()["complete"]
    assert not blob(caxton_server, digests[own]).exists()
    assert api.get(f"/v1/blobs/{digests[shared]}").status_code == 200
    assert api.delete(f"/v1/conversations/{conversations[2]}").json()["complete"]
    assert not blob(caxton_server, digests[shared]).exists()


@pytest.mark.requirement("EVT-9")
def test_content_that_was_stored_a_moment_ago_goes_later(
    api: httpx.Client, deploy: Deploy, caxton_server: RunningServer
) -> None:
    deploy(agent("echo", rules=replies("I heard you")))
    answer = api.post("/v1/messages", json={"capability": "echo", "content": "moment " * 20_000}).json()
    conversation = answer["conversation_id"]
    (asked, _) = api.get(f"/v1/conversations/{conversation}/messages").json()["messages"]
    deleted = api.delete(f"/v1/conversations/{conversation}").json()
    assert not deleted["complete"]
    assert blob(caxton_server, asked["content"]["digest"]).exists()
    assert api.get(f"/v1/blobs/{asked['content']['digest']}").status_code == 404, "nobody reads it meanwhile"


@pytest.mark.requirement("EVT-9")
def test_who_may_not_delete_is_refused(api: httpx.Client, deploy: Deploy, caxton_server: RunningServer) -> None:
    deploy(agent("echo", rules=replies("yes")))
    answer = api.post("/v1/messages", json={"capability": "echo", "content": "x"}).json()
    key = api.post("/v1/keys", json={"name": "dev", "role": "developer"}).json()["key"]
    with caxton_server.client(api.headers["X-Caxton-Workspace"], key=key) as developer:
        assert developer.delete(f"/v1/conversations/{answer['conversation_id']}").status_code == 403
    with caxton_server.client("another-one") as elsewhere:
        assert elsewhere.delete(f"/v1/conversations/{answer['conversation_id']}").status_code == 404
    assert api.get(f"/v1/executions/{answer['execution_id']}").status_code == 200
