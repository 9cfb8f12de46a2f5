"""Durable turns whose model is a service over the network: `python -m benchmarks.model_backed --clients 50 200 500`.

A stand-in model answers after two seconds, whole or in 40 pieces. Each client writes one message after the other into a
conversation of its own, over HTTP, against `caxton serve` on a fresh data folder. Printed are turns a second beside the ceiling
(clients ÷ latency), the time added to the model's own, CPU a turn of all processes of the server, memory, and what was refused.
Load generator and stand-in share the machine, and their CPU is not counted.
"""

import argparse
import asyncio
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import httpx
import psutil
import uvloop

from benchmarks.deploy import deploy
from benchmarks.peers.connection import Connection
from benchmarks.report import Figure, percentile, print_figures, print_machine
from benchmarks.server import Server, server
from benchmarks.side_by_side import model_backed as beside_peers
from benchmarks.stand_in import stand_in
from tests.support.agents import agent, replies

LATENCY = 2.0
"""Seconds that the model takes."""

CHUNKS = 40

THINKER = """
name = "thinker"
version = "1.0.0"
capabilities = ["think"]
model = "stand-in:stand-in"
system_prompt = "You think."

[model_settings]
timeout = "5m"
"""
"""Calls may take longer than a minute, the default: that is how long all of them are in flight together."""

ECHO = agent("echo", rules=replies("{{ request }}"))

TARGETS = {200: 70.0, 500: 90.0}
"""Turns a second to reach, by clients."""


@dataclass
class Run:
    """What came of a closed loop."""

    took: list[float] = field(default_factory=list[float])
    refused: int = 0
    wall: float = 0.0
    cpu: float = 0.0
    memory: float = 0.0


@contextmanager
def thinking_server(address: str, **more: str) -> Generator[Server]:
    """A server with an agent that uses the model at `address`, and one that a script answers for; `more` is its environment."""
    provider = "CAXTON_MODELS__PROVIDERS__STAND-IN__"
    environment = {f"{provider}KIND": "openai", f"{provider}BASE_URL": address, "OPENAI_API_KEY": "none", **more}
    with server(**environment) as running, running.client() as client:
        workspace = running.folder / "workspace"
        for path, text in {"caxton.toml": "", "agents/thinker.toml": THINKER, **ECHO}.items():
            (workspace / path).parent.mkdir(parents=True, exist_ok=True)
            (workspace / path).write_text(str(text))
        deploy(client, workspace)
        yield running


def cpu_of(running: Server) -> tuple[float, float]:
    """Seconds of CPU and MB of memory of all processes of the server, so far."""
    cpu = memory = 0.0
    for process in running.processes().values():
        with suppress(psutil.NoSuchProcess):  # a helper that has ended meanwhile
            times = process.cpu_times()
            cpu += times.user + times.system
            memory += process.memory_info().rss / 1e6
    return cpu, memory


async def conversations(running: Server, count: int) -> list[str]:
    """The paths of the messages of so many new conversations."""
    limits = httpx.Limits(max_connections=20)
    headers = {"Authorization": f"Bearer {running.key}"}
    async with httpx.AsyncClient(
        base_url=running.url, headers=headers, timeout=120, limits=limits, trust_env=False
    ) as http:

        async def begin() -> str:
            while True:
                answer = await http.post("/v1/conversations", json={"capability": "think"})
                if answer.status_code < 300:
                    return f"/v1/conversations/{answer.json()['id']}/messages"
                await asyncio.sleep(0.5)

        found: list[str] = []
        for first in range(0, count, 20):
            found += await asyncio.gather(*(begin() for _ in range(min(20, count - first))))
        return found


class Asking:
    """One client that waits for each reply."""

    def __init__(self, running: Server, path: str, body: dict[str, str]) -> None:
        """Send `body` to `path`, each time."""
        self.connection = Connection(running.url, running.key)
        self.path, self.body = path, body

    async def ask(self) -> bool:
        """Sends one message; whether it was answered."""
        try:
            return (await self.connection.post(self.path, self.body))["state"] == "completed"
        except RuntimeError:
            return False

    async def close(self) -> None:
        """Closes its connection."""
        self.connection.close()


class Listening(Asking):
    """One client that listens to each turn."""

    async def ask(self) -> bool:
        """Sends one message; whether its reply came by the stream."""
        try:
            sent = await self.connection.post(f"{self.path}?wait=false", self.body)
            path = f"/v1/executions/{sent['execution_id']}/stream"
            return await self.connection.listen(path, b"event: reply")
        except RuntimeError:
            return False


async def closed_loop(
    running: Server, clients: int, seconds: float, *, listen: bool = False, one_shot: bool = False
) -> Run:
    """So many clients, each with one message after the other."""
    found = Run()
    paths = ["/v1/messages"] * clients if one_shot else await conversations(running, clients)
    body = {"content": "go on", **({"capability": "think"} if one_shot else {})}

    async def client(number: int, path: str) -> None:
        asking = Listening(running, path, body) if listen else Asking(running, path, body)
        await asyncio.sleep(LATENCY * number / clients)
        while time.monotonic() < stop:
            began = time.monotonic()
            if await asking.ask():
                found.took.append(time.monotonic() - began)
            else:
                found.refused += 1
                await asyncio.sleep(0.5)
        await asking.close()

    before, _ = cpu_of(running)
    began = time.monotonic()
    stop = began + seconds
    await asyncio.gather(*(client(number, path) for number, path in enumerate(paths)))
    found.wall = time.monotonic() - began
    after, found.memory = cpu_of(running)
    found.cpu = after - before
    return found


def described(name: str, clients: int, run: Run, *, cpu: float | None = None) -> list[Figure]:
    """The figures of one run."""
    turns = max(1, len(run.took))
    added = sorted(1000 * (took - LATENCY) for took in run.took) or [float("nan")]
    return [
        Figure(
            f"{name}: turns (ceiling {clients / LATENCY:g})", turns / run.wall, "turns/s", TARGETS.get(clients), True
        ),
        Figure(
            f"{name}: added to the model's time, p50", percentile(added, 0.5), "ms", 50.0 if clients == 50 else None
        ),
        Figure(f"{name}: added to the model's time, p99", percentile(added, 0.99), "ms"),
        Figure(f"{name}: CPU a turn", 1000 * run.cpu / turns, "ms", cpu),
        Figure(f"{name}: memory in all", run.memory, "MB", 1200.0),
        Figure(f"{name}: refused", float(run.refused), "", 0.0),
    ]


async def beside(running: Server, clients: int, seconds: float) -> list[Figure]:
    """Scripted requests one after the other, while `clients` model calls are in flight."""
    took: list[float] = []

    async def ask() -> None:
        headers = {"Authorization": f"Bearer {running.key}"}
        async with httpx.AsyncClient(base_url=running.url, headers=headers, timeout=60, trust_env=False) as http:
            await asyncio.sleep(2 * LATENCY)
            until = time.monotonic() + seconds - 3 * LATENCY
            while time.monotonic() < until:
                began = time.monotonic()
                answer = await http.post("/v1/messages", json={"capability": "echo", "content": "x"})
                assert answer.status_code == 200, answer.text
                took.append(1000 * (time.monotonic() - began))
                await asyncio.sleep(0.02)

    run, _ = await asyncio.gather(closed_loop(running, clients, seconds), ask())
    name = f"beside {clients} model calls in flight: a scripted request"
    return [
        Figure(f"{name}, p50", percentile(sorted(took), 0.5), "ms"),
        Figure(f"{name}, p99", percentile(sorted(took), 0.99), "ms", 100.0),
        Figure(f"beside {clients} model calls in flight: refused", float(run.refused), "", 0.0),
    ]


def figures(clients: tuple[int, ...] = (50, 200, 500), seconds: float = 20.0, listeners: int = 50) -> list[Figure]:
    """Turns of an agent with a model over the network."""
    found: list[Figure] = []
    with stand_in(LATENCY, CHUNKS) as address, thinking_server(address) as running:
        uvloop.run(closed_loop(running, 5, 2 * LATENCY))  # what is loaded at the first call
        for count in clients:
            run = uvloop.run(closed_loop(running, count, seconds))
            found += described(f"{count} clients in conversations", count, run, cpu=20.0)
        run = uvloop.run(closed_loop(running, listeners, seconds, listen=True))
        found += described(f"{listeners} clients in conversations that listen", listeners, run, cpu=35.0)
        run = uvloop.run(closed_loop(running, listeners, seconds, one_shot=True))
        found += described(f"{listeners} clients with one-shot requests", listeners, run)
        found += uvloop.run(beside(running, max(clients), seconds))
    return found


def main() -> None:
    """Runs it from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clients", type=int, nargs="+", help="50, 200 and 500; with --peers 200.")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--peers", action="store_true", help="Instead: beside LangGraph and pydantic-ai on Temporal.")
    parser.add_argument("--rounds", type=int, default=1, help="With --peers: medians of so many.")
    given = parser.parse_args()
    print_machine()
    if given.peers:
        clients = tuple(given.clients or (200,))
        print_figures("Beside peers", beside_peers(clients, given.seconds, given.rounds))
    else:
        print_figures("model_backed", figures(tuple(given.clients or (50, 200, 500)), given.seconds))


if __name__ == "__main__":
    main()
