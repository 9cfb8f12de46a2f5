"""Forks: what an execution recorded is taken over and not done again; what follows is really done."""

import json
import time
from typing import Any

import httpx
import pytest

from tests.api.conftest import Deploy
from tests.conftest import RunningServer
from tests.support.agents import agent, hands_over, replies
from tests.support.mcp_tools import ServerFolder, mcp_tool
from tests.support.stand_in import Answer, Remote
from tests.support.waiting import until

pytestmark = pytest.mark.xdist_group("forks")


def clerk(stand_in: Remote, origin: str, *, version: str = "1.0.0", more: str = "") -> dict[str, str | bytes]:
    """An agent with a real model and a tool that has effects."""
    text = f'name = "clerk"\nversion = "{version}"\ncapabilities = ["clerk"]\nmodel = "{stand_in.model}"\n'
    return {
        "agents/clerk.toml": f'{text}tools = ["other"]\nsystem_prompt = "Version {version}"\n{more}',
        **mcp_tool(url=f"{origin}/mcp"),
    }


def grant(api: httpx.Client, origin: str) -> None:
    api.post("/v1/tool-grants", json={"tool": "other", "network": [origin]}).raise_for_status()


def ask(api: httpx.Client, text: str = "do it", **more: Any) -> dict[str, Any]:
    body = {"capability": "clerk", "content": text, **more}
    return api.post("/v1/messages", params={"wait": "true"}, json=body).json()


def fork(api: httpx.Client, execution: str, at: int, **body: Any) -> httpx.Response:
    return api.post(f"/v1/executions/{execution}/fork", params={"wait": "true"}, json={"at": at, **body})


def said(turn: dict[str, Any]) -> str:
    assert turn.get("state") == "completed", turn
    return turn["reply"]["content"]["text"]


def events(api: httpx.Client, execution: str, kind: str) -> list[dict[str, Any]]:
    found = api.get(f"/v1/executions/{execution}/events").raise_for_status().json()["events"]
    return [event for event in found if event["event_type"] == kind]


def calls(*names: str, **arguments: Any) -> Answer:
    """A model's answer that asks for calls of the tool."""
    return Answer(
        calls=[{"id": f"c{n}", "name": f"other__{name}", "arguments": arguments} for n, name in enumerate(names)]
    )


@pytest.mark.requirement("MSG-11")
def test_what_was_recorded_is_taken_over_and_nothing_of_it_is_called_again(
    api: httpx.Client, deploy: Deploy, stand_in: Remote, outside: tuple[ServerFolder, str]
) -> None:
    folder, origin = outside
    grant(api, origin)
    deploy(clerk(stand_in, origin))
    stand_in.answer(calls("count"), calls("echo", text="two"), Answer(text="first"), Answer(text="second"))
    before = len(folder.noted("called"))
    source = ask(api)
    assert said(source) == "first"
    assert folder.noted("called")[before:] == ["count", "echo"]

    forked = fork(api, source["execution_id"], 2).raise_for_status().json()
    assert said(forked) == "second"
    assert folder.noted("called")[before:] == ["count", "echo"], "no tool was called again"
    asked = stand_in.requests()
    assert len(asked) == 4, "one model call more, behind what was taken over"
    assert asked[3]["messages"] == asked[2]["messages"], "the model sees just what it saw then"
    assert forked["execution_id"] != source["execution_id"]
    assert forked["conversation_id"] != source["conversation_id"]
    assert (forked["usage"]["model_calls"], forked["usage"].get("tool_calls", 0)) == (1, 0)

    [told] = events(api, forked["execution_id"], "execution_forked")
    payload = {key: told["payload"][key] for key in ("source", "step", "model_calls", "results", "version")}
    assert payload == {
        "source": source["execution_id"],
        "step": 2,
        "model_calls": 2,
        "results": 2,
        "version": "1.0.0",
    }
    assert told["actor"] == "founder:admin"
    assert not events(api, forked["execution_id"], "tool_executed")
    replayed = api.get(f"/v1/executions/{forked['execution_id']}/replay").raise_for_status().json()
    assert replayed["differences"] == []
    contents = api.get(f"/v1/executions/{forked['execution_id']}/contents").json()["contents"]
    assert [each["name"] for each in contents if each["taken_over"] and each["kind"] == "tool"] == [
        "other.count",
        "other.echo",
    ]
    assert len(api.get("/v1/tools/other/logs").json()["lines"]) == 2, "the tool knows of no further calls"

    again = fork(api, forked["execution_id"], 1).raise_for_status().json()
    assert said(again) == "second"
    assert len(stand_in.requests()[4]["messages"]) == len(asked[1]["messages"]), "of a fork, another fork"
    assert said(fork(api, source["execution_id"], 0).raise_for_status().json()) == "second"
    assert stand_in.requests()[5]["messages"] == asked[0]["messages"], "the request alone"
    assert folder.noted("called")[before:] == ["count", "echo"]


@pytest.mark.requirement("MSG-11")
def test_calls_without_a_result_are_really_made_by_the_rules_of_who_goes_on(
    api: httpx.Client, deploy: Deploy, stand_in: Remote, outside: tuple[ServerFolder, str]
) -> None:
    folder, origin = outside
    grant(api, origin)
    deploy(clerk(stand_in, origin))
    both = calls("echo", "wait", seconds=0.5)
    both.calls[1]["arguments"] = {"seconds": 1.5}
    stand_in.answer(both, Answer(text="done"))
    body = {"capability": "clerk", "content": "do it"}
    source = api.post("/v1/messages", params={"wait": "false"}, json=body).json()["execution_id"]
    until(lambda: [each for each in events(api, source, "tool_executed") if each["payload"]["function"] == "echo"])
    running = fork(api, source, 1)
    assert (running.status_code, running.json()["code"]) == (409, "invalid_state")
    assert f"caxton execution wait {source}" in running.text
    api.post(f"/v1/executions/{source}/cancel").raise_for_status()
    until(lambda: api.get(f"/v1/executions/{source}").json()["state"] == "failed")
    before = len(folder.noted("called"))

    policy = '[tool_policies."other.wait"]\napproval_mode = "operator"\napproval_timeout = "60s"\n'
    deploy(clerk(stand_in, origin, version="2.0.0", more=policy))
    asked = len(stand_in.requests())
    handed = api.post(
        f"/v1/executions/{source}/fork", params={"wait": "false"}, json={"at": 1, "agent": "clerk"}
    ).json()["execution_id"]
    [waiting] = until(lambda: api.get("/v1/approvals").json()["approvals"])
    assert waiting["name"] == "other.wait"
    assert folder.noted("called")[before:] == []
    api.post(f"/v1/approvals/{waiting['id']}/grant", json={}).raise_for_status()
    turn = until(lambda: (each := api.get(f"/v1/executions/{handed}").json())["state"] != "running" and each, 60)
    assert said(turn) == "done"
    assert folder.noted("called")[before:] == ["wait"], "and echo was not called again"
    assert len(stand_in.requests()) == asked + 1
    assert "Version 2.0.0" in json.dumps(stand_in.requests()[-1]["messages"])
    assert api.get(f"/v1/executions/{handed}/replay").json()["differences"] == []


@pytest.mark.requirement("MSG-11")
def test_what_another_agent_answered_is_taken_over(api: httpx.Client, deploy: Deploy) -> None:
    deploy(
        {
            **agent("first", rules=hands_over("second"), more='delegates = ["second"]\n'),
            **agent("second", rules=replies("it is {{ request }}")),
        }
    )
    source = api.post("/v1/messages", json={"capability": "first", "content": "so"}).json()
    deploy(agent("second", rules=replies("it is otherwise"), version="2.0.0"))
    forked = fork(api, source["execution_id"], 1).raise_for_status().json()
    assert said(forked) == "it is so"
    begun = [event["agent"] for event in events(api, forked["execution_id"], "execution_processing")]
    assert begun == ["first"], "the second agent did nothing"
    assert said(fork(api, source["execution_id"], 0).json()) == "it is otherwise"

    deploy(agent("first", rules=replies("alone: {{ request }}"), version="2.0.0"))
    below = next(
        event["execution_id"]
        for event in events(api, source["execution_id"], "execution_processing")
        if event["agent"] == "second"
    )
    assert said(fork(api, below, 0, agent="second").json()) == "it is otherwise", "a part of a turn, by itself"


@pytest.mark.requirement("MSG-11")
def test_a_fork_sees_the_conversation_before_and_runs_the_version_that_is_named(
    api: httpx.Client, deploy: Deploy, caxton_server: RunningServer
) -> None:
    files = agent("memo", rules=replies("v1, {{ history | length }} before: {{ request }}"))
    deploy(files)
    talk = api.post("/v1/conversations", json={"capability": "memo"}).json()["id"]
    path = f"/v1/conversations/{talk}/messages"
    api.post(path, json={"content": "a"}).raise_for_status()
    source = api.post(path, json={"content": "b", "variables": {}}).json()
    api.post(path, json={"content": "c"}).raise_for_status()
    deploy(agent("memo", rules=replies("v2, {{ history | length }} before: {{ request }}"), version="2.0.0"))
    execution = source["execution_id"]
    assert said(fork(api, execution, 0).json()) == "v1, 2 before: b", "as it was then"
    assert said(fork(api, execution, 0, agent="memo").json()) == "v2, 2 before: b"
    assert said(fork(api, execution, 0, agent="memo", version="1.0.0").json()) == "v1, 2 before: b"
    assert len(api.get(path).json()["messages"]) == 6, "the old conversation knows nothing of it"
    never = fork(api, execution, 0, agent="memo", version="3.0.0")
    assert (never.status_code, never.json()["details"]["versions"]) == (404, ["2.0.0", "1.0.0"])
    deploy({**files, **agent("other", rules=replies("x"))})
    refused = fork(api, execution, 0, agent="other")
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_input")
    assert 'does not offer "memo"' in refused.json()["detail"]

    key = {"Idempotency-Key": "once"}
    made = [api.post(f"/v1/executions/{execution}/fork", json={"at": 0}, headers=key).json() for _ in range(2)]
    assert made[0]["execution_id"] == made[1]["execution_id"]
    other = api.post(f"/v1/executions/{execution}/fork", json={"at": 0, "agent": "memo"}, headers=key)
    assert other.status_code in (200, 409)


@pytest.mark.requirement("MSG-11", "SEC-2")
def test_who_may_fork(api: httpx.Client, deploy: Deploy, caxton_server: RunningServer) -> None:
    deploy(agent("echo", rules=replies("you said: {{ request }}")))
    execution = api.post("/v1/messages", json={"capability": "echo", "content": "x"}).json()["execution_id"]
    workspace = api.headers["X-Caxton-Workspace"]
    with caxton_server.client("w-elsewhere") as other:
        assert fork(other, execution, 0).status_code == 404
    owner = api.post("/v1/keys", json={"name": "boss", "role": "admin", "customer": f"c-{workspace}"}).json()["key"]
    with caxton_server.client(workspace, key=owner) as stranger:
        assert fork(stranger, execution, 0).status_code == 404
    role = f"sender-{workspace}"
    for permissions, wanted in (
        (["messages:send"], 403),
        (["messages:read"], 403),
        (["messages:send", "messages:read"], 200),
    ):
        api.put(f"/v1/roles/{role}", json={"permissions": permissions}).raise_for_status()
        key = api.post("/v1/keys", json={"name": f"k{len(permissions)}", "role": role}).json()["key"]
        with caxton_server.client(workspace, key=key) as client:
            assert fork(client, execution, 0).status_code == wanted, permissions
            assert fork(client, execution, 0, agent="echo", version="1.0.0").status_code == 403
    deploy(agent("echo", rules=replies("now: {{ request }}"), version="2.0.0"))
    with caxton_server.client(workspace, key=key) as client:
        refused = fork(client, execution, 0)
        assert (refused.status_code, refused.json()["details"]["needed"]) == (403, "deployments:write")
        assert '"agent": "echo"' in refused.json()["hints"][-1]["text"]
        assert said(fork(client, execution, 0, agent="echo").json()) == "now: x"
    assert said(fork(api, execution, 0).json()) == "you said: x"


@pytest.mark.requirement("MSG-11", "SEC-4")
def test_a_fork_takes_over_only_so_much(
    api: httpx.Client, deploy: Deploy, stand_in: Remote, outside: tuple[ServerFolder, str]
) -> None:
    _, origin = outside
    grant(api, origin)
    deploy(clerk(stand_in, origin))
    stand_in.answer(*[calls("echo", text="z" * 1_500_000)] * 3, Answer(text="done"))
    execution = ask(api)["execution_id"]
    refused = fork(api, execution, 3)
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_input"), refused.text
    assert refused.json()["details"]["limit"] == 4 << 20
    assert said(fork(api, execution, 2).json()) == "done"


@pytest.mark.requirement("MSG-11")
def test_what_cannot_be_forked_is_told_with_what_can(api: httpx.Client, deploy: Deploy, stand_in: Remote) -> None:
    deploy(
        {
            **agent("first", rules=hands_over("second"), more='delegates = ["second"]\n'),
            **agent("second", rules=replies("ok")),
        }
    )
    turn = api.post("/v1/messages", json={"capability": "first", "content": "so"}).json()
    execution = turn["execution_id"]
    unknown = fork(api, "x_nothing", 0)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    reply = fork(api, execution, 2)
    assert (reply.status_code, reply.json()["details"]) == (400, {"execution": execution, "step": 2, "last": 1})
    assert "is its reply: nothing follows it" in reply.json()["detail"]
    assert "is not recorded" in fork(api, execution, 7).json()["detail"]
    for body in ({}, {"at": -1}, {"at": 0, "version": "1.0.0"}, {"at": 0, "agent": "first", "version": "../1"}):
        assert api.post(f"/v1/executions/{execution}/fork", json=body).status_code in (400, 422), body

    nobody = api.post("/v1/messages", json={"capability": "nobody", "content": "x"})
    assert nobody.status_code == 404
    time.sleep(1.1)
    api.put("/v1/retention", json={"steps": 1}).raise_for_status()
    until(lambda: fork(api, execution, 1).status_code == 410, 30)
    gone = fork(api, execution, 1).json()
    assert (gone["code"], "its steps were deleted" in gone["detail"]) == ("record_deleted", True)
    assert said(fork(api, execution, 0).json()) == "ok", "the request is still there"
    api.put("/v1/retention", json={"steps": 1, "messages": 1}).raise_for_status()
    until(lambda: fork(api, execution, 0).status_code == 410, 30)
    assert "its request was deleted" in fork(api, execution, 0).json()["detail"]
