"""Requests as bytes: what no client library sends, and somebody between two servers might."""

import base64
import contextlib
import gzip
import socket
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from tests.conftest import RunningServer
from tests.support.raw import RawAnswer, RawConnection, ask

pytestmark = pytest.mark.requirement("SEC-9")


@pytest.fixture
def port(caxton_server: RunningServer) -> int:
    return urlsplit(caxton_server.url).port or 0


@pytest.fixture
def key(caxton_server: RunningServer) -> bytes:
    return b"Authorization: Bearer " + caxton_server.api_key.encode() + b"\r\n"


def _refused(answers: list[RawAnswer], status: int, code: str) -> None:
    assert [answer.status for answer in answers] == [status], answers
    assert answers[0].problem()["code"] == code
    assert answers[0].headers["x-content-type-options"] == "nosniff"


HOST = b"Host: 127.0.0.1\r\n"
TYPE = b"Content-Type: application/json\r\n"

SMUGGLED = {
    "length and coding": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding and length": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    "the same length twice": b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde",
    "a list of lengths": b"Content-Length: 5, 5\r\n\r\nabcde",
    "a signed length": b"Content-Length: +5\r\n\r\nabcde",
    "a negative length": b"Content-Length: -5\r\n\r\nabcde",
    "a hexadecimal length": b"Content-Length: 0x5\r\n\r\nabcde",
    "an endless length": b"Content-Length: 99999999999999999999999\r\n\r\nabcde",
    "an unknown coding": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "another coding last": b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "two codings": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "a space before the colon": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a folded header": b"X-A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "a bare line feed": b"X-A: b\nContent-Length: 0\r\n\r\n",
    "a bare carriage return": b"X-A: b\rContent-Length: 0\r\n\r\n",
    "a NUL": b"X-A: b\x00\r\nContent-Length: 0\r\n\r\n",
    "an empty name": b": b\r\nContent-Length: 0\r\n\r\n",
    "a negative chunk": b"Transfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n",
    "a hexadecimal chunk": b"Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
    "an endless chunk": b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "a chunk that is too long": b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcde\r\n0\r\n\r\n",
    "a chunk ended by a line feed": b"Transfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n",
}


@pytest.mark.parametrize("smuggled", SMUGGLED.values(), ids=SMUGGLED)
def test_lengths_that_two_servers_could_read_otherwise(port: int, key: bytes, smuggled: bytes) -> None:
    hidden = b"DELETE /v1/keys/k_1 HTTP/1.1\r\nHost: 127.0.0.1\r\n" + key + b"\r\n"
    answers = ask(port, b"POST /v1/messages HTTP/1.1\r\n" + HOST + key + TYPE + smuggled + hidden)
    _refused(answers, 400, "malformed_request")
    assert answers[0].headers["connection"] == "close"


@pytest.mark.parametrize("coding", [b"gzip, chunked", b"deflate, chunked"])
def test_transfer_codings(port: int, key: bytes, coding: bytes) -> None:
    head = b"POST /v1/messages HTTP/1.1\r\n" + HOST + key + TYPE + b"Transfer-Encoding: " + coding
    _refused(ask(port, head + b"\r\n\r\n0\r\n\r\n"), 501, "not_implemented")


def test_chunks_with_extensions_and_trailers(port: int, key: bytes) -> None:
    body = b'3;name=value\r\n{"a\r\n4\r\n": 1\r\n1\r\n}\r\n0\r\nHost: evil.example\r\nAuthorization: Bearer x\r\n\r\n'
    head = b"POST /v1/messages HTTP/1.1\r\n" + HOST + key + TYPE + b"Transfer-Encoding: chunked\r\n\r\n"
    answers = ask(port, head + body)
    _refused(answers, 400, "invalid_input")  # the body was read as a whole, and the trailers as nothing


def test_old_clients(port: int, key: bytes) -> None:
    answers = ask(port, b"GET /health HTTP/1.0\r\n\r\n")
    assert [answer.status for answer in answers] == [200]
    assert answers[0].headers["connection"] == "close"
    assert "transfer-encoding" not in answers[0].headers
    _refused(ask(port, b"GET /v1/events/tail HTTP/1.0\r\n" + key + b"\r\n"), 505, "http_version_not_supported")
    chunked = b"POST /v1/messages HTTP/1.0\r\n" + key + TYPE + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    _refused(ask(port, chunked), 501, "not_implemented")


@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        (b"GET /health HTTP/1.1\r\n\r\n", 400, "malformed_request"),
        (b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n", 400, "malformed_request"),
        (b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: 127.0.0.1\r\n\r\n", 400, "malformed_request"),
        (b"GET /health HTTP/1.1\r\nHost:\r\n\r\n", 400, "malformed_request"),
        (b"GET http://evil.example/health HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421, "wrong_host"),
        (b"GET http://evil.example/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400, "malformed_request"),
        (b"GET http://127.0.0.1/health HTTP/1.1\r\nHost: evil.example\r\n\r\n", 400, "malformed_request"),
        (b"GET ftp://127.0.0.1/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400, "malformed_request"),
        (b"GET http://user@127.0.0.1/health HTTP/1.1\r\nHost: user@127.0.0.1\r\n\r\n", 400, "malformed_request"),
        (b"CONNECT evil.example:80 HTTP/1.1\r\nHost: evil.example:80\r\n\r\n", 501, "not_implemented"),
        (b"FOO /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 501, "not_implemented"),
        (b"GET /health HTTP/2.0\r\nHost: 127.0.0.1\r\n\r\n", 505, "http_version_not_supported"),
        (b"GET /health HTTP/1.2\r\nHost: 127.0.0.1\r\n\r\n", 400, "malformed_request"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "malformed_request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 501, "not_implemented"),
        (b"GET /\xc3\xa4 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400, "malformed_request"),
        (b"OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 401, "not_authenticated"),
        (b"GET //evil.example/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 401, "not_authenticated"),
        (b"GET /v1/agents HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Basic \xe9\r\n\r\n", 401, "not_authenticated"),
    ],
)
def test_unusual_requests(port: int, head: bytes, status: int, code: str) -> None:
    answers = ask(port, head)
    _refused(answers, status, code)
    assert b"evil" not in answers[0].body


def test_targets_with_a_host(port: int) -> None:
    answers = ask(port, b"GET http://127.0.0.1/health?x=y HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert [answer.status for answer in answers] == [200]


@pytest.mark.parametrize("path", [b"/", b"/health", b"/v1/events/tail", b"/docs"])
def test_websockets_are_refused_in_words(port: int, path: bytes) -> None:
    upgrade = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    head = b"GET " + path + b" HTTP/1.1\r\n" + HOST + upgrade + b"Sec-WebSocket-Version: 13\r\n\r\n"
    answers = ask(port, head)
    _refused(answers, 501, "not_implemented")
    assert "server-sent events" in str(answers[0].problem()["hints"])


def test_an_offer_of_http2_is_declined(port: int) -> None:
    offer = b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
    answers = ask(port, b"GET /health HTTP/1.1\r\n" + HOST + offer + b"\r\nGET /docs HTTP/1.1\r\n" + HOST + b"\r\n")
    assert [answer.status for answer in answers] == [200]
    _refused(
        ask(port, b"POST /health HTTP/1.1\r\n" + HOST + offer + b"Content-Length: 3\r\n\r\nabc"), 501, "not_implemented"
    )


@pytest.mark.parametrize("chunk", [200, 65_536, 1 << 20])
@pytest.mark.parametrize(
    ("before", "repeated"),
    [
        (b"GET /health HTTP/1.1\r\n" + HOST + b"X-Large: ", b"a"),
        (b"GET /health HTTP/1.1\r\n" + HOST, b"X-Many: a\r\n"),
        (b"GET /health HTTP/1.1\r\n" + HOST, b"X" * 1000),
        (b"GET /health?", b"a"),
        (b"", b"\r\n"),
        (b"G" * 100, b"G"),
    ],
)
def test_heads_are_bounded(port: int, before: bytes, repeated: bytes, chunk: int) -> None:
    """However it comes: one header of any size, many headers, long names, long targets, no end of empty lines."""
    size = min(20 << 20, chunk * 1000)
    with RawConnection(port) as connection:
        connection.send(before)
        sent = 0
        while sent < size:
            piece = repeated * max(1, chunk // len(repeated))
            try:
                sent += connection.socket.send(piece)
            except OSError:
                break
        answers = connection.wait_closed()
    assert sent < 15 << 20  # sockets hold a few megabytes
    assert answers, "it was cut off without a word"
    assert answers[0].status in (414, 431, 501)
    assert answers[0].problem()["code"] in ("target_too_long", "headers_too_large", "not_implemented")


def test_ends_of_bodies_are_bounded_too(port: int, key: bytes) -> None:
    head = b"POST /v1/messages HTTP/1.1\r\n" + HOST + key + TYPE + b"Transfer-Encoding: chunked\r\n\r\n"
    for endless in (b"1;" + b"a" * 500_000, b"0\r\n" + b"X-Trailer: a\r\n" * 100_000):
        answers = ask(port, head + endless)
        _refused(answers, 400, "malformed_request")


def test_requests_that_pile_up(port: int) -> None:
    one = b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n"
    with RawConnection(port) as connection:
        connection.send(one * 10)
        assert [answer.status for answer in connection.answers(10)] == [200] * 10
        connection.send(one * 2000)
        answers = connection.wait_closed()
    assert 10 < len(answers) < 40
    assert {answer.status for answer in answers} == {200}  # those before the limit; the rest is not taken
    assert [answer.headers.get("connection") == "close" for answer in answers] == [False] * (len(answers) - 1) + [True]


def test_encoded_bodies_are_refused(port: int, key: bytes) -> None:
    body = gzip.compress(b'{"agent": "nobody", "content": "x"}')
    for coding, content in ((b"gzip", body), (b"GZip", body), (b"br", b"{}"), (b"identity, gzip", body)):
        for path in (b"/v1/messages", b"/v1/deployments/plan"):
            head = b"POST " + path + b" HTTP/1.1\r\n" + HOST + key + b"Content-Type: application/json\r\n"
            head += b"Content-Encoding: " + coding + b"\r\nContent-Length: %d\r\n\r\n" % len(content)
            (answer,) = ask(port, head + content)
            assert answer.status == 415, (path, coding, answer)
            assert answer.problem()["code"] == "unsupported_media_type"
            assert answer.headers["accept-encoding"] == "identity"
    plain = b'{"agent": "nobody", "content": "x"}'
    head = b"POST /v1/messages HTTP/1.1\r\n" + HOST + key + b"Content-Type: application/json\r\n"
    head += b"Content-Encoding: identity\r\nContent-Length: %d\r\n\r\n" % len(plain)
    assert [answer.status for answer in ask(port, head + plain)] == [404]


def test_what_comes_behind_a_broken_request_is_not_read(port: int) -> None:
    one = b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n"
    answers = ask(port, one + b"what is this\r\n\r\n" + one)
    assert [answer.status for answer in answers] in ([200], [200, 501])


def test_the_key_is_looked_at_before_the_body(port: int, caxton_server: RunningServer) -> None:
    """Nobody has to send what will not be taken: the refusal comes while the body is still on its way."""
    basic = b"Authorization: Basic " + base64.b64encode(f"x:{caxton_server.api_key}".encode()) + b"\r\n"
    with caxton_server.client() as admin:
        made = admin.post("/v1/keys", json={"name": "only-reads", "role": "viewer"}).json()["key"].encode()
    octets = b"Content-Type: application/octet-stream\r\n"
    for authorization, status in ((b"", 401), (basic, 401), (b"Authorization: Bearer " + made + b"\r\n", 403)):
        head = b"PUT /v1/blobs/" + b"0" * 64 + b" HTTP/1.1\r\n" + HOST + authorization + octets
        with RawConnection(port) as connection:
            connection.send(head + b"Content-Length: 100000000\r\n\r\nabc")
            assert [answer.status for answer in connection.answers(1)] == [status]
            connection.wait_closed()


def test_a_refused_upload_that_goes_on_can_read_why(port: int) -> None:
    head = b"PUT /v1/blobs/" + b"0" * 64 + b" HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n"
    for close in (b"", b"Connection: close\r\n"):
        with RawConnection(port) as connection:
            connection.send(head % (8 << 20) + close + b"\r\n" + b"a" * (8 << 20))
            answers = connection.wait_closed()
        assert [answer.status for answer in answers] == [401]
    with RawConnection(port) as connection:  # a small one is read to its end, and the connection goes on
        connection.send(head % 100_000 + b"\r\n" + b"a" * 100_000)
        connection.answers(1)
        connection.send(b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n")
        assert [answer.status for answer in connection.answers(2)] == [401, 200]


@pytest.mark.requirement("FAC-1")
@pytest.mark.parametrize("path", ["/mcp", "/openai/v1/chat/completions", "/a2a/v1", "/v1/agui/echo"])
async def test_a_client_that_reads_behind_what_it_sends_learns_that_it_was_too_much(
    caxton_server: RunningServer, path: str
) -> None:
    # Libraries without threads, as the SDKs of MCP and A2A use them: a line that is cut off is all that they would see.
    headers = {"Authorization": f"Bearer {caxton_server.api_key}", "Content-Type": "application/json"}
    async with httpx.AsyncClient(base_url=caxton_server.url, headers=headers, timeout=60) as client:
        answers = [await client.post(path, content=b"a" * (16 << 20)) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [413] * 3
    assert all("the request is larger than 4 MB" in answer.text for answer in answers)


def test_lengths_over_the_limit_are_refused_before_the_body(port: int, key: bytes) -> None:
    octets = b"Content-Type: application/octet-stream\r\nContent-Length: 1000000000\r\n\r\n"
    with RawConnection(port) as connection:
        connection.send(b"PUT /v1/blobs/" + b"0" * 64 + b" HTTP/1.1\r\n" + HOST + key + octets)
        _refused(connection.answers(1), 413, "payload_too_large")


def test_head_asks_for_the_head(port: int) -> None:
    answers = ask(port, b"HEAD /health HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
    assert len(answers) <= 1  # a parser of answers that does not know the question waits for a body


@pytest.mark.requirement("SEC-3")
def test_what_was_refused_is_not_kept(port: int, api: httpx.Client, caxton_server: RunningServer) -> None:
    viewer = api.post("/v1/keys", json={"name": "uploader", "role": "viewer"}).json()["key"].encode()
    size = 2 << 20
    head = b"PUT /v1/blobs/%s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n" % (b"0" * 64, viewer)
    head += b"Content-Type: application/octet-stream\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % size

    def upload(_: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            with contextlib.suppress(OSError):
                connection.sendall(head + bytes(size))
            with contextlib.suppress(OSError):
                return connection.recv(65536)
        return b""

    with ThreadPoolExecutor(200) as pool:
        assert b" 403 " in upload(0)
        before = psutil.Process(caxton_server.pid).memory_info().rss
        for _ in range(5):
            assert all(said == b"" or b" 403 " in said for said in pool.map(upload, range(200)))
    grown = (psutil.Process(caxton_server.pid).memory_info().rss - before) >> 20
    assert grown < 60, f"{grown} MB more: connections that have ended hold what nobody reads"
