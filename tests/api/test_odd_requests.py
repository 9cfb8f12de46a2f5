"""Requests that nobody sends by accident: each is refused in words, by a 4xx, or answered."""

import base64
import socket
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest

from tests.api.conftest import Deploy
from tests.conftest import RunningServer
from tests.support.agents import agent, replies

TIMES = [
    "0001-01-01T00:00:00+14:00",
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00-14:00",
    "1969-12-31T23:59:59Z",
    "9999-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:59-14:00",
    "9999-12-31T23:59:59+14:00",
    "9001-01-01T00:00:00Z",
    "10000-01-01T00:00:00Z",
    "-0001-01-01T00:00:00Z",
    "2025-01-01T00:00:00",
    "2025-01-01",
    "2025-02-30T00:00:00Z",
    "2025-01-01T25:00:00Z",
    "2025-01-01T00:00:00+99:00",
    "-99999999999999",
    "99999999999999999999",
    "1e400",
    "NaN",
    "now",
    "",
    "\0",
]

TIMED = [
    ("/v1/messages", "before"),
    ("/v1/conversations", "before"),
    ("/v1/conversations/c_nope/messages", "before"),
    ("/v1/approvals", "before"),
    ("/v1/events", "since"),
    ("/v1/events", "until"),
    ("/v1/events/export", "since"),
    ("/v1/events/tail", "until"),
    ("/v1/metrics", "since"),
    ("/v1/metrics", "until"),
]


def refused(answer: httpx.Response) -> None:
    """A problem in words."""
    assert 400 <= answer.status_code < 500, f"{answer.status_code} {answer.text[:300]}"
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["detail"]
    assert problem["code"] != "internal"


@pytest.mark.parametrize("time", TIMES)
def test_the_ends_of_time_are_refused(api: httpx.Client, time: str) -> None:
    for path, name in TIMED:
        answer = api.get(path, params={name: time})
        refused(answer)
        assert answer.status_code == 400, path
    for path, body in (
        ("/v1/memory/purge", {"before": time, "dry_run": True}),
        ("/v1/onboarding", {"events": [{"id": "12345678", "type": "quickstart_initiated", "at": time, "payload": {}}]}),
    ):
        refused(api.post(path, json=body))


@pytest.mark.parametrize(
    "time", ["1970-01-01T00:00:00Z", "2025-06-01T12:00:00+14:00", "8999-12-30T23:59:59.999999-14:00"]
)
def test_times_with_a_zone_are_taken(api: httpx.Client, time: str) -> None:
    for path, name in TIMED:
        if "export" in path or "tail" in path or path == "/v1/metrics":
            continue
        assert api.get(path, params={name: time}).status_code in (200, 404), path


@pytest.mark.parametrize("number", ["-1", "1e400", "9" * 30, "9" * 5000, "NaN", "0x1", "", " ", "１", "1_0", "\0"])
def test_odd_numbers_are_refused(api: httpx.Client, number: str) -> None:
    for path, name in (
        ("/v1/messages", "limit"),
        ("/v1/conversations", "limit"),
        ("/v1/deployments", "limit"),
        ("/v1/events", "limit"),
        ("/v1/events/export", "after"),
        ("/v1/memory", "limit"),
        ("/v1/memory/mem_nope/graph", "hops"),
        ("/v1/tools/nope/logs", "limit"),
    ):
        answer = api.get(path, params={name: number})
        if number not in ("1_0", "１", " "):  # which Python takes for numbers; harmless, but never a 500
            assert answer.status_code == 400, f"{path} {answer.text[:200]}"
        refused(answer) if answer.status_code != 200 else None


IDS = [
    "%00",
    "a%00b",
    "%0a",
    "%ED%A0%80",
    "%FF",
    "x" * 5_000,
    "%F0%9F%92%A9",
    "a%5Cb",
    "%2e%2e",
    "'",
    '"',
    "--",
    "%E2%80%AE",
    "~",
]

BY_ID = [
    ("GET", "/v1/executions/{}"),
    ("POST", "/v1/executions/{}/cancel"),
    ("GET", "/v1/executions/{}/stream"),
    ("GET", "/v1/executions/{}/events"),
    ("GET", "/v1/executions/{}/replay"),
    ("GET", "/v1/conversations/{}"),
    ("GET", "/v1/conversations/{}/messages"),
    ("POST", "/v1/conversations/{}/cancel"),
    ("GET", "/v1/deployments/{}"),
    ("POST", "/v1/deployments/{}/rollback"),
    ("GET", "/v1/blobs/{}"),
    ("PUT", "/v1/blobs/{}"),
    ("GET", "/v1/agents/{}"),
    ("POST", "/v1/agents/{}/stop"),
    ("POST", "/v1/agents/{}/start"),
    ("GET", "/v1/tools/{}"),
    ("GET", "/v1/tools/{}/logs"),
    ("GET", "/v1/events/{}"),
    ("GET", "/v1/views/{}"),
    ("POST", "/v1/views/{}/rebuild"),
    ("DELETE", "/v1/metrics/{}"),
    ("GET", "/v1/approvals/{}"),
    ("POST", "/v1/approvals/{}/grant"),
    ("GET", "/v1/memory/{}"),
    ("DELETE", "/v1/memory/{}"),
    ("GET", "/v1/memory/{}/graph"),
    ("DELETE", "/v1/memory/relations/{}"),
    ("DELETE", "/v1/keys/{}"),
]


@pytest.mark.parametrize("identity", IDS, ids=lambda text: text[:12])
def test_odd_ids_are_refused(api: httpx.Client, identity: str) -> None:
    base = urlsplit(str(api.base_url))
    for method, path in BY_ID:
        url = httpx.URL(scheme=base.scheme, host=base.hostname, port=base.port, raw_path=path.format(identity).encode())
        answer = api.request(method, url, content=b"x" if method == "PUT" else None)
        refused(answer)
        assert len(answer.content) < 3_000, path


@pytest.mark.parametrize("text", ["\0", "a\0b"])
def test_nul_in_texts_is_refused_or_kept(api: httpx.Client, deploy: Deploy, text: str) -> None:
    deploy(agent("good", rules=replies("fine: {{ request }}")))
    memory = api.post("/v1/memory", json={"text": "one"}).json()["id"]
    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/v1/conversations", {"capability": "good", "topic": text}),
        ("POST", "/v1/conversations", {"capability": "good", "metadata": {text: text}}),
        ("POST", "/v1/messages", {"capability": "good", "content": text}),
        ("POST", "/v1/messages", {"capability": "good", "content": "x", "variables": {text: text}}),
        ("POST", "/v1/messages", {"capability": text, "content": "x"}),
        ("POST", "/v1/messages", {"capability": "good", "content": "x", "version_range": text}),
        ("POST", "/v1/agents/good/resume", {"reason": text}),
        ("POST", "/v1/tools/nope/call", {"function": text}),
        ("POST", "/v1/keys", {"name": text}),
        ("POST", "/v1/deployments", {"bundles": [], "message": text}),
        ("POST", "/v1/memory", {"text": text}),
        ("POST", "/v1/memory", {"text": "x", "name": text}),
        ("POST", "/v1/memory", {"text": "x", "type": text}),
        ("POST", "/v1/memory", {"text": "x", "metadata": {text: text}}),
        ("PATCH", f"/v1/memory/{memory}", {"name": text}),
        ("POST", "/v1/memory/search", {"text": text}),
        ("POST", "/v1/memory/search", {"text": "x", "where": {text: text}}),
        ("POST", "/v1/memory/relations", {"source": memory, "type": text, "target": memory}),
        ("POST", "/v1/memory/purge", {"type": text}),
        ("POST", "/v1/memory/purge", {"scope": text}),
        ("POST", "/v1/memory/edit", {"changes": {"set": {text: text}}}),
        ("PUT", "/v1/metrics/m", {"count": {"type": "execution_completed", "agent": text}}),
        ("PUT", "/v1/budgets", {"resource": "tokens", "period": "day", "limit": 1, "workspace": text}),
    ]
    for method, path, body in requests:
        answer = api.request(method, path, json=body)
        if answer.is_success:
            answer.json() if answer.content else None
        else:
            refused(answer)
    for path in (
        "capabilities?query",
        "memory?type",
        "memory?after",
        "memory?scope",
        "views/activity?key",
        "events?cursor",
        "events?agent",
    ):
        name, _, parameter = path.partition("?")
        answer = api.get(f"/v1/{name}", params={parameter: text})
        refused(answer)


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": b"Basic \xe9"},
        {"Authorization": b"Basic " + base64.b64encode(b"\xff\xfe:\xff")},
        {"Authorization": b"Basic ===="},
        {"Authorization": b"Basic"},
        {"Authorization": b"Bearer"},
        {"Authorization": b"Bearer \xff\xfe"},
        {"Authorization": b"Bearer " + b"x" * 5_000},
        {"Authorization": b"\xe9"},
        {"Authorization": b""},
    ],
    ids=repr,
)
def test_keys_that_are_none_are_refused(caxton_server: RunningServer, headers: dict[str, bytes]) -> None:
    for path in ("/v1/agents", "/docs", "/openapi.json", "/nothing"):
        answer = httpx.get(f"{caxton_server.url}{path}", headers=headers, trust_env=False)
        refused(answer)
        assert answer.status_code == 401


@pytest.mark.parametrize(
    "workspace",
    [b"", b"..", b"A", b"\xe9", b"a/b", b"a b", b"*", b"x" * 64, b"x" * 5_000, b"a,b", b".global"],
    ids=repr,
)
def test_workspaces_that_are_none_are_refused(api: httpx.Client, workspace: bytes) -> None:
    answer = api.get("/v1/agents", headers={"X-Caxton-Workspace": workspace})
    refused(answer)
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"Idempotency-Key": b"\xe9\xff"},
        {"Idempotency-Key": b"x" * 201},
        {"Idempotency-Key": b""},
        {"Last-Event-ID": b"\xff" * 400},
        {"X-Caxton-Channel": b"\xff"},
        {"traceparent": b"\xff"},
        {"traceparent": b"00-" + b"f" * 500},
        {"tracestate": b"\xff=\xff" * 50},
        {"baggage": b"%FF=\xff," * 50},
        {"Accept": b"\xff/*;q=\xff"},
        {"If-None-Match": b"\xff"},
        {"Range": b"bytes=9-1,\xff"},
        {"Expect": b"\xff"},
        {"Forwarded": b"for=\xff"},
        {"X-Forwarded-For": b"\xff"},
    ],
    ids=repr,
)
def test_odd_headers_break_nothing(api: httpx.Client, deploy: Deploy, headers: dict[str, bytes]) -> None:
    deploy(agent("good", rules=replies("fine")))
    requests = [
        ("POST", "/v1/messages", {"capability": "good", "content": "x"}),
        ("GET", "/v1/agents", None),
        ("GET", "/metrics", None),
    ]
    for method, path, body in requests:
        answer = api.request(method, path, json=body, headers=headers)
        if not answer.is_success:
            refused(answer)


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "a" * 201,
        "====",
        "\0",
        "é",
        base64.urlsafe_b64encode(b"1.-1.x").decode(),
        base64.urlsafe_b64encode(b"1." + b"9" * 100 + b".x").decode(),
    ],
)
def test_forged_cursors_are_refused(api: httpx.Client, cursor: str) -> None:
    for path in ("/v1/events", "/v1/events/tail"):
        answer = api.get(path, params={"cursor": cursor}) if cursor or path == "/v1/events/tail" else None
        if answer is not None and cursor:
            refused(answer)


def test_a_cursor_of_another_list_and_a_truncated_one_are_refused(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("good", rules=replies("fine")))
    cursor = api.get("/v1/events", params={"limit": 1}).json()["next"]
    assert api.get("/v1/events", params={"limit": 1, "cursor": cursor}).status_code == 200
    for forged in (cursor[:-1], cursor[1:], cursor + "A", cursor.swapcase()):
        refused(api.get("/v1/events", params={"cursor": forged}))
    refused(api.get("/v1/events", params={"cursor": cursor, "order": "newest"}))
    refused(api.get("/v1/events", params={"cursor": cursor, "agent": "good"}))


def test_other_content_types_are_refused(api: httpx.Client) -> None:
    for path in ("/v1/messages", "/v1/deployments", "/v1/memory"):
        for kind in (
            "text/plain",
            "application/xml",
            "multipart/form-data",
            "application/x-www-form-urlencoded",
            "application/jsonp",
            "x",
            "é".encode().decode("latin-1"),
        ):
            answer = api.post(path, content=b"{}", headers={"Content-Type": kind.encode("latin-1")})
            refused(answer)
            assert answer.status_code in (400, 415)


def test_other_methods_are_refused_with_those_that_go(api: httpx.Client) -> None:
    for method, path in (
        ("PUT", "/v1/messages"),
        ("DELETE", "/v1/agents/a"),
        ("PATCH", "/health"),
        ("TRACE", "/v1/agents"),
    ):
        answer = api.request(method, path)
        refused(answer)
        assert answer.status_code == 405
        assert "GET" in answer.headers["allow"]


def test_bytes_that_are_no_http_break_nothing(caxton_server: RunningServer) -> None:
    place = urlsplit(caxton_server.url)
    for sent in (
        b"\x00" * 100,
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ):
        with socket.create_connection((place.hostname or "", place.port or 0), timeout=10) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(1000)
            assert not answer or answer[9:10] == b"4" or answer[9:12] in (b"501", b"505"), answer
    assert httpx.get(f"{caxton_server.url}/health", trust_env=False).status_code == 200


def test_long_paths_are_quoted_in_part_only(api: httpx.Client) -> None:
    answer = api.get("/" + quote("é" * 2_000))
    refused(answer)
    assert len(answer.content) < 3_000
