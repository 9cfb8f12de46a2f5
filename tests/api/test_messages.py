"""One-shot requests."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.api.conftest import Deploy
from tests.support.agents import agent, replies


def ask(api: httpx.Client, body: dict[str, object], key: str | None = None, **query: str) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return api.post("/v1/messages", json=body, headers=headers, params=query)


@pytest.fixture
def _echo(deploy: Deploy) -> None:
    deploy(agent("echo", rules=replies("you said: {{ request }}")))


@pytest.mark.usefixtures("_echo")
@pytest.mark.requirement("MSG-2")
def test_a_request_by_capability_is_answered(api: httpx.Client) -> None:
    turn = ask(api, {"capability": "echo", "content": "hello"}).json()
    assert turn["state"] == "completed"
    assert turn["reply"]["content"]["text"] == "you said: hello"
    assert turn["reply"]["type"] == "Response"
    assert turn["reply"]["metadata"]["scripted"] is True
    request = api.get(f"/v1/conversations/{turn['conversation_id']}/messages").json()["messages"][0]
    assert request["type"] == "Request"
    assert turn["reply"]["reply_to"] == request["id"]
    assert len(turn["reply"]["trace_id"]) == 32
    assert len(turn["reply"]["span_id"]) == 16
    assert turn["reply"]["trace_id"] == request["trace_id"]


@pytest.mark.usefixtures("_echo")
def test_a_request_by_agent_is_answered(api: httpx.Client) -> None:
    assert ask(api, {"agent": "echo", "content": "hi"}).json()["agent"] == "echo"


@pytest.mark.usefixtures("_echo")
def test_a_request_that_is_not_waited_for_can_be_looked_up(api: httpx.Client) -> None:
    accepted = ask(api, {"capability": "echo", "content": "hi"}, wait="false")
    assert accepted.status_code in (200, 202)
    turn = api.get(f"/v1/executions/{accepted.json()['execution_id']}").json()
    assert turn["state"] in ("running", "completed")


@pytest.mark.requirement("RTE-2")
def test_a_version_range_chooses_who_answers(api: httpx.Client, deploy: Deploy) -> None:
    old = agent("old", capabilities='[{ name = "work", version = "1.4.0" }]', rules=replies("old"))
    new = agent("new", capabilities='[{ name = "work", version = "2.0.0" }]', rules=replies("new"))
    deploy({**old, **new})
    for version_range, expected in (("^1", "old"), ("^2", "new"), ("*", "new"), (">=1.0.0 <2.0.0", "old")):
        turn = ask(api, {"capability": "work", "version_range": version_range, "content": "x"}).json()
        assert turn["agent"] == expected, version_range
    missing = ask(api, {"capability": "work", "version_range": "^3", "content": "x"})
    assert missing.status_code == 404
    assert "2.0.0" in missing.json()["detail"]


@pytest.mark.requirement("RTE-1")
@pytest.mark.requirement("RTE-2")
def test_several_agents_share_the_work(api: httpx.Client, deploy: Deploy) -> None:
    files: dict[str, str | bytes] = {}
    for name in ("one", "two", "three"):
        files |= agent(name, capabilities='["work"]', rules=replies(name))
    deploy(files)

    def answered_by(strategy: str) -> set[str]:
        body = {"capability": "work", "content": "x", "strategy": strategy}
        return {ask(api, body).json()["agent"] for _ in range(30)}

    assert answered_by("LoadBalanced") == {"one", "two", "three"}
    assert answered_by("Stochastic") == {"one", "two", "three"}
    assert answered_by("Deterministic") == {"one"}


@pytest.mark.requirement("AGT-1")
def test_variables_and_parameters_reach_the_templates(api: httpx.Client, deploy: Deploy) -> None:
    rules = replies("{{ parameters.greeting }}, {{ variables.who }}")
    deploy(agent("greet", rules=rules, more='[parameters]\ngreeting = "Servus"\n'))
    turn = ask(api, {"capability": "greet", "content": "x", "variables": {"who": "Ada"}}).json()
    assert turn["reply"]["content"]["text"] == "Servus, Ada"


def test_oversized_variables_are_refused(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("greet", rules=replies("{{ variables.name | length }}")))
    for size, status in ((250_000, 200), (300_000, 413)):
        answer = api.post("/v1/messages", json={"agent": "greet", "content": "x", "variables": {"name": "x" * size}})
        assert answer.status_code == status, answer.text
    assert answer.json()["code"] == "payload_too_large"
    assert "`content`" in answer.json()["hints"][0]["text"]


@pytest.mark.usefixtures("_echo")
@pytest.mark.requirement("MSG-9")
def test_long_content_travels_by_reference(api: httpx.Client) -> None:
    text = "ü" * 200_000
    turn = ask(api, {"capability": "echo", "content": text}).json()
    content = turn["reply"]["content"]
    assert content["text"] is None
    assert api.get(f"/v1/blobs/{content['digest']}").text == f"you said: {text}"


@pytest.mark.usefixtures("_echo")
def test_an_oversized_body_is_refused(api: httpx.Client) -> None:
    refused = ask(api, {"capability": "echo", "content": "x" * (17 << 20)})
    assert refused.status_code == 413
    assert refused.json()["code"] == "payload_too_large"


@pytest.mark.usefixtures("_echo")
@pytest.mark.requirement("MSG-8")
def test_the_same_key_gets_the_same_answer(api: httpx.Client) -> None:
    first = ask(api, {"capability": "echo", "content": "once"}, key="k").json()
    assert ask(api, {"capability": "echo", "content": "once"}, key="k").json() == first
    varied = ask(api, {"capability": "echo", "content": "once", "variables": {"x": 1}}, key="k")
    assert varied.status_code == 409
    other = ask(api, {"capability": "echo", "content": "twice"}, key="k")
    assert other.status_code == 409
    assert other.json()["code"] == "idempotency_conflict"


@pytest.mark.usefixtures("_echo")
@pytest.mark.requirement("MSG-8")
def test_many_at_once_with_one_key_are_answered_once(api: httpx.Client) -> None:
    with ThreadPoolExecutor(10) as pool:
        asked = [pool.submit(ask, api, {"capability": "echo", "content": "x"}, "same") for _ in range(10)]
        turns = [future.result().json() for future in asked]
    assert len({turn["reply"]["id"] for turn in turns}) == 1
    conversation = api.get(f"/v1/conversations/{turns[0]['conversation_id']}").json()
    assert conversation["message_count"] == 2
    assert conversation["state"] == "Completed"


@pytest.mark.usefixtures("_echo")
@pytest.mark.requirement("RTE-4")
@pytest.mark.requirement("ERR-1")
def test_an_unknown_capability_names_what_is_similar(api: httpx.Client) -> None:
    problem = ask(api, {"capability": "ecko", "content": "x"})
    assert problem.status_code == 404
    assert problem.headers["content-type"].startswith("application/problem+json")
    body = problem.json()
    assert body["code"] == "no_capable_agent"
    assert body["details"]["similar"] == ["echo"]
    assert {"text": 'did you mean "echo"?', "command": 'caxton ask echo "…"'} in body["hints"]
    assert body["request_id"] == problem.headers["x-request-id"]


@pytest.mark.parametrize(
    "body",
    [
        {"content": "x"},
        {"capability": "a", "agent": "b", "content": "x"},
        {"capability": "Not A Name", "content": "x"},
        {"capability": "a", "content": ""},
        {"capability": "a", "content": "x", "version_range": "nonsense"},
        {"capability": "a", "content": "x", "surprise": 1},
        {"capability": "a", "content": 7},
    ],
)
@pytest.mark.requirement("ERR-1")
def test_a_wrong_body_is_told_as_a_problem(api: httpx.Client, body: dict[str, object]) -> None:
    problem = ask(api, body)
    assert problem.status_code == 400
    assert problem.json()["code"] == "invalid_input"
    assert problem.json()["details"]["problems"]
