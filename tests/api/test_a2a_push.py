"""Push notifications of the A2A protocol: receivers are told of what happens to a task, once and signed."""

import base64
import json
import uuid
from typing import Any

import httpx
import pytest
from a2a.types.a2a_pb2 import (
    DeleteTaskPushNotificationConfigRequest,
    GetTaskPushNotificationConfigRequest,
    ListTaskPushNotificationConfigsRequest,
    SendMessageConfiguration,
    TaskPushNotificationConfig,
)
from a2a.utils.errors import InvalidParamsError, TaskNotFoundError
from standardwebhooks.webhooks import Webhook

from tests.api.conftest import Deploy
from tests.api.test_a2a_face import message, rpc
from tests.api.test_approvals import guarded, pending
from tests.conftest import RunningServer
from tests.support.a2a import JSONRPC, REST, a2a_client, said, send
from tests.support.agents import agent, replies
from tests.support.stand_in import Remote
from tests.support.waiting import until

SECRET = "whsec_" + base64.b64encode(b"a secret of the client").decode()


class Receiver:
    """Receives the push notifications of one test."""

    def __init__(self, stand_in: Remote, *, refuses: int = 0) -> None:
        self._client = stand_in.client
        self.path = f"/pushed/{uuid.uuid4().hex[:8]}-refuse-{refuses}"
        self.url = f"{str(stand_in.client.base_url).rstrip('/')}{self.path}"

    def came(self) -> list[dict[str, Any]]:
        return self._client.get(self.path).json()

    def states(self) -> list[str]:
        return [json.loads(each["body"])["statusUpdate"]["status"]["state"] for each in self.came()]


@pytest.mark.requirement("FAC-2")
@pytest.mark.parametrize("binding", [JSONRPC, REST])
async def test_the_end_of_a_task_is_pushed_signed_and_once(
    caxton_server: RunningServer, workspace: str, deploy: Deploy, stand_in: Remote, binding: str
) -> None:
    deploy(agent("slow", rules=replies("done", delay=1)))
    receiver = Receiver(stand_in, refuses=1)
    config = TaskPushNotificationConfig(id="mine", url=receiver.url, token=SECRET)
    config.authentication.scheme, config.authentication.credentials = "Bearer", "of-the-receiver"
    wanted = SendMessageConfiguration(task_push_notification_config=config, return_immediately=True)
    async with a2a_client(caxton_server, workspace, "slow", binding=binding, streaming=False) as client:
        task = await send(client, said("x"), configuration=wanted)
        named = GetTaskPushNotificationConfigRequest(task_id=task.id, id="mine")
        known = await client.get_task_push_notification_config(named)
        assert (known.url, known.token, known.authentication.credentials) == (receiver.url, SECRET, "")
        until(lambda: receiver.states()[-1:] == ["TASK_STATE_COMPLETED"] and len(receiver.states()) > 1)
        first, second = receiver.came()[-2:]
        headers = second["headers"]
        assert headers["authorization"] == "Bearer of-the-receiver"
        assert headers["x-a2a-notification-token"] == SECRET
        assert headers["content-type"] == "application/a2a+json"
        assert first["headers"]["webhook-id"] == headers["webhook-id"], "a repetition has the same id"
        told = Webhook(SECRET).verify(second["body"], headers)
        assert told["statusUpdate"]["taskId"] == task.id
        every = ListTaskPushNotificationConfigsRequest(task_id=task.id)

        async def configs() -> list[TaskPushNotificationConfig]:
            return list((await client.list_task_push_notification_configs(every)).configs)

        for _ in range(100):
            if not await configs():
                break
        else:
            until(lambda: not rpc_configs(caxton_server, workspace, task.id))
        assert len(receiver.came()) == len({each["body"] for each in receiver.came()}) + 1


def rpc_configs(server: RunningServer, workspace: str, task_id: str) -> list[Any]:
    with server.client(workspace) as client:
        return rpc(client, "ListTaskPushNotificationConfigs", {"taskId": task_id})["result"]["configs"]


@pytest.mark.requirement("FAC-2")
async def test_that_a_person_has_to_decide_is_pushed_and_then_the_end(
    caxton_server: RunningServer, workspace: str, api: httpx.Client, deploy: Deploy, stand_in: Remote
) -> None:
    deploy(guarded())
    receiver, other = Receiver(stand_in), Receiver(stand_in)
    async with a2a_client(caxton_server, workspace, "teller", streaming=False, polling=True) as client:
        task = await send(client, said("x"))
        for each in (receiver, other):
            config = TaskPushNotificationConfig(task_id=task.id, url=each.url)
            made = await client.create_task_push_notification_config(config)
            assert made.id
        gone = DeleteTaskPushNotificationConfigRequest(task_id=task.id, id=made.id)
        await client.delete_task_push_notification_config(gone)
        await client.delete_task_push_notification_config(gone)
        with pytest.raises(TaskNotFoundError):
            await client.get_task_push_notification_config(
                GetTaskPushNotificationConfigRequest(task_id=task.id, id=made.id)
            )
        waiting = pending(api)[0]["id"]
        until(lambda: receiver.states()[-1:] == ["TASK_STATE_INPUT_REQUIRED"] or _waits(receiver, api))
        api.post(f"/v1/approvals/{waiting}/grant", json={}).raise_for_status()
        until(lambda: receiver.states()[-1:] == ["TASK_STATE_COMPLETED"])
        assert "TASK_STATE_COMPLETED" not in other.states()


def _waits(receiver: Receiver, api: httpx.Client) -> bool:
    """Whether the task waited for a person already when it was asked to tell: then there is nothing to tell."""
    return not receiver.came() and bool(pending(api))


@pytest.mark.requirement("FAC-2")
async def test_nothing_is_pushed_where_no_operator_lets_it(
    caxton_server: RunningServer, workspace: str, deploy: Deploy
) -> None:
    deploy(agent("echo", rules=replies("x")))
    async with a2a_client(caxton_server, workspace, "echo", streaming=False) as client:
        for url in (f"{caxton_server.url}/v1/agents", "http://example.com/x", "ftp://x", "https://user@example.com/"):
            wanted = SendMessageConfiguration(task_push_notification_config=TaskPushNotificationConfig(url=url))
            with pytest.raises(InvalidParamsError):
                await send(client, said("x"), configuration=wanted)
        with pytest.raises(TaskNotFoundError):
            await client.create_task_push_notification_config(
                TaskPushNotificationConfig(task_id="x_nothing", url="https://example.com/x")
            )


def test_a_token_is_told_to_nobody_else(
    caxton_server: RunningServer, workspace: str, api: httpx.Client, deploy: Deploy
) -> None:
    deploy(agent("slow", rules=replies("x", delay=20)))
    task = rpc(api, "SendMessage", {**message("x"), "configuration": {"returnImmediately": True}})["result"]["task"][
        "id"
    ]
    given = {"taskId": task, "id": "mine", "url": "https://client.example.com/", "token": SECRET}
    assert rpc(api, "CreateTaskPushNotificationConfig", given)["result"]["token"] == SECRET
    key = api.post("/v1/keys", json={"name": uuid.uuid4().hex[:12], "role": "developer"}).json()["key"]
    named = {"taskId": task, "id": "mine"}
    with caxton_server.client(workspace, key=key) as other:
        seen = rpc(other, "GetTaskPushNotificationConfig", named)["result"]
        every = rpc(other, "ListTaskPushNotificationConfigs", {"taskId": task})["result"]["configs"]
    assert [seen] == every
    assert SECRET not in str(seen), "whoever has it can sign deliveries"
    assert rpc(api, "GetTaskPushNotificationConfig", named)["result"]["token"] == SECRET
    rpc(api, "CancelTask", {"id": task})


def test_a_task_has_few_configurations(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("slow", rules=replies("x", delay=20)))
    params = {**message("x"), "configuration": {"returnImmediately": True}}
    task = rpc(api, "SendMessage", params)["result"]["task"]["id"]
    answers = [
        rpc(api, "CreateTaskPushNotificationConfig", {"taskId": task, "url": f"https://{number}.example.com/"})
        for number in range(11)
    ]
    assert ["error" in each for each in answers] == [False] * 10 + [True]
    rpc(api, "CancelTask", {"id": task})
