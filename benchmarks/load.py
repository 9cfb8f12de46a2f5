"""One-shot requests at a fixed rate, from a process of their own: `python -m benchmarks.load --rate 1000 --seconds 60`.

Open loop: requests are sent when their time has come, whatever became of those before, and each latency counts from the time
at which its request was due. So a server that stalls pays for all requests that it kept waiting (no coordinated omission).
"""

import argparse
import asyncio
import json
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from typing import cast
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import psutil
import uvloop

from benchmarks.deploy import deploy, write_agents
from benchmarks.report import Figure, calibration, percentile, print_figures, print_machine
from benchmarks.server import Server, server
from caxton.client import AsyncCaxton
from caxton.domain.errors import CaxtonError

MOST_CONNECTIONS = 1_000
"""Connections at the most; a request that finds none free waits for one, and its latency counts that."""

CONTENT = "how is the weather?"

PATIENCE = 30.0
"""Seconds that the last requests may take before they count as lost."""


ONE_SHOT = {1000.0: {"p50": 10.0, "p99": 50.0, "cpu": 80.0}}
"""Targets of one-shot requests, by requests a second."""

IN_CONVERSATIONS = {500: {"p99": 60.0}, 1000: {"p99": 100.0}}
"""Targets of messages of conversations, by messages a second."""


@dataclass
class Result:
    """What became of the requests."""

    due: int = 0
    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter[int])
    """Answers by status; 0: the connection broke."""
    latencies: dict[int, list[float]] = field(default_factory=dict[int, list[float]])
    """Milliseconds from the time that a request was due to its answer, by status."""
    shares: dict[str, float] = field(default_factory=dict[str, float])
    """Share of one core that each process used."""
    resident: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    """Resident bytes of each process after the first second and at the end."""
    sample: bytes = b""
    """Body of the last answer that was not 200."""
    bodies: dict[float, bytes] | None = None
    """Bodies of answers, by when their requests were due, where they are wanted."""
    dues: list[float] = field(default_factory=list[float])
    """When each request was due."""

    def answered(self, status: int, due: float) -> None:
        """Counts an answer."""
        self.statuses[status] += 1
        self.latencies.setdefault(status, []).append((time.perf_counter() - due) * 1000)


class _Connection(asyncio.Protocol):
    """One HTTP/1.1 connection, one request at a time. Does the least that a well-behaved client can do."""

    def __init__(self, pool: "_Pool") -> None:
        self.pool = pool
        self.due = 0.0
        self.busy = False
        self.received = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.pool.free(self)

    def send(self, request: bytes, due: float) -> None:
        assert self.transport is not None
        self.due, self.busy = due, True
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.received = self.received + data if self.received else data
        head_end = self.received.find(b"\r\n\r\n")
        if head_end < 0:
            return
        at = self.received.find(b"content-length: ", 0, head_end)
        length = int(self.received[at + 16 : self.received.find(b"\r", at)])
        if len(self.received) < head_end + 4 + length:
            return
        status = int(self.received[9:12])
        if status != 200:
            self.pool.result.sample = self.received[head_end + 4 :]
        if self.pool.result.bodies is not None:
            self.pool.result.bodies[self.due] = self.received[head_end + 4 :]
        self.received, self.busy = b"", False
        self.pool.result.answered(status, self.due)
        self.pool.free(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if self.busy:
            self.busy = False
            self.pool.result.answered(0, self.due)
        self.pool.lost(self)


class _Pool:
    """Connections that wait for requests, and requests that wait for connections."""

    def __init__(self, host: str, port: int, result: Result, most: int) -> None:
        self.host, self.port, self.result, self.most = host, port, result, most
        self.idle: list[_Connection] = []
        self.waiting: deque[tuple[bytes, float]] = deque()
        self.open = 0

    def send(self, request: bytes, due: float) -> None:
        if self.idle:
            self.idle.pop().send(request, due)
            return
        self.waiting.append((request, due))
        if self.open < self.most:
            self.open += 1
            task = asyncio.ensure_future(self._connect())
            task.add_done_callback(lambda done: done.exception())

    def free(self, connection: _Connection) -> None:
        if self.waiting:
            connection.send(*self.waiting.popleft())
        else:
            self.idle.append(connection)

    def close(self) -> None:
        """Ends the connections that nothing is expected of any more."""
        for connection in list(self.idle):
            if connection.transport is not None:
                connection.transport.close()

    def lost(self, connection: _Connection) -> None:
        self.open -= 1
        if connection in self.idle:
            self.idle.remove(connection)

    async def _connect(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: _Connection(self), self.host, self.port)
        except OSError:
            self.open -= 1
            if self.waiting:
                self.result.answered(0, self.waiting.popleft()[1])


async def offer(
    url: str,
    rate: float,
    seconds: float,
    request: Callable[[int], bytes],
    processes: dict[str, psutil.Process],
    over: Callable[[], bool] = lambda: False,
    connections: int = MOST_CONNECTIONS,
    result: Result | None = None,
) -> Result:
    """Sends `rate` requests a second for so long, or until it is `over`, and waits for their answers.

    Over so many connections at the most.
    """
    parts = urlsplit(url)
    result = result or Result()
    result.seconds = seconds
    pool = _Pool(parts.hostname or "", parts.port or 80, result, connections)
    before = {name: process.cpu_times() for name, process in processes.items() if process.is_running()}
    first: dict[str, int] = {}
    start = time.perf_counter()
    total = int(rate * seconds)
    while result.due < total and not over():
        elapsed = time.perf_counter() - start
        if not first and elapsed > 1:
            first = {name: process.memory_info().rss for name, process in processes.items() if process.is_running()}
        while result.due < total and result.due / rate <= elapsed:
            due = start + result.due / rate
            pool.send(request(result.due), due)
            if result.bodies is not None:
                result.dues.append(due)
            result.due += 1
        await asyncio.sleep(0.001)
    took = time.perf_counter() - start
    for name, known in before.items():
        process = processes[name]
        with suppress(psutil.NoSuchProcess):  # a helper that has ended meanwhile
            used = process.cpu_times()
            result.shares[name] = (used.user + used.system - known.user - known.system) / took
            memory = process.memory_info().rss
            result.resident[name] = (first.get(name, memory), memory)
    deadline = time.perf_counter() + PATIENCE
    while sum(result.statuses.values()) < result.due and time.perf_counter() < deadline:
        await asyncio.sleep(0.01)
    pool.close()
    return result


def messages(url: str, key: str, agents: int, *, idempotency_keys: bool = False) -> Callable[[int], bytes]:
    """Requests to the agents that :func:`benchmarks.deploy.write_agents` writes, one after another.

    Args:
        url: of the server.
        key: of the API.
        agents: how many there are.
        idempotency_keys: whether each request has one of its own.
    """
    asked = [{"capability": f"agent-{number}", "content": CONTENT} for number in range(agents)]
    plain = _in_turn([post(url, key, "/v1/messages", body) for body in asked])
    if not idempotency_keys:
        return plain
    return with_keys(plain, uuid4().hex)


def with_keys(request: Callable[[int], bytes], run: str) -> Callable[[int], bytes]:
    """The same requests, each with an idempotency key of its own."""

    def with_key(number: int) -> bytes:
        line, rest = request(number).split(b"\r\n", 1)
        return line + f"\r\nIdempotency-Key: {run}-{number}\r\n".encode() + rest

    return with_key


def messages_to(url: str, key: str, capabilities: Sequence[str], content: str) -> Callable[[int], bytes]:
    """Requests with that content to those capabilities, one after another."""
    return _in_turn([post(url, key, "/v1/messages", {"capability": each, "content": content}) for each in capabilities])


def messages_of_conversations(running: Server, client: httpx.Client, agents: int, count: int) -> Callable[[int], bytes]:
    """Messages of `count` conversations with those agents, one after another: they go through the engine."""
    paths: list[str] = []
    for number in range(count):
        begun = client.post("/v1/conversations", json={"capability": f"agent-{number % agents}"}).raise_for_status()
        paths.append(f"/v1/conversations/{begun.json()['id']}/messages")
    return _in_turn([post(running.url, running.key, path, {"content": CONTENT}) for path in paths])


def post(url: str, key: str, path: str, body: dict[str, str], workspace: str = "default") -> bytes:
    """A request as it goes over the wire."""
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nAuthorization: Bearer {key}\r\n"
        f"X-Caxton-Workspace: {workspace}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def _in_turn(requests: Sequence[bytes]) -> Callable[[int], bytes]:
    return lambda number: requests[number % len(requests)]


def told(
    result: Result, name: str, *, p50: float | None = None, p99: float | None = None, cpu: float | None = None
) -> list[Figure]:
    """The figures of a run.

    Args:
        result: of the run.
        name: of the run.
        p50: milliseconds within which half of the answers should come.
        p99: milliseconds within which 99 of 100 should.
        cpu: per cent of two cores that Caxton should use at the most.
    """
    done = result.latencies.get(200, [0.0])
    refused = result.latencies.get(429, [])
    found = [
        Figure(f"{name}: answered", len(done) / result.seconds, "1/s"),
        *(
            Figure(f"{name}: {label}", percentile(done, share), "ms", target)
            for label, share, target in (("p50", 0.5, p50), ("p95", 0.95, None), ("p99", 0.99, p99), ("max", 1.0, None))
        ),
    ]
    if refused:
        found.append(Figure(f"{name}: refused (429)", len(refused) / result.seconds, "1/s"))
        found.append(Figure(f"{name}: refused, p99", percentile(refused, 0.99), "ms"))
    broken = sum(count for status, count in result.statuses.items() if status not in (200, 429))
    lost = result.due - sum(result.statuses.values())
    found.append(Figure(f"{name}: neither answered nor refused", broken + lost, "", 0))
    for process, share in result.shares.items():
        found.append(Figure(f"{name}: CPU of {process}, share of one core", share * 100, "%"))
    if not result.shares:
        return found
    ours = sum(share for process, share in result.shares.items() if process != "generator")
    found.append(Figure(f"{name}: CPU of Caxton, share of two cores", ours * 50, "%", cpu))
    before = sum(first for process, (first, _) in result.resident.items() if process != "generator")
    after = sum(last for process, (_, last) in result.resident.items() if process != "generator")
    found.append(Figure(f"{name}: resident memory at the end", after / 1e6, "MB", 1000))
    found.append(Figure(f"{name}: resident memory, growth", (after - before) / 1e6, "MB"))
    return found


def figures(
    rates: tuple[float, ...] = (1000.0, 3000.0),
    seconds: float = 60.0,
    agents: int = 10,
    warm_up: float = 5.0,
    conversations: tuple[int, ...] = (),
    clients: int = 0,
) -> list[Figure]:
    """Latencies and shares at each rate, on one server; targets hold for 1,000 a second.

    Args:
        rates: one-shot requests a second, one measurement each; the first once more with idempotency keys.
        seconds: of each.
        agents: that answer.
        warm_up: seconds at 200 a second before.
        conversations: then: so many, a message a second to each, one measurement each.
        clients: then: the first rate through the official client, in so many processes.
    """
    found: list[Figure] = []
    with server() as running, running.client() as client:
        deploy(client, write_agents(running.folder / "workspace", agents, 0))
        request = messages(running.url, running.key, agents)
        if warm_up:
            uvloop.run(offer(running.url, min(200.0, rates[0]), warm_up, request, {}))
        for rate in rates:
            found += _run(running, f"{rate:g} messages a second", rate, seconds, request, ONE_SHOT.get(rate))
        keyed = messages(running.url, running.key, agents, idempotency_keys=True)
        name = f"{rates[0]:g} messages a second with idempotency keys"
        found += _run(running, name, rates[0], min(seconds, 10.0), keyed, ONE_SHOT.get(rates[0]))
        if clients:
            name = f"{rates[0]:g} messages a second through the official client"
            result = through_the_client(running, rates[0], min(seconds, 10.0), agents, clients)
            found += told(result, name, **ONE_SHOT.get(rates[0], {}))
        for count in conversations:
            request = messages_of_conversations(running, client, agents, count)
            name = f"{count} a second, each to a conversation of its own"
            found += _run(running, name, count, min(seconds, 10.0), request, IN_CONVERSATIONS.get(count))
    return found


def _run(
    running: Server,
    name: str,
    rate: float,
    seconds: float,
    request: Callable[[int], bytes],
    targets: dict[str, float] | None = None,
) -> list[Figure]:
    processes = {**running.processes(), "generator": psutil.Process()}
    result = uvloop.run(offer(running.url, rate, seconds, request, processes))
    if result.sample:
        print(f"{name}: {dict(result.statuses)}, such as {result.sample[:300]!r}")
    return [
        *told(result, name, **(targets or {})),
        Figure(f"{name}: calibration after it", calibration(), "s"),
    ]


UNDER_WAY = 100
"""Requests that one process of the official client has under way: its library looks at each of them for each further one."""


def through_the_client(running: Server, rate: float, seconds: float, agents: int, processes: int) -> Result:
    """One-shot requests by :class:`caxton.client.AsyncCaxton`, which shares them among `processes`."""
    found = Result(seconds=seconds)
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        share = [rate / processes] * processes
        for took, failed in pool.map(partial(_ask_by_client, running.url, running.key, agents, seconds), share):
            found.due += len(took) + failed
            found.statuses.update({200: len(took), 0: failed})
            found.latencies.setdefault(200, []).extend(took)
    return found


def _ask_by_client(url: str, key: str, agents: int, seconds: float, rate: float) -> tuple[list[float], int]:
    """Milliseconds from the time that each request was due to its reply, and how many have none.

    A service that uses the client has so many requests under way at once and no more. Those that are not answered in twice the
    time have failed: a process that falls behind would otherwise never end.
    """
    took: list[float] = []
    failed = 0
    places = asyncio.Semaphore(UNDER_WAY)

    async def ask(client: AsyncCaxton, number: int, due: float) -> None:
        nonlocal failed
        async with places:
            if due and time.perf_counter() - due > seconds:
                failed += 1
                return
            try:
                await client.ask(CONTENT, capability=f"agent-{number % agents}")
                took.append((time.perf_counter() - due) * 1000)
            except CaxtonError:
                failed += 1

    async def run() -> None:
        async with AsyncCaxton(url, api_key=key) as client, asyncio.TaskGroup() as tasks:
            await asyncio.gather(*(ask(client, number, 0.0) for number in range(50)))  # opens connections
            took.clear()
            start, sent = time.perf_counter(), 0
            while sent < int(rate * seconds):
                while sent < int(rate * seconds) and sent / rate <= time.perf_counter() - start:
                    tasks.create_task(ask(client, sent, start + sent / rate))
                    sent += 1
                await asyncio.sleep(0.001)

    uvloop.run(run())
    return took, failed


def costs_of_a_message(rate: float = 200.0, seconds: float = 8.0) -> list[Figure]:
    """CPU that all of Caxton's processes use for one message, which does not depend on what else the machine does.

    Of one that is answered at once, and of one in a conversation, which goes through the engine.
    """
    found: list[Figure] = []
    with server() as running, running.client() as client:
        deploy(client, write_agents(running.folder / "workspace", 10, 0))
        for name, request in (
            ("message", messages(running.url, running.key, 10)),
            ("message in a conversation", messages_of_conversations(running, client, 10, 100)),
        ):
            uvloop.run(offer(running.url, rate, 3.0, request, {}))
            result = uvloop.run(offer(running.url, rate, seconds, request, running.processes()))
            used = sum(result.shares.values()) * seconds / max(1, result.statuses[200])
            found.append(Figure(f"CPU of a {name} at {rate:g} a second", used * 1000, "ms"))
    return found


def main() -> None:
    """Runs it from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rate", type=float, action="append", help="messages a second; may be given several times")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--agents", type=int, default=10)
    parser.add_argument("--warm-up", type=float, default=5.0, help="seconds at 200 messages a second before")
    parser.add_argument(
        "--conversations", type=int, nargs="*", default=[], help="behind it: so many, a message a second to each"
    )
    parser.add_argument(
        "--clients", type=int, default=0, help="behind it: through the official client, in so many processes"
    )
    given = parser.parse_args()
    print_machine()
    rates = tuple(given.rate or (1000.0,))
    found = figures(
        rates, given.seconds, given.agents, given.warm_up, tuple(given.conversations), clients=given.clients
    )
    print_figures("open loop", found)


if __name__ == "__main__":
    main()
