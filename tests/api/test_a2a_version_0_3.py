"""Clients of version 0.3 of the A2A protocol are answered in it."""

import httpx
import pytest
from a2a.client import Client, ClientConfig, ClientFactory
from a2a.types.a2a_pb2 import (
    AgentCard,
    CancelTaskRequest,
    GetTaskRequest,
    SendMessageConfiguration,
    SubscribeToTaskRequest,
    TaskState,
)
from a2a.utils.errors import TaskNotFoundError
from google.protobuf.json_format import ParseDict

from tests.api.conftest import Deploy
from tests.api.test_a2a_face import rpc, thinker, typed
from tests.conftest import RunningServer
from tests.support.a2a import JSONRPC, REST, events, plain, said, send, streamed_text, with_data
from tests.support.agents import agent, replies
from tests.support.stand_in import Answer, Remote


@pytest.mark.requirement("FAC-2")
async def test_a_client_of_version_0_3_is_answered_in_it(
    caxton_server: RunningServer, workspace: str, api: httpx.Client, deploy: Deploy
) -> None:
    deploy(agent("echo", rules=replies("you said: {{ request }}")))
    old = {"messageId": "m1", "role": "user", "kind": "message", "parts": [{"kind": "text", "text": "hi"}]}
    task = rpc(api, "message/send", {"message": old}, target="/echo")["result"]
    assert (task["kind"], task["status"]["state"]) == ("task", "completed")
    assert task["artifacts"][0]["parts"] == [{"kind": "text", "text": "you said: hi"}]
    assert (task["history"][0]["role"], task["history"][0]["kind"]) == ("user", "message")
    assert rpc(api, "tasks/get", {"id": task["id"]})["result"]["id"] == task["id"]
    assert rpc(api, "message/send", {"message": old}, **{"A2A-Version": "1.0"})["error"]["code"] == -32601
    card = api.get("/a2a/v1/echo/.well-known/agent-card.json", headers={"A2A-Version": "0.3"}).json()
    assert (card["protocolVersion"], card["preferredTransport"]) == ("0.3.0", "JSONRPC")
    places = {each["transport"]: each["url"] for each in card["additionalInterfaces"]}
    assert {name: url.removeprefix(caxton_server.url) for name, url in places.items()} == {
        "JSONRPC": "/a2a/v1/echo",
        "HTTP+JSON": "/a2a/v0.3/echo",
    }

    # The official client falls back to 0.3 where a card says no more.
    headers = {"Authorization": f"Bearer {caxton_server.api_key}", "X-Caxton-Workspace": workspace}
    async with httpx.AsyncClient(headers=headers, timeout=60, trust_env=False) as http:
        from a2a.client.card_resolver import parse_agent_card

        client = ClientFactory(ClientConfig(httpx_client=http)).create(parse_agent_card(card))
        found = await events(client, said("old"))
        assert streamed_text(found) == "you said: old"
        assert found[-1].status_update.status.state == TaskState.TASK_STATE_COMPLETED


@pytest.mark.requirement("FAC-2")
@pytest.mark.parametrize("binding", [JSONRPC, REST])
async def test_the_official_client_of_version_0_3_is_answered_in_it(
    caxton_server: RunningServer, workspace: str, deploy: Deploy, stand_in: Remote, binding: str
) -> None:
    deploy({**typed(), **thinker(stand_in), **agent("slow", rules=replies("done", delay=20))})
    headers = {"Authorization": f"Bearer {caxton_server.api_key}", "X-Caxton-Workspace": workspace}
    async with httpx.AsyncClient(headers=headers, timeout=60, trust_env=False) as http:

        async def client_of(target: str, *, streaming: bool) -> Client:
            """One that knows the older interface alone."""
            address = f"{caxton_server.url}/a2a/v1/{target}/.well-known/agent-card.json"
            card = ParseDict((await http.get(address)).json(), AgentCard())
            kept = [each for each in card.supported_interfaces if each.protocol_version == "0.3"]
            del card.supported_interfaces[:]
            card.supported_interfaces.extend(kept)
            config = ClientConfig(httpx_client=http, supported_protocol_bindings=[binding], streaming=streaming)
            return ClientFactory(config).create(card)

        pricer = await client_of("price", streaming=False)
        task = await send(pricer, with_data({"item": "a pen"}))
        assert task.status.state == TaskState.TASK_STATE_COMPLETED
        [made] = task.artifacts
        assert plain(made.parts[0])["data"] == {"total": 12}
        assert (await pricer.get_task(GetTaskRequest(id=task.id))).id == task.id
        with pytest.raises(TaskNotFoundError if binding == JSONRPC else Exception):
            await pricer.get_task(GetTaskRequest(id="x_nothing"))

        stand_in.answer(Answer(text="one two three four", chunks=4, took=0.5))
        told = await events(await client_of("think", streaming=True), said("count"))
        assert streamed_text(told) == "one two three four"
        assert told[-1].status_update.status.state == TaskState.TASK_STATE_COMPLETED

        slow = await client_of("slow", streaming=False)
        begun = await send(slow, said("x"), configuration=SendMessageConfiguration(return_immediately=True))
        assert begun.status.state in (TaskState.TASK_STATE_SUBMITTED, TaskState.TASK_STATE_WORKING)
        following = (await client_of("slow", streaming=True)).subscribe(SubscribeToTaskRequest(id=begun.id))
        assert (await anext(following)).task.id == begun.id
        ended = await slow.cancel_task(CancelTaskRequest(id=begun.id))
        assert ended.status.state == TaskState.TASK_STATE_CANCELED
        assert [each async for each in following][-1].status_update.status.state == TaskState.TASK_STATE_CANCELED
        odd = await http.post(f"{caxton_server.url}/a2a/v0.3/v1/nothing", json={})
        assert (odd.status_code, odd.json()["error"]["details"][0]["reason"]) == (404, "METHOD_NOT_FOUND")
