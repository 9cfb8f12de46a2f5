"""Many messages in one request: answered line by line, each by itself."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from tests.api.conftest import Deploy
from tests.support.agents import agent, replies


def send(api: httpx.Client, lines: list[Any]) -> httpx.Response:
    body = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    return api.post("/v1/messages/batch", content=body, headers={"Content-Type": "application/x-ndjson"})


def answers(response: httpx.Response) -> dict[int, dict[str, Any]]:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/x-ndjson"
    found = [json.loads(line) for line in response.text.splitlines()]
    return {answer["line"]: answer for answer in found}


def test_every_line_has_one_answer_and_a_wrong_one_spoils_no_other(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("echo", rules=replies("you said: {{ request }}")))
    lines: list[Any] = [{"capability": "echo", "content": f"number {n}", "id": f"i{n}"} for n in range(1, 61)]
    lines[9] = "{no json"
    lines[19] = {"capability": "echo"}
    lines[29] = {"capability": "nobody-offers-this", "content": "x", "id": "lost"}
    found = answers(send(api, lines))
    assert sorted(found) == list(range(1, 61))
    for number, answer in found.items():
        if number in (10, 20):
            assert answer["status"] == 400
            assert answer["error"]["code"] == "invalid_input"
        elif number == 30:
            assert answer["status"] == 404
            assert answer["id"] == "lost"
            assert answer["error"]["code"] == "no_capable_agent"
        else:
            assert answer["id"] == f"i{number}"
            assert answer["turn"]["reply"]["content"]["text"] == f"you said: number {number}"


def test_a_line_with_a_key_is_answered_once(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("echo", rules=replies("you said: {{ request }}")))
    line = {"capability": "echo", "content": "once", "idempotency_key": "k"}
    first, again = (answers(send(api, [line]))[1]["turn"] for _ in range(2))
    assert first == again


def test_a_key_that_would_be_ignored_is_refused(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("echo", rules=replies("you said: {{ request }}")))
    line = {"capability": "echo", "content": "x"}
    whole = api.post("/v1/messages/batch", content=json.dumps(line), headers={"Idempotency-Key": "k"})
    assert whole.status_code == 400
    assert "each line" in whole.text
    assert api.post("/v1/messages", json=line, headers={"Idempotency-Key": ""}).status_code == 400
    assert answers(send(api, [{**line, "idempotency_key": ""}]))[1]["status"] == 400


def test_what_cannot_be_written_again_is_refused_and_spoils_nothing(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("echo", rules=replies("you said: {{ request }}")))
    bad = r'{"capability": "echo", "content": "x", "variables": {"a": {"b": ["\ud800"]}}}'

    def ask(number: int) -> httpx.Response:
        content = bad if number % 8 == 0 else json.dumps({"capability": "echo", "content": str(number)})
        return api.post("/v1/messages", content=content, headers={"Content-Type": "application/json"})

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(ask, range(64)))
    assert [answer.status_code for answer in found] == [400 if number % 8 == 0 else 200 for number in range(64)]
    assert "surrogate" in found[0].text
    conversation = '{"capability": "echo", "metadata": {"a": "\\ud800"}}'
    headers = {"Content-Type": "application/json"}
    assert api.post("/v1/conversations", content=conversation, headers=headers).status_code == 400


def test_a_batch_has_limits(api: httpx.Client) -> None:
    assert send(api, []).status_code == 400
    many = send(api, [{"capability": "echo", "content": "x"}] * 1_001)
    assert many.status_code == 413
    assert many.json()["details"] == {"limit": 1_000}
    large = send(api, [{"capability": "echo", "content": "x" * (5 << 20)}])
    assert large.status_code == 413


def test_the_short_way_answers_as_the_long_one_does(api: httpx.Client, deploy: Deploy) -> None:
    """A parameter in the URL sends a request the long way, through all of FastAPI."""
    deploy(agent("echo", rules=replies("you said: {{ request }}")))

    def both(body: Any, **headers: str) -> list[httpx.Response]:
        content = body if isinstance(body, str) else json.dumps(body)
        sent = {"Content-Type": "application/json", **headers}
        return [api.post(path, content=content, headers=sent) for path in ("/v1/messages", "/v1/messages?wait=true")]

    def shape(value: Any) -> Any:
        """A body without what differs from request to request."""
        if isinstance(value, dict):
            passing = ("trace_id", "span_id", "created_at", "request_id")
            return {key: None if key in passing else shape(item) for key, item in value.items()}
        if isinstance(value, list):
            return [shape(item) for item in value]
        return value[:2] if isinstance(value, str) and value[1:2] == "_" else type(value) if value else value

    for body in (
        {"capability": "echo", "content": "ä\u2028"},
        {"capability": "echo"},
        {"capability": "echo", "agent": "echo", "content": "x"},
        {"capability": "nobody", "content": "x"},
        {"agent": "nobody", "content": "x"},
        "{",
        "[]",
    ):
        short, long = both(body)
        assert short.status_code == long.status_code
        assert shape(short.json()) == shape(long.json())
        ignored = ("date", "x-request-id", "content-length")
        assert {k: v for k, v in short.headers.items() if k not in ignored} == {
            k: v for k, v in long.headers.items() if k not in ignored
        }
