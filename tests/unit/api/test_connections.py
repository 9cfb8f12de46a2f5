"""Connections that are slow, silent, too many or never done, against a listener with small limits."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_network

import pytest
from starlette.types import Receive, Scope, Send

from caxton.api.transport.limits import TransportLimits
from caxton.api.transport.server import BoundedServer
from tests.support.raw import RawAnswer, RawConnection

pytestmark = pytest.mark.requirement("SEC-9")

QUICK = TransportLimits(
    connections=40,
    connections_per_address=30,
    head_seconds=0.5,
    body_grace=0.5,
    stalled_seconds=0.5,
    linger_seconds=0.2,
)

ONE = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@dataclass
class Listener:
    """A server that runs, and what came of the requests it got."""

    server: BoundedServer
    port: int
    bodies: list[int]

    @property
    def open(self) -> int:
        return len(self.server.listener.all)


async def _app(scope: Scope, receive: Receive, send: Send, bodies: list[int]) -> None:
    size = 0
    while scope["path"] != "/early":
        message = await receive()
        size += len(message.get("body", b""))
        if message["type"] == "http.disconnect":
            bodies.append(-1)
            return
        if not message.get("more_body", False):
            break
    bodies.append(size)
    if scope["path"] == "/wait":
        await asyncio.sleep(2)
    if scope["path"] == "/endless":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(1000):  # 100 MB, unless the connection ends: what is sent then goes nowhere
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def listening(limits: TransportLimits = QUICK, proxies: tuple[str, ...] = ()) -> AsyncIterator[Listener]:
    bodies: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await _app(scope, receive, send, bodies)

    server = BoundedServer(app, limits, [ip_network(network) for network in proxies])
    listener = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve([listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield Listener(server, listener.getsockname()[1], bodies)
    finally:
        server.should_exit = True
        await serving


async def talk(port: int, use: Callable[[RawConnection], list[RawAnswer]]) -> list[RawAnswer]:
    """What a client on a thread of its own gets."""

    def run() -> list[RawAnswer]:
        with RawConnection(port) as connection:
            return use(connection)

    return await asyncio.to_thread(run)


def _waits(data: bytes) -> Callable[[RawConnection], list[RawAnswer]]:
    def use(connection: RawConnection) -> list[RawAnswer]:
        connection.send(data)
        return connection.wait_closed()

    return use


@pytest.mark.parametrize("begun", [b"", b"G", b"GET / HTTP/1.1\r\nHost: a\r\n", b"\r\n", ONE + b"GET"])
async def test_heads_that_do_not_end(begun: bytes) -> None:
    async with listening() as listener:
        answers = await talk(listener.port, _waits(begun))
        assert answers[-1].status == 408
        assert answers[-1].problem()["code"] == "request_too_slow"
        assert not listener.open


async def test_heads_that_drip() -> None:
    async with listening() as listener:

        def drip(connection: RawConnection) -> list[RawAnswer]:
            connection.socket.settimeout(0.05)
            for byte in b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 500:
                with suppress(TimeoutError):
                    connection.send(bytes([byte]))
                    if connection.answers(1):
                        break
            connection.socket.settimeout(5)
            return connection.answers(1)

        answers = await talk(listener.port, drip)
        assert [answer.status for answer in answers] == [408]


@pytest.mark.parametrize("head", [b"Content-Length: 1000000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n1000\r\n"])
async def test_bodies_that_do_not_end(head: bytes) -> None:
    async with listening() as listener:
        answers = await talk(listener.port, _waits(b"POST / HTTP/1.1\r\nHost: a\r\n" + head + b"abc"))
        assert [answer.status for answer in answers] == [408]
        assert listener.bodies == [-1]  # the application was told
        assert not listener.open


@pytest.mark.parametrize("method", [b"GET", b"POST"])
async def test_an_answer_before_the_end_of_the_body_closes_the_connection(method: bytes) -> None:
    """Else the client would send its next request on a connection that is about to be closed."""
    async with listening() as listener:

        def use(connection: RawConnection) -> list[RawAnswer]:
            connection.send(method + b" /early HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n")
            connection.answers(1)
            connection.send(b"x" * 500_000)
            return connection.wait_closed()

        (answer,) = await talk(listener.port, use)
        assert (answer.status, answer.headers["connection"]) == (200, "close")


async def test_an_answer_before_the_body_is_asked_for_keeps_the_connection_if_the_body_is_there() -> None:
    async with listening() as listener:

        def use(connection: RawConnection) -> list[RawAnswer]:
            connection.send(2 * b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
            return connection.answers(2)

        answers = await talk(listener.port, use)
        assert [answer.status for answer in answers] == [200, 200]
        assert not any("connection" in answer.headers for answer in answers)


async def test_a_body_that_comes_steadily_is_read() -> None:
    async with listening() as listener:

        def steady(connection: RawConnection) -> list[RawAnswer]:
            connection.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6000\r\n\r\n")
            connection.socket.settimeout(0.3)
            for _ in range(6):
                connection.send(b"a" * 1000)
                with suppress(TimeoutError):
                    connection.answers(1)
            connection.socket.settimeout(5)
            return connection.answers(1)

        answers = await talk(listener.port, steady)
        assert [answer.status for answer in answers] == [200]
        assert listener.bodies == [6000]


async def test_an_answer_that_nobody_takes() -> None:
    async with listening() as listener:
        connection = RawConnection(listener.port)
        connection.send(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
        async with asyncio.timeout(20):
            while not listener.open:
                await asyncio.sleep(0.01)
            while listener.open:
                await asyncio.sleep(0.05)
        connection.socket.close()


async def test_a_long_wait_for_an_answer_is_none_of_the_clients_doing() -> None:
    async with listening() as listener:

        def wait(connection: RawConnection) -> list[RawAnswer]:
            connection.send(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
            return connection.answers(1)

        answers = await talk(listener.port, wait)
        assert [answer.status for answer in answers] == [200]


@pytest.mark.parametrize("silent", [b"", b"GET / HTTP/1.1\r\n"])
async def test_silent_connections_make_room(silent: bytes) -> None:
    """As many as one likes: who asks for something is answered all the while."""
    async with listening() as listener:
        held: list[RawConnection] = []
        for _ in range(100):
            connection = RawConnection(listener.port)
            connection.send(silent)
            held.append(connection)
            if len(held) % 10 == 0:
                answers = await talk(listener.port, lambda connection: (connection.send(ONE), connection.answers(1))[1])
                assert [answer.status for answer in answers] == [200]
        assert listener.open <= QUICK.connections_per_address + 1
        told = await asyncio.to_thread(lambda: [connection.wait_closed() for connection in held])
        assert {answer.status for answers in told for answer in answers} <= {408, 503}
        assert sum(bool(answers) for answers in told) > 90
        for connection in held:
            connection.socket.close()


async def test_working_connections_do_not() -> None:
    async with listening() as listener:
        working = [RawConnection(listener.port) for _ in range(QUICK.connections_per_address)]
        for connection in working:
            connection.send(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        async with asyncio.timeout(10):
            while len(listener.bodies) < len(working):
                await asyncio.sleep(0.01)
        answers = await talk(listener.port, _waits(ONE))
        assert [answer.status for answer in answers] == [503]
        problem = answers[0].problem()
        assert problem["code"] == "too_many_connections"
        assert problem["retryable"]
        got = await asyncio.to_thread(lambda: [connection.answers(1)[0].status for connection in working])
        assert got == [200] * len(working)
        for connection in working:
            connection.socket.close()


async def test_the_limit_of_an_address_is_not_a_proxys() -> None:
    async with listening(proxies=("127.0.0.0/8",)) as listener:
        held = [RawConnection(listener.port) for _ in range(QUICK.connections_per_address + 5)]
        answers = await talk(listener.port, lambda connection: (connection.send(ONE), connection.answers(1))[1])
        assert [answer.status for answer in answers] == [200]
        assert listener.open == len(held) + 1 or listener.open == len(held)
        more = [RawConnection(listener.port) for _ in range(20)]
        await talk(listener.port, lambda connection: (connection.send(ONE), connection.answers(1))[1])
        assert listener.open <= QUICK.connections + 1
        for connection in (*held, *more):
            connection.socket.close()


async def test_a_connection_is_kept_between_requests() -> None:
    async with listening() as listener:

        def twice(connection: RawConnection) -> list[RawAnswer]:
            connection.send(ONE)
            connection.answers(1)
            connection.socket.settimeout(1.5)  # longer than a head may take
            with suppress(TimeoutError):
                connection.answers(2)
            connection.socket.settimeout(10)
            connection.send(ONE + ONE)
            return connection.answers(3)

        answers = await talk(listener.port, twice)
        assert [answer.status for answer in answers] == [200] * 3
