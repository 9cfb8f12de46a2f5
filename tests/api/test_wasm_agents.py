"""Agents that are WebAssembly components: they handle messages themselves, and no model has a part in it."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from wasmtime import wat2wasm

from tests.api.conftest import Deploy
from tests.api.test_conversations import say, start
from tests.support.agents import agent, hands_over, replies
from tests.support.deploying import deploy_folder, write_files
from tests.support.tools import bundled_tool
from tests.support.waiting import until
from tests.support.wasm_agents import ask, said, wasm_agent

OF_OTHER_TYPES = """
(component
  (core module $m (func (export "handle") (result i32) (i32.const 7)))
  (core instance $i (instantiate $m))
  (func (export "handle") (result u32) (canon lift (core func $i "handle"))))
"""


def events(api: httpx.Client, turn: dict[str, Any]) -> list[dict[str, Any]]:
    return api.get(f"/v1/executions/{turn['execution_id']}/events").json()["events"]


def talk(api: httpx.Client, conversation: str, content: str) -> str:
    return said(say(api, conversation, content))


@pytest.mark.requirement("AGT-7")
def test_a_component_answers_without_a_model(api: httpx.Client, deploy: Deploy) -> None:
    deploy(wasm_agent())
    turn = ask(api, "echo good morning").json()
    assert turn["reply"]["content"]["text"] == "good morning"
    assert "scripted" not in turn["reply"]["metadata"]
    assert turn["reply"]["metadata"]["model"] == "wasm"
    called = [event for event in events(api, turn) if event["event_type"] == "model_called"]
    assert [event["payload"]["model"] for event in called] == ["wasm"]
    shown = api.get("/v1/agents/clerk").json()
    assert shown["state"] == "Running"
    assert shown["model"]["resolved"] == ["wasm"]
    assert not shown["model"]["warning"]
    assert (shown["wasm"]["module"], shown["wasm"]["state"]) == ("clerk.wasm", "conversation")


@pytest.mark.requirement("AGT-7")
def test_it_gets_the_message_with_all_that_belongs_to_it(api: httpx.Client, deploy: Deploy) -> None:
    deploy(wasm_agent(more='parameters = { tone = "dry" }'))
    body = {"capability": "clerk", "content": "message please", "variables": {"name": "Ada"}}
    turn = api.post("/v1/messages", json=body).json()
    got = json.loads(turn["reply"]["content"]["text"])
    assert got["request"] == "message please"
    assert (got["capability"], got["step"], got["results"], got["history"]) == ("clerk", 1, [], [])
    assert got["parameters"] == {"tone": "dry"}
    assert got["variables"] == {"name": "Ada"}
    assert got["agent"] == {"name": "clerk", "version": "1.0.0"}
    assert got["execution"] == turn["execution_id"]

    conversation = start(api, capability="clerk")
    talk(api, conversation, "echo one")
    later = json.loads(talk(api, conversation, "message"))
    assert later["history"] == [{"role": "user", "text": "echo one"}, {"role": "assistant", "text": "one"}]


@pytest.mark.requirement("AGT-7")
def test_it_calls_tools_and_goes_on_with_their_results(api: httpx.Client, deploy: Deploy) -> None:
    deploy({**wasm_agent(more='tools = ["csv-tools"]'), **bundled_tool("csv-tools")})
    turn = ask(api, "tool csv-tools.parse").json()
    results = json.loads(turn["reply"]["content"]["text"])["results"]
    assert [(each["step"], each["call"], each["name"], each["is_error"]) for each in results] == [
        (1, 1, "csv-tools.parse", False)
    ]
    assert results[0]["json"]["rows"]
    assert turn["usage"]["tool_calls"] == 1
    assert turn["usage"]["model_calls"] == 2

    refused = ask(api, "tool http-client.get").json()
    results = json.loads(refused["reply"]["content"]["text"])["results"]
    assert results[0]["is_error"]
    assert 'may not use "http-client.get"' in results[0]["text"]


@pytest.mark.requirement("AGT-7")
def test_it_hands_work_over_to_others(api: httpx.Client, deploy: Deploy) -> None:
    deploy({**wasm_agent(more='delegates = ["shout"]'), **agent("shout", rules=replies("{{ request | upper }}!"))})
    turn = ask(api, "ask shout hello there").json()
    results = json.loads(turn["reply"]["content"]["text"])["results"]
    assert [(each["name"], each["text"], each["is_error"]) for each in results] == [("shout", "HELLO THERE!", False)]

    refused = ask(api, "ask whisper hello").json()
    results = json.loads(refused["reply"]["content"]["text"])["results"]
    assert results[0]["is_error"]
    assert '"whisper" is not in `delegates`' in results[0]["text"]


@pytest.mark.requirement("AGT-7")
def test_each_conversation_has_its_own_state(api: httpx.Client, deploy: Deploy) -> None:
    deploy(wasm_agent())
    one, two = start(api, capability="clerk"), start(api, capability="clerk")
    assert [talk(api, one, "count") for _ in range(20)] == [str(number) for number in range(1, 21)]
    assert talk(api, two, "count") == "1"
    assert said(ask(api, "count")) == "1"
    assert said(ask(api, "count")) == "1"  # a request on its own keeps nothing behind its end
    talk(api, one, "set colour blue")
    assert talk(api, one, "keys") == "colour,count"
    assert talk(api, one, "delete count") == "colour"
    assert talk(api, one, "count") == "1"
    refused = say(api, one, "count-and-refuse")
    assert refused.json()["code"] == "execution_failed"
    assert talk(api, one, "count") == "2"  # what a step sets that fails is not kept


@pytest.mark.requirement("AGT-7")
def test_state_goes_from_one_step_to_the_next(api: httpx.Client, deploy: Deploy) -> None:
    deploy({**wasm_agent(more='delegates = ["other"]'), **wasm_agent("other")})
    assert said(ask(api, "count-and-ask other")) == "2"
    conversation = start(api, capability="clerk")
    assert talk(api, conversation, "count-and-ask other") == "2"
    assert talk(api, conversation, "count") == "3"


@pytest.mark.requirement("AGT-7")
def test_an_agent_can_have_one_state_for_all_conversations(api: httpx.Client, deploy: Deploy) -> None:
    deploy(wasm_agent(wasm='state = "agent"'))
    with ThreadPoolExecutor(8) as several:
        counted = list(several.map(lambda _: int(said(ask(api, "count"))), range(24)))
    assert sorted(counted) == list(range(1, 25))  # none is lost, and none counts twice
    assert talk(api, start(api, capability="clerk"), "count") == "25"


@pytest.mark.requirement("AGT-7")
def test_what_it_keeps_is_bounded(api: httpx.Client, deploy: Deploy) -> None:
    deploy(wasm_agent())
    assert said(ask(api, "fill")).startswith("all texts together would have 64")


@pytest.mark.requirement("AGT-7")
@pytest.mark.parametrize(
    ("request_", "limits", "code", "status"),
    [
        ("trap", "", "agent_trapped", 502),
        ("spin", "fuel = 100_000_000", "agent_fuel_exhausted", 502),
        ("spin", 'fuel = 1_000_000_000_000\nwall_time = "300ms"', "agent_timeout", 504),
        ("allocate", 'memory = "8MB"', "agent_memory_exceeded", 502),
        ("garbage", "", "agent_answer_invalid", 502),
        ("wrong", "", "agent_answer_invalid", 502),
        ("huge", "", "agent_message_too_large", 502),
    ],
)
def test_each_limit_has_its_own_error_and_event(
    api: httpx.Client, deploy: Deploy, request_: str, limits: str, code: str, status: int
) -> None:
    deploy(wasm_agent(wasm=f"[wasm.limits]\n{limits}"))
    answer = ask(api, request_)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code)
    assert problem["details"]["agent"] == "clerk"
    assert problem["hints"]
    told = events(api, problem["details"])
    failed = [event for event in told if event["event_type"] == "model_attempt_failed"]
    assert [(event["payload"]["model"], event["error_code"]) for event in failed] == [("wasm", code)]
    assert any(event["event_type"] == "execution_failed" and event["error_code"] == code for event in told)


@pytest.mark.requirement("AGT-7")
def test_what_it_says_that_it_cannot_do_is_told(api: httpx.Client, deploy: Deploy) -> None:
    deploy(wasm_agent())
    problem = ask(api, "refuse").json()
    assert problem["code"] == "execution_failed"
    assert 'agent "clerk" cannot do it: not today' in problem["detail"]


@pytest.mark.requirement("AGT-7", "AGT-5")
def test_an_agent_whose_component_keeps_crashing_rests(api: httpx.Client, deploy: Deploy) -> None:
    deploy(wasm_agent(more="[breaker]\nfailures = 3"))
    for _ in range(3):
        assert ask(api, "trap").json()["code"] == "agent_trapped"
    until(lambda: any(each["state"] == "Open" for each in api.get("/v1/breakers").json()["breakers"]))
    assert ask(api, "echo hello").json()["code"] == "circuit_breaker_open"
    assert api.get("/v1/agents/clerk").json()["breaker"]["last_error"] == "agent_trapped"


@pytest.mark.requirement("AGT-7", "TOL-4")
def test_it_has_what_its_file_requests_and_an_operator_grants(api: httpx.Client, deploy: Deploy) -> None:
    deployed = deploy(wasm_agent(wasm='[wasm.permissions]\nenvironment = ["HOME"]'))
    change = next(each for each in deployed["changes"] if each["kind"] == "agent")
    assert change["ungranted"] == ["HOME"]
    assert change["grant"] == "caxton tool grant clerk --environment HOME"
    refused = ask(api, "environment HOME").json()
    assert refused["code"] == "agent_not_granted"
    assert refused["hints"][0]["command"] == "caxton tool grant clerk --environment HOME"
    assert "PATH" in ask(api, "environment PATH").json()["detail"]  # not even requested
    told = api.get("/v1/events", params={"type": "tool_rights_refused"}).json()["events"]
    asked = [each["payload"]["refused"][0]["what"] for each in told]
    assert sorted(asked) == ["HOME", "PATH"], "each refusal is in the log"
    api.post("/v1/tool-grants", json={"tool": "clerk", "environment": ["HOME"]}).raise_for_status()
    assert said(ask(api, "environment HOME")) == "got it"


@pytest.mark.requirement("AGT-7", "TOL-4", "SEC-3")
def test_work_that_was_handed_over_has_the_rights_of_all_agents_of_the_chain(api: httpx.Client, deploy: Deploy) -> None:
    asks = agent("boss", rules=hands_over("clerk", on_error="no"), more='delegates = ["clerk"]\n')
    deploy({**wasm_agent(wasm='[wasm.permissions]\nenvironment = ["HOME"]'), **asks})
    api.post("/v1/tool-grants", json={"tool": "clerk", "environment": ["HOME"], "agent": "clerk"}).raise_for_status()
    assert said(ask(api, "environment HOME")) == "got it"
    assert said(ask(api, "environment HOME", "boss")) == "no"
    api.post("/v1/tool-grants", json={"tool": "clerk", "environment": ["HOME"], "agent": "boss"}).raise_for_status()
    assert said(ask(api, "environment HOME", "boss")) == "got it"


@pytest.mark.requirement("AGT-7")
def test_a_new_version_answers_as_soon_as_it_is_deployed(api: httpx.Client, deploy: Deploy) -> None:
    first = deploy(wasm_agent())["changes"][0]["digest"]
    files = wasm_agent()
    files["agents/clerk.wasm"] = bytes(files["agents/clerk.wasm"]) + b"\0\x02\x01x"  # a custom section: other content
    assert deploy(files)["changes"][0]["digest"] != first
    assert said(ask(api, "echo still here")) == "still here"


@pytest.mark.requirement("AGT-7", "AGT-2")
def test_a_component_of_another_world_is_refused(api: httpx.Client, tmp_path: Path) -> None:
    """Types are checked by the server, which compiles it; names by everybody who reads the folder."""
    files = {**wasm_agent(), "agents/clerk.wasm": wat2wasm(OF_OTHER_TYPES)}
    refused = deploy_folder(api, write_files(tmp_path, files))
    assert refused.status_code == 422
    problem = refused.json()["details"]["problems"][0]
    assert (problem["file"], problem["path"]) == ("agents/clerk.toml", "wasm.module")
    assert (
        'its export "handle" has another type than handle: func(string) -> result<string, string>' in problem["message"]
    )
