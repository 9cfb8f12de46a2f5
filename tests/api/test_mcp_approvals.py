"""Approvals and long work for MCP clients: the same approval as everywhere, decided once; tasks are executions."""

import json
from typing import Any

import httpx
import pytest
from mcp.client.client import Client
from mcp_types import ElicitRequestFormParams, ElicitResult

from tests.api.conftest import Deploy, new_key
from tests.api.test_approvals import guarded, pending
from tests.conftest import RunningServer
from tests.support.agents import agent, replies
from tests.support.mcp_client import MODES, Raw, Use, messages_of, result_of, text_of
from tests.support.stand_in import Answer, Remote
from tests.support.waiting import until

FORMS: dict[str, Any] = {"elicitation": {"form": {}}}
TASKS: dict[str, Any] = {"extensions": {"io.modelcontextprotocol/tasks": {}}}
CALL: dict[str, Any] = {"name": "teller", "arguments": {"request": "x"}}


def says(asked: list[str], action: str, decision: str | None = None) -> Any:
    """A user who answers each question so."""

    async def answer(context: Any, params: Any) -> ElicitResult:
        assert isinstance(params, ElicitRequestFormParams)
        asked.append(params.message)
        content: Any = {"decision": decision, "reason": "checked"} if decision else None
        return ElicitResult(action=action, content=content)  # type: ignore[arg-type]

    return answer


@pytest.mark.requirement("FAC-1")
@pytest.mark.requirement("FAC-9")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("decision", "state"), [("approve", "Granted"), ("reject", "Rejected")])
def test_the_clients_user_decides(
    use: Use,
    deploy: Deploy,
    api: httpx.Client,
    mode: str,
    decision: str,
    state: str,
) -> None:
    deploy(guarded())
    asked: list[str] = []

    async def work(client: Client) -> str:
        return text_of(await client.call_tool("teller", {"request": "x"}))

    told = use(work, mode, elicitation_callback=says(asked, "accept", decision))
    assert told.startswith("ok:" if decision == "approve" else "failed:")
    assert len(asked) == 1
    assert "Agent teller wants to call hostile.ok (risk: high)." in asked[0]
    [approval] = api.get("/v1/approvals").json()["approvals"]
    assert (approval["state"], approval["reason"], approval["decided_by"]) == (state, "checked", "founder:admin")


@pytest.mark.requirement("FAC-9")
@pytest.mark.parametrize("mode", MODES)
def test_a_question_put_aside_decides_nothing(use: Use, deploy: Deploy, api: httpx.Client, mode: str) -> None:
    deploy(guarded())

    async def work(client: Client) -> Any:
        return await client.call_tool("teller", {"request": "x"})

    told = use(work, mode, elicitation_callback=says([], "decline"))
    assert told.is_error
    [approval] = api.get("/v1/approvals").json()["approvals"]
    assert approval["state"] == "Pending"
    assert f"a person has to decide on it first: approval {approval['id']}" in text_of(told)
    api.post(f"/v1/approvals/{approval['id']}/grant").raise_for_status()
    execution = told.meta["caxton/execution"]

    async def read(client: Client) -> Any:
        [content] = (await client.read_resource(f"caxton://traces/{execution}")).contents
        return json.loads(content.text)  # type: ignore[union-attr]

    until(lambda: use(read, mode)["state"] == "completed", 20)


@pytest.mark.requirement("FAC-9")
@pytest.mark.requirement("GOV-1")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("who", ["developer", "requester"])
def test_whoever_may_not_decide_is_not_asked(use: Use, deploy: Deploy, api: httpx.Client, mode: str, who: str) -> None:
    files = guarded()
    if who == "requester":
        files["agents/teller.toml"] = str(files["agents/teller.toml"]) + "four_eyes = true\n"
    deploy(files)
    asked: list[str] = []

    async def work(client: Client) -> Any:
        return await client.call_tool("teller", {"request": "x"})

    key = new_key(api, "developer") if who == "developer" else None
    told = use(work, mode, elicitation_callback=says(asked, "accept", "approve"), key=key)
    assert told.is_error
    assert "approval ap_" in text_of(told)
    assert asked == []
    assert len(pending(api)) == 1


@pytest.mark.requirement("FAC-9")
def test_an_approval_that_is_decided_elsewhere_is_closed_here(raw: Raw, deploy: Deploy, api: httpx.Client) -> None:
    deploy(guarded())
    raw.capabilities = FORMS
    asked = result_of(raw.modern("tools/call", **CALL))
    assert asked["resultType"] == "input_required"
    [identity] = asked["inputRequests"]
    api.post(f"/v1/approvals/{identity}/reject", json={"reason": "no"}).raise_for_status()
    late: dict[str, Any] = {"inputResponses": {identity: {"action": "accept", "content": {"decision": "approve"}}}}
    done = result_of(raw.modern("tools/call", **CALL, **late, requestState=asked["requestState"]))
    assert done["content"][0]["text"].startswith("failed:")
    assert api.get(f"/v1/approvals/{identity}").json()["state"] == "Rejected"


@pytest.mark.requirement("FAC-1")
@pytest.mark.requirement("FAC-9")
def test_a_state_is_good_for_its_caller_and_request_only(
    raw: Raw, deploy: Deploy, api: httpx.Client, caxton_server: RunningServer, workspace: str
) -> None:
    deploy(guarded())
    raw.capabilities = FORMS
    asked = result_of(raw.modern("tools/call", **CALL))
    [identity] = asked["inputRequests"]
    state = asked["requestState"]
    answers: dict[str, Any] = {"inputResponses": {identity: {"action": "accept", "content": {"decision": "approve"}}}}

    def code(client: Raw, **params: Any) -> int:
        answer = client.modern("tools/call", **{**CALL, **answers, **params})
        assert answer.status_code == 400, answer.text
        return answer.json()["error"]["code"]

    assert code(raw, requestState=state[:-1] + ("A" if state[-1] != "A" else "B")) == -32602
    assert code(raw, requestState=state, arguments={"request": "y"}) == -32602
    with caxton_server.client(workspace, key=new_key(api, "operator")) as other:
        assert code(Raw(other, FORMS), requestState=state) == -32602
    assert api.get(f"/v1/approvals/{identity}").json()["state"] == "Pending"
    nothing = result_of(raw.modern("tools/call", **CALL, requestState=state))
    assert list(nothing["inputRequests"]) == [identity], "what is missing is asked for again"
    done = result_of(raw.modern("tools/call", **CALL, **answers, requestState=nothing["requestState"]))
    assert (done["resultType"], done["content"][0]["text"][:3]) == ("complete", "ok:")


@pytest.mark.requirement("FAC-1")
def test_a_task_is_an_execution(
    raw: Raw, deploy: Deploy, api: httpx.Client, caxton_server: RunningServer, workspace: str
) -> None:
    deploy(agent("slow", rules=replies("you said: {{ request }}", delay=0.5)))
    raw.begin()
    begun = result_of(raw.legacy("tools/call", name="slow", arguments={"request": "a"}, task={"ttl": 60_000}))["task"]
    assert begun["status"] == "working"
    identity = begun["taskId"]
    assert api.get(f"/v1/executions/{identity}").status_code == 200
    done = result_of(raw.legacy("tasks/result", taskId=identity))
    assert done["content"][0]["text"] == "you said: a"
    assert done["_meta"]["io.modelcontextprotocol/related-task"] == {"taskId": identity}
    assert result_of(raw.legacy("tasks/get", taskId=identity))["status"] == "completed"
    assert [each["taskId"] for each in result_of(raw.legacy("tasks/list"))["tasks"]] == [identity]
    over = raw.legacy("tasks/cancel", taskId=identity).json()["error"]
    assert (over["code"], "terminal" in over["message"]) == (-32602, True)
    second = result_of(raw.legacy("tools/call", name="slow", arguments={"request": "b"}, task={}))["task"]["taskId"]
    assert result_of(raw.legacy("tasks/cancel", taskId=second))["status"] == "cancelled"
    assert result_of(raw.legacy("tasks/result", taskId=second))["isError"]
    assert result_of(raw.legacy("tasks/get", taskId=second))["status"] == "cancelled"
    with caxton_server.client(workspace, key=new_key(api, "admin")) as other:
        stranger = Raw(other).begin()
        for method in ("tasks/get", "tasks/result", "tasks/cancel"):
            assert stranger.legacy(method, taskId=identity).json()["error"]["code"] == -32602
        assert result_of(stranger.legacy("tasks/list"))["tasks"] == []
    plain = api.post("/v1/messages", json={"capability": "slow", "content": "c"}).json()["execution_id"]
    assert raw.legacy("tasks/get", taskId=plain).json()["error"]["code"] == -32602, "it was begun as no task"


@pytest.mark.requirement("FAC-1")
@pytest.mark.requirement("FAC-9")
def test_a_task_that_waits_asks_whoever_wants_its_result(raw: Raw, deploy: Deploy, api: httpx.Client) -> None:
    deploy(guarded())
    raw.capabilities = FORMS
    raw.begin()
    identity = result_of(raw.legacy("tools/call", **CALL, task={}))["task"]["taskId"]
    until(lambda: result_of(raw.legacy("tasks/get", taskId=identity))["status"] == "input_required", 20)
    message = {"jsonrpc": "2.0", "id": 99, "method": "tasks/result", "params": {"taskId": identity}}
    headers = {"Accept": "application/json, text/event-stream", "Mcp-Session-Id": str(raw.session)}
    told: list[dict[str, Any]] = []
    with api.stream("POST", "/mcp", json=message, headers=headers) as answer:
        for line in answer.iter_lines():
            if not line.startswith("data: "):
                continue
            told.append(json.loads(line.removeprefix("data: ")))
            if told[-1].get("method") == "elicitation/create":
                said = {"action": "accept", "content": {"decision": "approve"}}
                reply = raw.post({"jsonrpc": "2.0", "id": told[-1]["id"], "result": said})
                assert reply.status_code == 202, reply.text
    assert [each.get("method") for each in told] == ["elicitation/create", None]
    assert told[0]["params"]["_meta"]["io.modelcontextprotocol/related-task"] == {"taskId": identity}
    assert told[1]["result"]["content"][0]["text"].startswith("ok:")


@pytest.mark.requirement("FAC-1")
@pytest.mark.requirement("FAC-9")
def test_a_client_of_2026_that_takes_tasks_gets_one_where_work_waits(raw: Raw, deploy: Deploy) -> None:
    deploy(guarded())
    raw.capabilities = {**FORMS, **TASKS}
    begun = result_of(raw.modern("tools/call", **CALL))
    assert (begun["resultType"], begun["status"]) == ("task", "working")
    identity = begun["taskId"]
    waits = result_of(raw.modern("tasks/get", taskId=identity))
    assert (waits["resultType"], waits["status"]) == ("complete", "input_required")
    [approval] = waits["inputRequests"]
    answers = {approval: {"action": "accept", "content": {"decision": "approve"}}, "else": {}}
    result_of(raw.modern("tasks/update", {"Mcp-Name": identity}, taskId=identity, inputResponses=answers))

    def done() -> bool:
        return result_of(raw.modern("tasks/get", taskId=identity))["status"] == "completed"

    until(done, 20)
    assert result_of(raw.modern("tasks/get", taskId=identity))["result"]["content"][0]["text"].startswith("ok:")
    assert result_of(raw.modern("tasks/cancel", taskId=identity))["resultType"] == "complete"
    assert messages_of(raw.modern("tasks/get", taskId="x_nobody"))[0]["error"]["code"] == -32602
    raw.capabilities = FORMS
    undeclared = raw.modern("tasks/get", taskId=identity)
    assert (undeclared.status_code, undeclared.json()["error"]["code"]) == (400, -32021)


@pytest.mark.requirement("FAC-1")
def test_a_client_of_2026_that_takes_tasks_gets_one_where_work_takes_long(raw: Raw, deploy: Deploy) -> None:
    deploy(agent("slow", rules=replies("you said: {{ request }}", delay=3)))
    raw.capabilities = TASKS
    call: dict[str, Any] = {"name": "slow", "arguments": {"request": "a"}}
    begun = result_of(raw.modern("tools/call", **call))
    assert (begun["resultType"], begun["status"]) == ("task", "working")
    until(lambda: result_of(raw.modern("tasks/get", taskId=begun["taskId"]))["status"] == "completed", 20)
    done = result_of(raw.modern("tasks/get", taskId=begun["taskId"]))["result"]
    assert done["content"][0]["text"] == "you said: a"


@pytest.mark.requirement("FAC-9")
@pytest.mark.parametrize("way", [*MODES, "task"])
def test_calls_at_the_same_time_are_decided_each(
    use: Use, deploy: Deploy, raw: Raw, api: httpx.Client, stand_in: Remote, way: str
) -> None:
    files = guarded()
    text = str(files["agents/teller.toml"]).replace('model = "scripted"', f'model = "{stand_in.model}"')
    files["agents/teller.toml"] = text.replace('script = "teller.script.toml"\n', "")
    del files["agents/teller.script.toml"]
    deploy(files)
    names = [f"call_{number}" for number in range(2)]
    called = [{"id": name, "name": "hostile__ok", "arguments": {}} for name in names]
    stand_in.answer(Answer(calls=called), Answer(text="both done"))
    asked: list[str] = []

    async def work(client: Client) -> str:
        return text_of(await client.call_tool("teller", {"request": "x"}))

    if way == "task":
        raw.capabilities = {**FORMS, **TASKS}
        identity = result_of(raw.modern("tools/call", **CALL))["taskId"]

        def both() -> Any:
            told = result_of(raw.modern("tasks/get", taskId=identity))
            return told if len(told.get("inputRequests", ())) == 2 else None

        requests = until(both, 30)["inputRequests"]
        yes = {"action": "accept", "content": {"decision": "approve"}}
        result_of(
            raw.modern(
                "tasks/update", {"Mcp-Name": identity}, taskId=identity, inputResponses=dict.fromkeys(requests, yes)
            )
        )
        until(lambda: result_of(raw.modern("tasks/get", taskId=identity))["status"] == "completed", 30)
    else:
        assert use(work, way, elicitation_callback=says(asked, "accept", "approve")) == "both done"
        assert len(asked) == 2
    states = [each["state"] for each in api.get("/v1/approvals").json()["approvals"]]
    assert states == ["Granted", "Granted"]
