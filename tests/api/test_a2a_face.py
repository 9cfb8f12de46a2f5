"""Any client of the A2A protocol talks to agents: tried with the official one, over both bindings."""

import base64
import json
import uuid
from typing import Any

import httpx
import pytest
from a2a.client import ClientCallContext
from a2a.types.a2a_pb2 import (
    CancelTaskRequest,
    GetExtendedAgentCardRequest,
    GetTaskRequest,
    ListTasksRequest,
    SendMessageConfiguration,
    SubscribeToTaskRequest,
    TaskState,
)
from a2a.utils.errors import (
    InvalidParamsError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)

from tests.api.conftest import Deploy
from tests.api.test_approvals import guarded, pending
from tests.conftest import RunningServer
from tests.support.a2a import (
    EXTENSION,
    JSONRPC,
    REST,
    a2a_client,
    events,
    plain,
    said,
    send,
    streamed_text,
    text_of,
    with_data,
)
from tests.support.a2a_tck import agents
from tests.support.agents import agent, hands_over, replies
from tests.support.stand_in import Answer, Remote
from tests.support.waiting import until

BINDINGS = pytest.mark.parametrize("binding", [JSONRPC, REST])

ORDER = """
input = { type = "object", required = ["item"], properties = { item = { type = "string" } }, additionalProperties = false }
output = { type = "object", required = ["total"], properties = { total = { type = "number", minimum = 0.5 } } }
"""


def typed() -> dict[str, str | bytes]:
    """An agent that takes and brings an object."""
    tables = ORDER.strip().splitlines()
    offered = f'[{{ name = "price", description = "Prices an order.", {", ".join(tables)} }}]'
    return agent("pricer", capabilities=offered, rules=replies('{"total": 12}'))


def thinker(stand_in: Remote) -> dict[str, str | bytes]:
    """An agent with a model at the stand-in."""
    definition = f'name = "thinker"\nversion = "1.0.0"\ncapabilities = ["think"]\nmodel = "{stand_in.model}"\n'
    return {"agents/thinker.toml": definition + 'system_prompt = "You think."\n'}


def rpc(api: httpx.Client, method: str, params: Any = None, target: str = "", **headers: str) -> dict[str, Any]:
    """One JSON-RPC request, by hand."""
    body: dict[str, Any] = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params or {}}
    answer = api.post(f"/a2a/v1{target}", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.json()["id"] == 7
    return answer.json()


def message(text: str, **more: Any) -> dict[str, Any]:
    return {"message": {"messageId": uuid.uuid4().hex, "role": "ROLE_USER", "parts": [{"text": text}], **more}}


@pytest.mark.requirement("FAC-2")
@BINDINGS
async def test_a_capability_answers_a_message(
    caxton_server: RunningServer, workspace: str, api: httpx.Client, deploy: Deploy, binding: str
) -> None:
    deploy(agent("echo", rules=replies("you said: {{ request }}")))
    async with a2a_client(caxton_server, workspace, "echo", binding=binding, streaming=False) as client:
        task = await send(client, said("hello"))
        assert task.status.state == TaskState.TASK_STATE_COMPLETED
        assert text_of(task) == "you said: hello"
        assert task.history[0].parts[0].text == "hello"
        turn = api.get(f"/v1/executions/{task.id}").json()
        assert (turn["state"], turn["conversation_id"]) == ("completed", task.context_id)
        again = await client.get_task(GetTaskRequest(id=task.id, history_length=0))
        assert text_of(again) == "you said: hello"
        assert not again.history
        second = await send(client, said("and", context_id=task.context_id))
        assert (second.context_id, second.id != task.id) == (task.context_id, True)
        with pytest.raises(TaskNotFoundError):
            await client.get_task(GetTaskRequest(id="x_nothing"))
        with pytest.raises(TaskNotCancelableError):
            await client.cancel_task(CancelTaskRequest(id=task.id))
        with pytest.raises(UnsupportedOperationError):
            await send(client, said("more", task_id=task.id))


@pytest.mark.requirement("FAC-2")
@BINDINGS
async def test_a_stream_has_the_task_then_the_text_as_it_is_made_then_the_end(
    caxton_server: RunningServer, workspace: str, deploy: Deploy, stand_in: Remote, binding: str
) -> None:
    deploy(thinker(stand_in))
    stand_in.answer(Answer(text="one two three four five six", delay=0.3, took=0.3, chunks=6))
    async with a2a_client(caxton_server, workspace, "think", binding=binding) as client:
        found = await events(client, said("count"))
    assert found[0].HasField("task")
    assert found[0].task.status.state in (TaskState.TASK_STATE_SUBMITTED, TaskState.TASK_STATE_WORKING)
    pieces = [each for each in found if each.HasField("artifact_update")]
    assert len(pieces) > 2
    assert streamed_text(found) == "one two three four five six"
    assert pieces[-1].artifact_update.last_chunk
    assert found[-1].status_update.status.state == TaskState.TASK_STATE_COMPLETED
    assert all(not each.HasField("message") for each in found)


@pytest.mark.requirement("FAC-2")
async def test_what_is_said_in_vain_is_taken_back(
    caxton_server: RunningServer, workspace: str, deploy: Deploy, stand_in: Remote
) -> None:
    deploy(thinker(stand_in))
    stand_in.answer(Answer(text="a first attempt of it", chunks=6, took=0.3, cut_after=3), Answer(text="the second"))
    async with a2a_client(caxton_server, workspace, "think") as client:
        found = await events(client, said("say"))
    assert streamed_text(found) == "the second"
    assert found[-1].status_update.status.state == TaskState.TASK_STATE_COMPLETED


@pytest.mark.requirement("FAC-2")
async def test_a_dropped_stream_resumes_behind_its_last_event(
    caxton_server: RunningServer, workspace: str, deploy: Deploy
) -> None:
    more = 'delegates = ["back"]\n'
    deploy({**agent("front", rules=hands_over("back"), more=more), **agent("back", rules=replies("done", delay=0.4))})
    context = ClientCallContext(service_parameters={"A2A-Extensions": EXTENSION})
    async with a2a_client(caxton_server, workspace, "front") as client:
        whole = [plain(each) for each in await events(client, said("x"), context)]
        task_id = whole[0]["task"]["id"]
        told = [next(iter(each.values()))["metadata"][EXTENSION] for each in whole[1:]]
        numbers = [each["sequence"] for each in told]
        assert numbers == sorted(numbers)
        assert numbers[0] == 1
        cut = 2
        resumed = ClientCallContext(
            service_parameters={"A2A-Extensions": EXTENSION, "Last-Event-ID": told[cut]["position"]}
        )
        request = SubscribeToTaskRequest(id=task_id)
        rest = [plain(each) async for each in client.subscribe(request, context=resumed)]
        assert rest[0]["task"]["status"]["state"] == "TASK_STATE_COMPLETED"
        steps = [[each for each in found if "statusUpdate" in each] for found in (rest, whole[cut + 2 :])]
        assert steps[0] == steps[1], "the same events, with the same numbers, replayed from the store"
        [reply] = [each["artifactUpdate"] for each in rest if "artifactUpdate" in each]
        assert reply["artifact"]["parts"][0]["text"] == "done", "what came in pieces comes whole"
        with pytest.raises(UnsupportedOperationError):
            [each async for each in client.subscribe(request)]


@pytest.mark.requirement("FAC-2")
@BINDINGS
async def test_a_task_at_work_is_subscribed_to_listed_and_cancelled(
    caxton_server: RunningServer, workspace: str, deploy: Deploy, binding: str
) -> None:
    deploy({**agent("slow", rules=replies("late", delay=60)), **agent("echo", rules=replies("x"))})
    async with (
        a2a_client(caxton_server, workspace, "slow", binding=binding, streaming=False, polling=True) as client,
        a2a_client(caxton_server, workspace, "slow", binding=binding) as listener,
    ):
        task = await send(client, said("hurry"))
        assert task.status.state in (TaskState.TASK_STATE_SUBMITTED, TaskState.TASK_STATE_WORKING)
        stream = listener.subscribe(SubscribeToTaskRequest(id=task.id))
        first = await anext(stream)
        assert first.task.id == task.id
        working = ListTasksRequest(status=TaskState.TASK_STATE_WORKING)
        async with a2a_client(caxton_server, workspace, "echo", binding=binding, streaming=False) as other:
            done = [(await send(other, said(f"{number}"))).id for number in range(3)]
            listed = await other.list_tasks(working)
            assert [each.id for each in listed.tasks] == [task.id]
        everything = await client.list_tasks(ListTasksRequest(page_size=2))
        assert (everything.total_size, everything.page_size, len(everything.tasks)) == (4, 2, 2)
        assert [each.id for each in everything.tasks] == [done[2], done[1]]
        more = await client.list_tasks(ListTasksRequest(page_size=2, page_token=everything.next_page_token))
        assert [each.id for each in more.tasks] == [done[0], task.id]
        assert (more.next_page_token, more.tasks[0].artifacts) == ("", [])
        listed = await client.list_tasks(ListTasksRequest(context_id=task.context_id, include_artifacts=True))
        assert [each.id for each in listed.tasks] == [task.id]
        canceled = await client.cancel_task(CancelTaskRequest(id=task.id))
        assert canceled.status.state == TaskState.TASK_STATE_CANCELED
        last = [each async for each in stream][-1]
        assert last.status_update.status.state == TaskState.TASK_STATE_CANCELED
        listed = await client.list_tasks(ListTasksRequest(status=TaskState.TASK_STATE_CANCELED))
        assert [each.id for each in listed.tasks] == [task.id]
        assert not (await client.list_tasks(ListTasksRequest(status=TaskState.TASK_STATE_FAILED))).tasks


@pytest.mark.requirement("FAC-2")
async def test_a_message_that_is_sent_again_is_answered_once(
    caxton_server: RunningServer, workspace: str, api: httpx.Client, deploy: Deploy
) -> None:
    deploy(agent("echo", rules=replies("you said: {{ request }}")))
    async with a2a_client(caxton_server, workspace, "echo", streaming=False) as client:
        tasks = [await send(client, said("once", message_id="one")) for _ in range(3)]
        assert len({task.id for task in tasks}) == 1
        inside = [await send(client, said("two", message_id="2", context_id=tasks[0].context_id)) for _ in range(2)]
        assert inside[0].id == inside[1].id != tasks[0].id
        other = await send(client, said("another", message_id="one"))
        assert other.id != tasks[0].id, "another message under the id of one is another message"
        assert text_of(other) == "you said: another"
        key = api.post("/v1/keys", json={"name": f"other-{workspace}", "role": "developer"}).json()["key"]
    async with a2a_client(caxton_server, workspace, "echo", key=key, streaming=False) as other:
        theirs = await send(other, said("once", message_id="one"))
        assert theirs.id != tasks[0].id, "ids of messages are those of each client"


@pytest.mark.requirement("FAC-2")
@pytest.mark.requirement("RTE-9")
async def test_a_typed_capability_takes_and_brings_data(
    caxton_server: RunningServer, workspace: str, deploy: Deploy
) -> None:
    deploy(typed())
    async with a2a_client(caxton_server, workspace, "price", streaming=False) as client:
        task = await send(client, with_data({"item": "book"}))
        [part] = task.artifacts[0].parts
        assert plain(part) == {"data": {"total": 12.0}, "mediaType": "application/json"}
        only_text = SendMessageConfiguration(accepted_output_modes=["text/plain"])
        task = await send(client, with_data({"item": "book"}), configuration=only_text)
        assert json.loads(text_of(task)) == {"total": 12}
        with pytest.raises(InvalidParamsError):
            await send(client, with_data({"thing": "book"}))
        card = await client.get_extended_agent_card(GetExtendedAgentCardRequest())
        [skill] = card.skills
        assert list(skill.input_modes) == list(skill.output_modes) == ["application/json"]
        [extension] = card.capabilities.extensions
        assert plain(extension)["params"]["schemas"]["price"]["input"]["required"] == ["item"]


def test_violations_of_a_schema_are_told_by_their_field(api: httpx.Client, deploy: Deploy) -> None:
    deploy(typed())
    error = rpc(api, "SendMessage", message('{"item": 1}'), target="/price")["error"]
    assert error["code"] == -32602
    [wrong] = [each for each in error["data"] if each["@type"].endswith("BadRequest")]
    assert wrong["fieldViolations"][0]["field"] == "/item"


@pytest.mark.requirement("FAC-2")
@pytest.mark.requirement("FAC-9")
async def test_an_approval_is_decided_by_a_message(
    caxton_server: RunningServer, workspace: str, api: httpx.Client, deploy: Deploy
) -> None:
    deploy(guarded())
    key = api.post("/v1/keys", json={"name": f"judge-{workspace}", "role": "approver"}).json()["key"]
    sender = api.post("/v1/keys", json={"name": f"asks-{workspace}", "role": "developer"}).json()["key"]
    async with (
        a2a_client(caxton_server, workspace, "teller", key=sender) as client,
        a2a_client(caxton_server, workspace, "teller", key=key, streaming=False) as judge,
    ):
        found = await events(client, said("x"))
        waiting = found[-1].status_update
        assert waiting.status.state == TaskState.TASK_STATE_INPUT_REQUIRED
        asked = plain(waiting.status.message.parts[1])["data"]
        assert (asked["action"], asked["content"]) == ("wire-money hostile.ok", "{}")
        assert [each["id"] for each in pending(api)] == [asked["approvalId"]], "the same approval as over REST"
        task_id = waiting.task_id
        listed = await judge.list_tasks(ListTasksRequest(status=TaskState.TASK_STATE_INPUT_REQUIRED))
        assert [each.id for each in listed.tasks] == [task_id]
        refused = rpc_error(caxton_server, workspace, sender, message("approve", taskId=task_id))
        assert refused["code"] == -32600
        assert "approvals:decide" in refused["message"]
        with pytest.raises(InvalidParamsError, match="does not say"):
            await send(judge, said("maybe", task_id=task_id))
        with pytest.raises(InvalidParamsError, match="a reason has 2000 characters at most"):
            await send(judge, said(f"approve{' ' * 3_000_000}so", task_id=task_id))
        with pytest.raises(InvalidParamsError, match="contextId"):
            await send(judge, said("approve", task_id=task_id, context_id="c_other"))
        stream = client.subscribe(SubscribeToTaskRequest(id=task_id))
        first = await anext(stream)
        assert first.task.status.state == TaskState.TASK_STATE_INPUT_REQUIRED
        decision = {"decision": "approve", "reason": "fine", "approvalId": asked["approvalId"]}
        task = await send(judge, with_data(decision, task_id=task_id))
        assert task.status.state == TaskState.TASK_STATE_COMPLETED
        assert [each async for each in stream][-1].status_update.status.state == TaskState.TASK_STATE_COMPLETED
        decided = api.get(f"/v1/approvals/{asked['approvalId']}").json()
        assert (decided["state"], decided["reason"]) == ("Granted", "fine")
        again = await send(judge, with_data(decision, task_id=task_id))
        assert again.status.state == TaskState.TASK_STATE_COMPLETED, "the same decision again changes nothing"


@pytest.mark.requirement("FAC-2")
@pytest.mark.parametrize("target", ["/echo", "/front", "/agent:echo", "/price"])
def test_a_task_is_the_same_when_it_is_answered_and_when_it_is_got(
    api: httpx.Client, deploy: Deploy, target: str
) -> None:
    front = agent("front", rules=hands_over("echo"), more='delegates = ["echo"]\n')
    deploy({**typed(), **front, **agent("echo", rules=replies("you said: {{ request }}"))})
    said = message('{"item": "pen"}' if target == "/price" else "hello")
    done = rpc(api, "SendMessage", said, target)["result"]["task"]
    assert done["status"]["state"] == "TASK_STATE_COMPLETED"
    assert rpc(api, "GetTask", {"id": done["id"]})["result"] == done
    assert rpc(api, "SendMessage", said, target)["result"]["task"] == done


def rpc_error(server: RunningServer, workspace: str, key: str, params: dict[str, Any]) -> dict[str, Any]:
    with server.client(workspace, key=key) as client:
        return rpc(client, "SendMessage", params)["error"]


@pytest.mark.requirement("FAC-9")
async def test_a_rejection_is_told_and_four_eyes_hold(
    caxton_server: RunningServer, workspace: str, api: httpx.Client, deploy: Deploy
) -> None:
    files = guarded()
    files["agents/teller.toml"] = str(files["agents/teller.toml"]) + "four_eyes = true\n"
    deploy(files)
    async with a2a_client(caxton_server, workspace, "teller", streaming=False) as client:
        task = await send(client, said("x"))
        assert task.status.state == TaskState.TASK_STATE_INPUT_REQUIRED
        with pytest.raises(Exception, match="four eyes"):
            await send(client, said("yes", task_id=task.id))
        assert len(pending(api)) == 1
        done = await send(client, said("reject: too dear", task_id=task.id))
        assert done.status.state in (TaskState.TASK_STATE_COMPLETED, TaskState.TASK_STATE_REJECTED)
        [approval] = api.get("/v1/approvals").json()["approvals"]
        assert (approval["state"], approval["reason"]) == ("Rejected", "too dear")


def test_a_message_names_its_skill_where_there_are_several(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("echo", rules=replies("you said: {{ request }}")))
    done = rpc(api, "SendMessage", message("alone"))["result"]["task"]
    assert done["artifacts"][0]["parts"][0]["text"] == "you said: alone"
    deploy({**agent("echo", rules=replies("x")), **agent("other", rules=replies("y"))})
    told = rpc(api, "SendMessage", message("which"))["error"]
    assert "echo" in json.dumps(told["data"])
    for params in (message("x", metadata={"skill": "other"}), {**message("x"), "tenant": "agent:other"}):
        done = rpc(api, "SendMessage", params)["result"]["task"]
        assert done["artifacts"][0]["parts"][0]["text"] == "y"


@pytest.mark.requirement("FAC-2")
def test_a_client_that_ends_addresses_with_a_slash_is_answered(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("echo", rules=replies("you said: {{ request }}")))
    for target in ("/", "/echo/"):
        assert rpc(api, "SendMessage", message("x"), target)["result"]["task"]["status"]["state"].endswith("COMPLETED")
        assert rpc(api, "GetTask", {"id": "x_nothing"}, target)["error"]["code"] == -32001


@pytest.mark.requirement("FAC-2", "MSG-12")
def test_an_agent_may_have_nothing_to_say_beside_its_files(api: httpx.Client, deploy: Deploy) -> None:
    files = agents()
    deploy({path: text for path, text in files.items() if "file" in path or "printer" in path})
    done = api.post("/a2a/v1/file/message:send", json=message("print it")).json()["task"]
    [made] = done["artifacts"]
    assert made["parts"][0]["filename"] == "output.txt"
    assert made["parts"][0]["mediaType"] == "text/plain"
    assert {name.isalpha() for name in done["metadata"][EXTENSION]["usage"]} == {True}, "names are in camel case"


def test_errors_have_the_form_of_each_binding(api: httpx.Client, caxton_server: RunningServer) -> None:
    missing = api.get("/a2a/v1/tasks/x_nothing")
    assert (missing.status_code, missing.headers["content-type"]) == (404, "application/json")
    error = missing.json()["error"]
    assert (error["code"], error["status"]) == (404, "NOT_FOUND")
    info = error["details"][0]
    assert (info["reason"], info["domain"]) == ("TASK_NOT_FOUND", "a2a-protocol.org")
    assert info["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
    wrong = api.get("/a2a/v1/tasks", params={"pageSize": "150", "historyLength": "-5", "status": "RUNNING"}).json()
    violations = wrong["error"]["details"][1]["fieldViolations"]
    assert {each["field"] for each in violations} == {"pageSize", "historyLength", "status"}
    for body, code in (
        (b"{", -32700),
        (b"[]", -32600),
        (b'{"jsonrpc": "1.0", "id": 1, "method": "GetTask"}', -32600),
        (b'{"jsonrpc": "2.0", "id": "' + b"x" * 201 + b'", "method": "GetTask"}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "tasks/burn"}', -32601),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": {}}', -32602),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": {}}}', -32602),
    ):
        answer = api.post("/a2a/v1", content=body, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (200, code), body
    file = {"url": "https://example.com/x.pdf", "mediaType": "application/pdf"}
    told = rpc(api, "SendMessage", {"message": {**message("x")["message"], "parts": [file]}})
    assert told["error"]["code"] == -32005
    assert rpc(api, "GetTask", {"id": "x"}, **{"A2A-Version": "9.1"})["error"]["code"] == -32009
    assert api.get("/a2a/v1/tasks", headers={"A2A-Version": "0.3"}).json()["error"]["code"] == 400
    assert api.post("/a2a/v1/nothing", json={}).json()["jsonrpc"] == "2.0"
    with httpx.Client(base_url=caxton_server.url, trust_env=False) as nobody:
        refused = nobody.post("/a2a/v1", json={"jsonrpc": "2.0", "id": 1, "method": "ListTasks"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, -32600)


def test_another_workspace_sees_nothing_of_a_task(
    api: httpx.Client, caxton_server: RunningServer, deploy: Deploy
) -> None:
    deploy(agent("echo", rules=replies("secret")))
    task = rpc(api, "SendMessage", message("x"))["result"]["task"]
    with caxton_server.client("elsewhere") as elsewhere:
        assert rpc(elsewhere, "GetTask", {"id": task["id"]})["error"]["code"] == -32001
        assert rpc(elsewhere, "CancelTask", {"id": task["id"]})["error"]["code"] == -32001
        listed = rpc(elsewhere, "ListTasks", {"contextId": task["contextId"]})["result"]
        assert (listed["tasks"], listed["totalSize"]) == ([], 0)
        inside = rpc(elsewhere, "SendMessage", message("x", contextId=task["contextId"]))["error"]
        assert inside["code"] == -32602


@pytest.mark.requirement("FAC-2")
@pytest.mark.requirement("MSG-12")
def test_files_go_with_a_message(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("echo", rules=replies("seen")))
    picture = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(20)).decode()
    parts = [{"text": "look"}, {"raw": picture, "filename": "a.png", "mediaType": "image/png"}]
    sent = {"message": {**message("x")["message"], "parts": parts}}
    task = rpc(api, "SendMessage", sent)["result"]["task"]
    said = api.get(f"/v1/conversations/{task['contextId']}/messages").json()["messages"][0]
    [file] = said["artifacts"]
    assert (said["content"]["text"], file["name"], file["media_type"]) == ("look", "a.png", "image/png")
    known = {"url": f"{api.base_url}/v1/blobs/{file['digest']}".replace("//v1", "/v1"), "filename": "b.png"}
    again = rpc(api, "SendMessage", {"message": {**message("x")["message"], "parts": [{"text": "again"}, known]}})
    assert again["result"]["task"]["status"]["state"] == "TASK_STATE_COMPLETED"
    for part in ({"raw": base64.b64encode(b"\0\1\2").decode()}, {"url": "https://example.com/a.png"}):
        refused = rpc(api, "SendMessage", {"message": {**message("x")["message"], "parts": [{"text": "x"}, part]}})
        assert refused["error"]["code"] == -32005


def test_a_client_may_choose_the_id_of_its_context(api: httpx.Client, deploy: Deploy, workspace: str) -> None:
    deploy(agent("echo", rules=replies("turn {{ 1 + history | length // 2 }}")))
    chosen = f"mine-{workspace}"
    for number in (1, 2):
        task = rpc(api, "SendMessage", message("x", contextId=chosen))["result"]["task"]
        assert task["contextId"] == chosen
        assert task["artifacts"][0]["parts"][0]["text"] == f"turn {number}"
    assert rpc(api, "SendMessage", message("x", contextId="no id"))["error"]["code"] == -32602


def test_a_failure_is_a_state_of_the_task(api: httpx.Client, deploy: Deploy, stand_in: Remote) -> None:
    deploy(thinker(stand_in))
    stand_in.answer(Answer(status=400))
    task = rpc(api, "SendMessage", message("x"), target="/think")["result"]["task"]
    assert task["status"]["state"] == "TASK_STATE_FAILED"
    assert task["status"]["message"]["parts"][0]["text"]
    assert task["metadata"][EXTENSION]["error"]["code"]
    listed = rpc(api, "ListTasks", {"status": "TASK_STATE_FAILED"})["result"]
    assert [each["id"] for each in listed["tasks"]] == [task["id"]]


def test_a_task_survives_until_it_is_asked_for_by_anybody(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("echo", rules=replies("kept", delay=0.2)))
    params = {**message("x"), "configuration": {"returnImmediately": True}}
    task = rpc(api, "SendMessage", params)["result"]["task"]

    def ended() -> bool:
        return rpc(api, "GetTask", {"id": task["id"]})["result"]["status"]["state"] == "TASK_STATE_COMPLETED"

    until(ended)


@pytest.mark.requirement("FAC-2", "SEC-4")
def test_a_page_of_tasks_has_only_so_much(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("echo", rules=replies("ok")))
    sent = [rpc(api, "SendMessage", message("x" * 3_000_000), "/echo")["result"]["task"]["id"] for _ in range(2)]
    found: list[str] = []
    token = ""
    for _ in sent:
        page = rpc(api, "ListTasks", {"pageSize": 100, "pageToken": token})["result"]
        assert len(page["tasks"]) == 1, "both together would be too much"
        found.append(page["tasks"][0]["id"])
        token = page["nextPageToken"]
    assert (found, token) == (sent[::-1], "")
