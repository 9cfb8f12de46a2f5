"""What the client makes of answers, failures and lost connections: the blocking client and the asynchronous one."""

import inspect
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, cast

import pytest

from caxton.client import AsyncCaxton, Caxton
from caxton.client.discovery import Connection
from caxton.client.transport_async import AsyncTransport
from caxton.client.transport_sync import Transport
from caxton.domain.deployments import DeploymentRequest
from caxton.domain.errors import (
    AllAgentsUnavailable,
    CaxtonError,
    ModelRateLimited,
    NoCapableAgent,
    NotAuthenticated,
    Overloaded,
    ServerUnreachable,
)
from tests.unit.client.canned_server import CannedServer, answer, canned, event, events, lost, ok, problem

Call = Callable[..., Awaitable[Any]]

TURN = {"execution_id": "x_1", "conversation_id": "c_1", "state": "completed"}
HEALTHY = {"status": "ok", "version": "1"}


@pytest.fixture(params=["blocking", "asynchronous"])
def call(request: pytest.FixtureRequest) -> Call:
    """Calls a method of one of the two clients and returns what it brings; streams as lists."""

    async def run(
        server: CannedServer | str, method: str, *arguments: Any, patience: float = 5.0, **options: Any
    ) -> Any:
        url = server if isinstance(server, str) else server.url
        connection = Connection(url, "cx_key", "here", "the test", "the test")
        if request.param == "blocking":
            with Caxton(transport=Transport(connection, patience=patience)) as blocking:
                result: Any = getattr(blocking, method)(*arguments, **options)
                return list(cast("Iterator[Any]", result)) if isinstance(result, Iterator) else result
        async with AsyncCaxton(transport=AsyncTransport(connection, patience=patience)) as client:
            result = getattr(client, method)(*arguments, **options)
            return await result if inspect.isawaitable(result) else [each async for each in result]

    return run


async def test_key_and_workspace_travel_with_every_request(call: Call) -> None:
    with canned(ok(HEALTHY)) as server:
        assert (await call(server, "health")).version == "1"
    assert server.headers("Authorization") == ["Bearer cx_key"]
    assert server.headers("X-Caxton-Workspace") == ["here"]


async def test_an_error_arrives_as_the_class_of_its_code_with_all_that_was_said(call: Call) -> None:
    refusal = problem(
        404,
        "no_capable_agent",
        "no agent offers it",
        hints=[{"text": "see", "command": "caxton capabilities"}],
        details={"similar": ["a"]},
        request_id="r1",
    )
    with canned(refusal) as server, pytest.raises(NoCapableAgent) as caught:
        await call(server, "ask", "hi", capability="x")
    error = caught.value
    assert error.message == "no agent offers it"
    assert error.hints[0].command == "caxton capabilities"
    assert error.details == {"similar": ["a"], "request_id": "r1"}


async def test_a_code_of_a_later_version_is_an_error_all_the_same(call: Call) -> None:
    with canned(problem(418, "brand_new", "never heard of")) as server, pytest.raises(CaxtonError) as caught:
        await call(server, "server")
    assert caught.value.message == "never heard of"


async def test_a_wrong_key_is_told_with_where_it_came_from(call: Call) -> None:
    with canned(problem(401, "not_authenticated")) as server, pytest.raises(NotAuthenticated) as caught:
        await call(server, "agents")
    assert "the test" in caught.value.hints[-1].text


@pytest.mark.parametrize("body", ["<h1>Bad gateway</h1>", [1], {"message": "x"}])
async def test_what_is_no_caxton_server_is_told_so(call: Call, body: Any) -> None:
    with canned(answer(502, body)) as server, pytest.raises(ServerUnreachable) as caught:
        await call(server, "server")
    assert "HTTP 502" in caught.value.message


async def test_where_nobody_listens_no_time_is_lost(call: Call) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        started = time.monotonic()
        with pytest.raises(ServerUnreachable) as caught:
            await call(f"http://127.0.0.1:{reserved.getsockname()[1]}", "server", patience=60)
    assert time.monotonic() - started < 10
    assert caught.value.hints[0].command == "caxton serve"


@pytest.mark.requirement("MSG-8")
async def test_a_lost_request_is_sent_again_under_the_same_key(call: Call) -> None:
    with canned(lost, lost, ok(TURN)) as server:
        turn = await call(server, "ask", "hi", capability="x")
    assert turn.state == "completed"
    keys = server.headers("Idempotency-Key")
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert keys[0]


async def test_a_key_of_the_caller_is_used(call: Call) -> None:
    with canned(ok(TURN)) as server:
        await call(server, "send", "c_1", "hi", idempotency_key="mine")
    assert server.headers("Idempotency-Key") == ["mine"]


async def test_what_may_not_be_repeated_is_not(call: Call) -> None:
    with canned(lost, ok({})) as server, pytest.raises(ServerUnreachable):
        await call(server, "call_tool", "t", "f", {})
    assert len(server.requests) == 1


async def test_after_its_patience_the_client_gives_up(call: Call) -> None:
    with canned(*[lost] * 50) as server, pytest.raises(ServerUnreachable):
        await call(server, "server", patience=0.3)
    assert 2 <= len(server.requests) < 50


@pytest.mark.requirement("MSG-8")
async def test_a_busy_server_is_asked_again_after_the_time_that_it_names(call: Call) -> None:
    with canned(problem(429, "overloaded", retry_after=0.2), ok(TURN)) as server:
        started = time.monotonic()
        await call(server, "ask", "hi", agent="a")
        assert time.monotonic() - started >= 0.2
    assert len(server.requests) == 2


async def test_a_wait_longer_than_the_patience_is_left_to_the_caller(call: Call) -> None:
    with canned(problem(429, "overloaded", retry_after=3600)) as server, pytest.raises(Overloaded) as caught:
        await call(server, "ask", "hi", agent="a", patience=1)
    assert caught.value.retry_after == 3600


async def test_without_a_time_a_refusal_is_final(call: Call) -> None:
    with canned(problem(503, "all_agents_unavailable")) as server, pytest.raises(AllAgentsUnavailable):
        await call(server, "ask", "hi", capability="x")
    assert len(server.requests) == 1


async def test_a_turn_that_failed_is_not_asked_for_again(call: Call) -> None:
    failed = problem(503, "model_rate_limited", retry_after=0.1, details={"execution_id": "x_1"})
    with canned(failed) as server, pytest.raises(ModelRateLimited):
        await call(server, "ask", "hi", capability="x")
    assert len(server.requests) == 1


async def test_a_server_that_is_not_well_still_tells_how_it_is(call: Call) -> None:
    body = {"status": "degraded", "components": {"store": {"status": "failed", "detail": "disk full"}}}
    with canned(answer(503, body)) as server:
        ready = await call(server, "ready")
    assert ready.components["store"].detail == "disk full"


@pytest.mark.requirement("MSG-7")
async def test_a_stream_that_breaks_off_is_resumed_behind_the_last_event(call: Call) -> None:
    first = events(event("1", "step", {"kind": "open"}), event("1+3", "delta", {"text": "abc"}), complete=False)
    second = events(event("1+5", "delta", {"text": "de"}), event("end", "reply", TURN))
    with canned(first, second) as server:
        seen = await call(server, "stream", "x_1")
    assert [each.kind for each in seen] == ["step", "delta", "delta", "reply"]
    assert server.headers("Last-Event-ID") == [None, "1+3"]
    assert seen[-1].turn().execution_id == "x_1"


async def test_a_stream_is_not_cut_at_characters_of_a_text(call: Call) -> None:
    text = "one\u2028two\u2029three\u0085four\x0cfive"
    raw = f'id: 1\revent: delta\rdata: {{"text": "{text}"}}\r\r'.replace("\x0c", "\\f")
    with canned(events("\ufeff", raw, event("end", "reply", TURN).replace("\n", "\r\n"))) as server:
        delta, last = await call(server, "stream", "x_1")
    assert (delta.data, last.kind) == ({"text": text}, "reply")


async def test_a_stream_ends_with_the_error_of_the_turn(call: Call) -> None:
    with canned(events(event("end", "error", {"code": "overloaded", "message": "too much", "turn": {}}))) as server:
        (last,) = await call(server, "stream", "x_1")
    assert isinstance(last.error(), Overloaded)


async def test_a_stream_of_what_does_not_exist_is_refused(call: Call) -> None:
    with canned(problem(404, "not_found")) as server, pytest.raises(CaxtonError) as caught:
        await call(server, "stream", "x_none")
    assert caught.value.code == "not_found"


async def test_a_proxy_of_the_environment_does_not_come_between_this_machine_and_itself(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with canned(ok(HEALTHY)) as server:
        assert (await call(server, "health")).status == "ok"


async def test_unknown_fields_of_a_later_server_do_no_harm(call: Call) -> None:
    agent = {"name": "a", "version": "1.0.0", "digest": "d", "state": "Running", "mood": "good"}
    with canned(ok({"agents": [agent], "more": 1})) as server:
        assert (await call(server, "agents"))[0].name == "a"


async def test_what_was_not_given_is_not_sent(call: Call) -> None:
    with canned(ok(TURN), ok({"changes": [], "missing": []})) as server:
        await call(server, "ask", "hi", capability="x", wait=False)
        await call(server, "plan", DeploymentRequest(bundles=[]))
    method, path, _, body = server.requests[0]
    assert (method, path) == ("POST", "/v1/messages?wait=false")
    assert body == b'{"capability":"x","content":"hi"}'


@pytest.mark.parametrize(
    ("variable", "value", "url"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:9", "http://caxton.example"),
        ("HTTPS_PROXY", "nonsense://proxy", "https://caxton.example"),
        ("SSL_CERT_FILE", "/no/such/file", "https://caxton.example"),
    ],
)
def test_what_the_environment_names_and_cannot_be_used_is_told(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, url: str
) -> None:
    for name in ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv(variable, value)
    with pytest.raises(CaxtonError, match=f"the environment variable {variable} names"):
        Caxton(url, api_key="cx_a", workspace="w")
    Caxton("http://127.0.0.1:1", api_key="cx_a", workspace="w").close()  # this machine is reached directly
