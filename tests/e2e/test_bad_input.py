"""Bad input of every kind, on both stores: an answer or a clear error, soon, and nobody else is held up."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.conftest import RunningServer, start_server, stop_server
from tests.support.agents import agent, hands_over, replies
from tests.support.deploying import deploy_files
from tests.support.postgres import Postgres

SOON = 10.0
"""Seconds: twice what is promised, for machines on which much else runs. On a quiet one the largest takes half a second."""

NO_REST = "[breaker]\nenabled = false\n"
"""For agents that fail all the time, on purpose."""

AGENTS: dict[str, str | bytes] = {
    **agent("echo", rules=replies("{{ request }}")),
    **agent("slow", rules=replies("{{ request }}", delay=0.01)),
    **agent("over", rules=hands_over("echo"), more='delegates = ["echo"]\n'),
    **agent("fails", rules="[[rules]]\n[[rules.steps]]\nfail = 'no: {{ request }}'\n", more=NO_REST),
    **agent("late", rules="delay = 0.01\n[[rules]]\n[[rules.steps]]\nfail = 'no: {{ request }}'\n", more=NO_REST),
    **agent("told", rules=hands_over("fails"), more='delegates = ["fails"]\n' + NO_REST),
    **agent("kept", rules=hands_over("late", on_error="{{ request }}"), more='delegates = ["late"]\n' + NO_REST),
    **agent("given", rules=replies("{{ variables.x }}")),
}
MB = 1 << 20

CONTENTS = {
    "NUL": "a\0b",
    "many NUL": "\0" * 200_000,
    "control characters": "".join(map(chr, range(32))) * 30_000,
    "quotes": '"\\' * 500_000,
    "a MB of other scripts": "\N{PILE OF POO}\u0416" * 200_000,
    "nearly 16 MB": "x" * (16 * MB - 10),
    "not a character": "\ufffe\uffff\U0010ffff",
    "line ends": "\r\n\u2028\u2029\x85",
}


STORES = [
    pytest.param(store, marks=pytest.mark.xdist_group(f"bad-input-{store}")) for store in ("sqlite", "postgresql")
]
"""One worker makes what the tests of a store share."""


@pytest.fixture(scope="module", params=STORES)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("bad-input")
    env = {"CAXTON_HEALTH__EVERY": "1h"}
    if request.param == "postgresql":
        database: Postgres = request.getfixturevalue("postgres")
        env["CAXTON_STORE__URL"] = database.new_store()
    process, running = start_server(folder / "data", env=env)
    with running.client() as api:
        deploy_files(api, folder / "w", AGENTS)
    yield running
    stop_server(process)


@pytest.fixture
def api(server: RunningServer) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client
        began = time.monotonic()  # whatever was asked: the server is well, and has nothing left to do
        assert client.post("/v1/messages", json={"capability": "slow", "content": "well?"}).status_code == 200
        assert time.monotonic() - began < SOON


def message(api: httpx.Client, capability: str, body: dict[str, Any]) -> httpx.Response:
    return post(api, "/v1/messages", {"capability": capability, **body})


def talk(api: httpx.Client, capability: str, body: dict[str, Any]) -> httpx.Response:
    conversation = api.post("/v1/conversations", json={"capability": capability}).json()["id"]
    answer = post(api, f"/v1/conversations/{conversation}/messages", body)
    began = time.monotonic()
    assert api.post(f"/v1/conversations/{conversation}/end", json={}).status_code == 200
    assert time.monotonic() - began < SOON
    return answer


def batch(api: httpx.Client, capability: str, body: dict[str, Any]) -> httpx.Response:
    """The answer to a line among others, which are answered."""
    well = json.dumps({"capability": "slow", "content": "well?"})
    bad = json.dumps({"capability": capability, **body})
    answer = post(api, "/v1/messages/batch", "\n".join([well, bad, well]))
    if answer.status_code != 200:
        return answer
    lines = {line["line"]: line for line in map(json.loads, answer.content.splitlines())}
    assert [lines[number]["status"] for number in (1, 3)] == [200, 200]
    told = lines[2]
    if (error := told.get("error")) is not None:
        error["detail"] = error["message"]
    return httpx.Response(told["status"], json=error or told["turn"])


def post(api: httpx.Client, path: str, body: dict[str, Any] | str) -> httpx.Response:
    text = body if isinstance(body, str) else json.dumps(body)
    kind = "application/x-ndjson" if path.endswith("batch") else "application/json"
    began = time.monotonic()
    answer = api.post(path, content=text.encode(), headers={"Content-Type": kind})
    assert time.monotonic() - began < SOON
    return answer


Way = Callable[[httpx.Client, str, dict[str, Any]], httpx.Response]
WAYS = {"message": message, "conversation": talk, "batch": batch}


def ways(first: str, *others: str) -> pytest.MarkDecorator:
    """The `first` capability in all ways, the others by a message."""
    cases = [(way, first) for way in WAYS.values()] + [(message, name) for name in others]
    return pytest.mark.parametrize(("way", "capability"), cases, ids=[f"{name}-{way.__name__}" for way, name in cases])


each_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())


def text_of(api: httpx.Client, answer: httpx.Response) -> str:
    content = answer.json()["reply"]["content"]
    return content["text"] if content.get("digest") is None else api.get(f"/v1/blobs/{content['digest']}").text


@pytest.mark.requirement("MSG-9")
@ways("slow", "echo", "over")
@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS.keys())
def test_a_content_of_any_characters_is_answered(api: httpx.Client, way: Way, capability: str, content: str) -> None:
    answer = way(api, capability, {"content": content})
    if answer.status_code == 413:  # a batch's body has a limit as a whole
        assert way is batch
        return
    assert answer.status_code == 200, answer.text[:500]
    assert text_of(api, answer) == content


@pytest.mark.requirement("MSG-9")
@pytest.mark.parametrize("sign", ["\x01", '"', "\\"], ids=["control", "quotes", "backslashes"])
def test_texts_that_are_long_as_json_hold_up_nobody_beside_them(api: httpx.Client, sign: str) -> None:
    """Many at a time, so that they travel together: just below the size from which on a text lies among the blobs."""
    long = sign * 60_000

    def ask(number: int) -> tuple[str, str, float]:
        content = long if number % 2 else f"well {number}"
        began = time.monotonic()
        answer = api.post("/v1/messages", json={"capability": ("echo", "slow")[number // 2 % 2], "content": content})
        took = time.monotonic() - began
        assert answer.status_code == 200, answer.text[:500]
        return content, text_of(api, answer), took

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(ask, range(48)))
    assert all(content == text for content, text, _ in found)
    assert max(took for *_, took in found) < SOON


@pytest.mark.requirement("ERR-1")
@ways("late", "fails", "told", "kept")
@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS.keys())
def test_an_error_text_of_any_characters_is_told_in_part(
    api: httpx.Client, way: Way, capability: str, content: str
) -> None:
    answer = way(api, capability, {"content": content})
    if answer.status_code == 413:
        assert way is batch
        return
    if capability == "kept":
        assert answer.status_code == 200, answer.text[:500]
        assert text_of(api, answer) == content
        return
    assert answer.status_code == 502, answer.text[:500]
    problem = answer.json()
    assert problem["code"] == "execution_failed"
    said = problem["detail"]
    assert len(said.encode()) <= 4096
    assert "\0" not in said
    assert "no:" in said
    turn = api.get(f"/v1/executions/{problem['details']['execution_id']}").json()
    assert turn["state"] == "failed"
    assert len(json.dumps(turn)) < 100_000


@pytest.mark.requirement("MSG-9")
@each_way
@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"content": "half: \ud800"}, 400),
        ({"content": "x", "variables": {"x": "half: \udfff"}}, 400),
        ({"content": "x", "variables": {"\ud8ff": 1}}, 400),
        ({"content": "x" * (16 * MB + 1)}, 413),
        ({"content": "x", "variables": {"x": "\0" * 50_000}}, 413),
        ({"content": "x", "variables": {"x": 2**63}}, 400),
    ],
    ids=["half content", "half value", "half name", "17 MB", "long variables", "large number"],
)
def test_what_cannot_be_kept_is_refused(api: httpx.Client, way: Way, body: dict[str, Any], status: int) -> None:
    answer = way(api, "given", body)
    assert answer.status_code == status, answer.text[:500]
    assert answer.json()["code"] in ("invalid_input", "payload_too_large")


@pytest.mark.requirement("MSG-9")
@each_way
@pytest.mark.parametrize("depth", [50, 150, 250, 20_000])
@pytest.mark.parametrize("brackets", ["[]", '{"a":}'], ids=["lists", "objects"])
def test_deep_variables_are_taken_or_refused(api: httpx.Client, way: Way, depth: int, brackets: str) -> None:
    head, tail = brackets[:-1], brackets[-1]
    deep = head * depth + "1" + tail * depth
    given = json.loads(f'{{"x": {deep}}}') if depth < 300 else None
    if given is None:  # Python cannot write it
        path, body = "/v1/messages", f'{{"capability": "given", "content": "x", "variables": {{"x": {deep}}}}}'
        if way is talk:
            path = (
                f"/v1/conversations/{api.post('/v1/conversations', json={'capability': 'given'}).json()['id']}/messages"
            )
            body = f'{{"content": "x", "variables": {{"x": {deep}}}}}'
        answer = post(api, "/v1/messages/batch" if way is batch else path, body)
        assert answer.status_code in (200, 400)
        assert answer.status_code == 400 or '"status":400' in answer.text.replace(" ", "")
        return
    answer = way(api, "given", {"content": "x", "variables": given})
    assert answer.status_code in (200, 400, 422), answer.text[:500]
    assert answer.status_code == 200 or depth > 100


@pytest.mark.requirement("MSG-9")
@ways("given", "slow")
@pytest.mark.parametrize(
    "value", ["a\0b", "\x01" * 1000, '"' * 100_000, "\u2028"], ids=["NUL", "control", "quotes", "separator"]
)
def test_variables_of_any_characters_are_taken(api: httpx.Client, way: Way, capability: str, value: str) -> None:
    answer = way(api, capability, {"content": "x", "variables": {"x": value, value[:50]: [value[:50]]}})
    assert answer.status_code == 200, answer.text[:500]
    assert text_of(api, answer) == (value if capability == "given" else "x")


@pytest.mark.requirement("MSG-9")
@pytest.mark.parametrize("text", ["a\0b", "\x01", '"\\'], ids=["NUL", "control", "quotes"])
def test_a_conversation_with_any_topic_and_metadata_is_begun_or_refused(api: httpx.Client, text: str) -> None:
    body = {"capability": "echo", "topic": text, "metadata": {"x": text, text: 1}}
    answer = post(api, "/v1/conversations", body)
    assert answer.status_code in (201, 400), answer.text
    if answer.status_code == 201:
        found = api.get(f"/v1/conversations/{answer.json()['id']}").json()
        assert (found["topic"], found["metadata"]["x"]) == (text, text)
        assert talk_once(api, answer.json()["id"]) == "hello"


def talk_once(api: httpx.Client, conversation: str) -> str:
    return post(api, f"/v1/conversations/{conversation}/messages", {"content": "hello"}).json()["reply"]["content"][
        "text"
    ]


@pytest.mark.requirement("MSG-9")
def test_keys_and_ids_of_any_characters_are_answered_or_refused(api: httpx.Client) -> None:
    for word in ("%00", "%ED%A0%80", "x" * 5000, "%22%27", "..", "%F0%9F%92%A9"):
        for path in (f"/v1/executions/{word}", f"/v1/conversations/{word}", f"/v1/executions/{word}/replay"):
            began = time.monotonic()
            answer = api.get(path)
            assert time.monotonic() - began < SOON
            assert answer.status_code in (400, 404, 414, 200), (path[:50], answer.text[:300])
    for key in (b"\xff\xfe", "\u0416".encode(), b'"', b"\x7f"):
        began = time.monotonic()
        answer = api.post(
            "/v1/messages", json={"capability": "echo", "content": "x"}, headers={b"Idempotency-Key": key}
        )
        assert time.monotonic() - began < SOON
        assert answer.status_code in (200, 400), answer.text
