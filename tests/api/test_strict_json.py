"""Bodies that one reader of JSON takes and another does not, and values that nothing can keep: refused, in words."""

import json
import time

import httpx
import pytest

from tests.api.conftest import Deploy
from tests.support.agents import agent, replies

BODIES = [
    b'{"capability": "a", "content": "x", "variables": {"n": NaN}}',
    b'{"capability": "a", "content": "x", "variables": {"n": Infinity}}',
    b'{"capability": "a", "content": "x", "variables": {"n": -Infinity}}',
    b'{"capability": "a", "content": "x", "variables": {"n": 1e999}}',
    b'{"capability": "a", "content": "x", "variables": {"n": 1E+0999}}',
    b'{"capability": "a", "content": "x", "variables": {"n": ' + b"9" * 400 + b"}}",
    b'{"capability": "a", "content": "x", "variables": {"n": ' + b"9" * 9_000 + b"}}",
    b'{"capability": "a", "content": "x", "variables": {"n": ' + b"9" * 400 + b".5}}",
    b'{"capability": "a", "content": "x", "variables": {"n": 9223372036854775808}}',
    b'{"capability": "a", "content": "x", "variables": {"s": "\\ud800"}}',
    b'{"capability": "a", "content": "x", "variables": {"\\uDFFF": 1}}',
    b'{"capability": "a", "content": "\\ud83d"}',
    b'{"capability": "a", "capability": "b", "content": "x"}',
    b'{"capability": "a", "content": "x", "content": "x"}',
    b'{"capability": "a", "content": "x", "variables": {"a": 1, "\\u0061": 2}}',
    b'{"capability": "a", "content": "x", "variables": ' + b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b"}",
    b'{"capability": "a", "content": "x", "variables": {"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
    b'{"capability": "a", "content": "x", "variables": {"a": ' + b"[" * 100_000,
    b"[" * 100_000,
    b'{"capability": "a", "content": "x"',
    b'{"capability": "a", "content": "x"}{}',
    b"{'capability': 'a', 'content': 'x'}",
    b'{"capability": "a", "content": "\xff"}',
    b'{"capability": "a", "content": "\xed\xa0\x80"}',
    b'{"capability": "a", "content": "\x00"}',
    '{"capability": "a", "content": "x"}'.encode("utf-16"),
    '{"capability": "a", "content": "x"}'.encode("utf-32-le"),
    b'\xef\xbb\xbf{"capability": "a", "content": "x"}',
    b"null",
    b"1",
    b'"x"',
    b"[]",
    b"",
    b"\x00",
]


@pytest.mark.parametrize("charset", ["", "; charset=utf-8"])
@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:60]))
def test_odd_json_is_refused_in_words(api: httpx.Client, body: bytes, charset: str) -> None:
    """Plain requests take a shorter way; with a parameter in the content type they take the long one."""
    refused = api.post("/v1/messages", content=body, headers={"Content-Type": f"application/json{charset}"})
    assert refused.status_code == 400, refused.text
    problem = refused.json()
    assert problem["code"] == "invalid_input"
    assert problem["detail"]
    assert len(refused.content) < 4_000


@pytest.mark.parametrize(
    "body", [body for body in BODIES if body.strip() and b"\n" not in body], ids=lambda body: repr(body[:60])
)
def test_odd_lines_of_a_batch_are_refused_one_by_one(api: httpx.Client, deploy: Deploy, body: bytes) -> None:
    deploy(agent("good", rules=replies("fine")))
    lines = body + b'\n{"capability": "good", "content": "x"}\n'
    answers = api.post("/v1/messages/batch", content=lines, headers={"Content-Type": "application/x-ndjson"})
    assert answers.status_code == 200
    told = {answer["line"]: answer for answer in map(json.loads, answers.text.splitlines())}
    assert told.pop(max(told))["status"] == 200
    assert {answer["status"] for answer in told.values()} == {400}


def test_what_is_allowed_is_answered(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("good", rules=replies("{{ variables.n }} {{ variables.s }}")))
    for value, said in (
        (2**63 - 1, "9223372036854775807"),
        (-(2**63) + 1, "-9223372036854775807"),
        (1.5e300, "1.5e+300"),
    ):
        body = {
            "capability": "good",
            "content": "x\0y 12345678901234567890123 1e999 NaN",
            "variables": {"n": value, "s": "é💡"},
        }
        answer = api.post("/v1/messages", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["reply"]["content"]["text"] == f"{said} é💡"


@pytest.mark.requirement("SEC-3")
def test_a_body_has_a_number_of_values(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("echo", rules=replies("you said: {{ request | length }}")))
    frame = b'{"capability": "echo", "content": "x", "variables": {"a": %s}}'
    many = b"[" + b"1," * 200_000 + b"1]"
    for values in (
        many,
        b"[" + b"[]," * 200_000 + b"1]",
        b"[" + b'"a",' * 200_000 + b"1]",
        b'[{"a":[1,' + many + b"]}]",
    ):
        begun = time.monotonic()
        refused = api.post("/v1/messages", content=frame % values, headers={"Content-Type": "application/json"})
        assert refused.status_code == 400, refused.text[:300]
        assert "more than 100,000 values" in refused.json()["detail"]
        assert time.monotonic() - begun < 10
    text = '",\\[{' * 50_000  # marks within texts are no values
    taken = api.post("/v1/messages", json={"capability": "echo", "content": text})
    assert taken.json()["reply"]["content"]["text"] == f"you said: {len(text)}"


@pytest.mark.requirement("SEC-3")
def test_a_message_may_have_its_largest_variables_beside_its_content(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("echo", rules=replies("{{ variables.a | length }}")))
    body = {"capability": "echo", "content": "x" * 1_000, "variables": {"a": "y" * (255 << 10)}}
    assert api.post("/v1/messages", json=body).json()["reply"]["content"]["text"] == str(255 << 10)
