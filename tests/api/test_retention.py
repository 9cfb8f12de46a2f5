"""How long things are kept, over HTTP."""

import time

import httpx
import pytest

from tests.api.conftest import Deploy
from tests.api.test_deletion import eventually
from tests.api.test_events import listed
from tests.conftest import RunningServer
from tests.support.agents import agent, replies


def periods(answer: httpx.Response) -> dict[str, dict[str, object]]:
    assert answer.status_code == 200, answer.text
    return {each["kind"]: each for each in answer.json()["periods"]}


@pytest.mark.requirement("EVT-9")
def test_nothing_is_deleted_until_somebody_decides_so(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("echo", rules=replies("you said: {{ request }}")))
    turn = api.post("/v1/messages", json={"capability": "echo", "content": "hello"}).json()
    assert {each["seconds"] for each in periods(api.get("/v1/retention")).values()} == {None}
    time.sleep(1.1)
    would = periods(api.put("/v1/retention", json={"steps": 1}, params={"dry_run": "true"}))
    assert (would["steps"]["outside"], would["messages"]["outside"]) == (1, 0)
    assert {each["seconds"] for each in periods(api.get("/v1/retention")).values()} == {None}
    periods(api.put("/v1/retention", json={"steps": 1}))
    eventually(lambda: periods(api.get("/v1/retention"))["steps"]["outside"] == 0)
    found = api.get(f"/v1/executions/{turn['execution_id']}").json()
    assert found["reply"]["content"]["text"] == "you said: hello", "only the steps are gone"
    said = api.get(f"/v1/executions/{turn['execution_id']}/contents").json()["contents"]
    assert [each["kind"] for each in said] == ["message", "message"]
    periods(api.put("/v1/retention", json={"conversations": 1}))
    eventually(lambda: api.get("/v1/conversations").json()["conversations"] == [])
    assert api.get(f"/v1/executions/{turn['execution_id']}").status_code == 404
    replayed = api.get(f"/v1/executions/{turn['execution_id']}/replay").json()
    assert replayed["not_compared"] == "its period of retention was over"
    told = [event["payload"]["kind"] for event in listed(api, type="retention_applied")]
    assert told == ["steps", "conversations"]
    (first, second) = listed(api, type="periods_set")
    assert first["payload"]["periods"]["steps"] == 1
    assert second["payload"]["before"]["steps"] == 1
    assert second["payload"]["periods"]["steps"] is None


@pytest.mark.requirement("EVT-9")
def test_messages_of_a_conversation_that_goes_on_go_with_their_time(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("memo", rules=replies("{{ history | length }} before")))
    conversation = api.post("/v1/conversations", json={"capability": "memo"}).json()["id"]
    path = f"/v1/conversations/{conversation}/messages"
    api.post(path, json={"content": "x"}).raise_for_status()
    last = api.post(path, json={"content": "x"}).json()
    assert last["reply"]["content"]["text"] == "2 before"
    time.sleep(1.1)
    periods(api.put("/v1/retention", json={"messages": 1, "executions": 1}))
    eventually(lambda: api.get(path).json()["messages"] == [])
    periods(api.put("/v1/retention", json={}))
    again = api.post(path, json={"content": "x"})
    assert again.json()["reply"]["content"]["text"] == "0 before", again.text


@pytest.mark.requirement("EVT-9")
@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"executions": 10}, "executions cannot go before messages"),
        ({"messages": 10, "executions": 10, "steps": 20}, "cannot be kept longer"),
        ({"messages": 0}, "messages"),
        ({"messages": "soon"}, "messages"),
        ({"turns": 10}, "turns"),
        ({"steps": 1e300}, "steps"),
    ],
)
def test_periods_that_make_no_sense_are_refused(api: httpx.Client, body: dict[str, object], says: str) -> None:
    refused = api.put("/v1/retention", json=body)
    assert refused.status_code in (400, 422), refused.text
    assert says in refused.text


@pytest.mark.requirement("EVT-9")
def test_who_may_not_decide_is_refused(api: httpx.Client, caxton_server: RunningServer) -> None:
    key = api.post("/v1/keys", json={"name": "dev", "role": "developer"}).json()["key"]
    with caxton_server.client(api.headers["X-Caxton-Workspace"], key=key) as developer:
        assert developer.get("/v1/retention").status_code == 200
        assert developer.put("/v1/retention", json={"steps": 10}).status_code == 403
