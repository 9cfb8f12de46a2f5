"""Turns of scripted agents over HTTP: in one conversation, one-shot, and with more clients."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import httpx

from benchmarks.deploy import deploy, write_agents
from benchmarks.report import Figure, percentile, print_figures, print_machine
from benchmarks.server import Server, server

WARM_UP = 30


def one_client(client: httpx.Client, path: str, body: dict[str, str], turns: int) -> list[float]:
    """Milliseconds of each turn, one after another."""
    times: list[float] = []
    for number in range(turns + WARM_UP):
        started = time.perf_counter()
        client.post(path, json=body).raise_for_status()
        if number >= WARM_UP:
            times.append((time.perf_counter() - started) * 1000)
    return times


async def many_clients(
    clients: int, seconds: float, ask: Callable[[httpx.AsyncClient, int], Awaitable[None]], running: Server
) -> tuple[float, list[float]]:
    """Turns a second, and milliseconds of each, of closed-loop clients."""
    times: list[float] = []
    end = time.perf_counter() + seconds

    async def one(number: int) -> None:
        headers = {"Authorization": f"Bearer {running.key}"}
        # Certificates are not needed here, and loading them a hundred times would keep the first clients waiting.
        async with httpx.AsyncClient(
            base_url=running.url, headers=headers, timeout=60, trust_env=False, verify=False
        ) as client:
            while time.perf_counter() < end:
                started = time.perf_counter()
                await ask(client, number)
                times.append((time.perf_counter() - started) * 1000)

    await asyncio.gather(*(one(number) for number in range(clients)))
    return len(times) / seconds, times


def figures(turns: int = 300, seconds: float = 8.0) -> list[Figure]:
    """Latencies of one client, rates of several."""
    found: list[Figure] = []
    with server() as running, running.client() as client:
        deploy(client, write_agents(running.folder / "workspace", 10, 0))
        conversation = client.post("/v1/conversations", json={"capability": "agent-0"}).json()["id"]
        times = one_client(client, f"/v1/conversations/{conversation}/messages", {"content": "hello"}, turns)
        found.append(Figure("turn in a conversation: p50", percentile(times, 0.5), "ms", 4))
        found.append(Figure("turn in a conversation: p99", percentile(times, 0.99), "ms"))
        times = one_client(client, "/v1/messages", {"capability": "agent-1", "content": "hello"}, turns)
        found.append(Figure("one-shot request: p50", percentile(times, 0.5), "ms", 15))
        found.append(Figure("one-shot request: p99", percentile(times, 0.99), "ms"))

        async def ask(client: httpx.AsyncClient, number: int) -> None:
            body = {"capability": f"agent-{number % 10}", "content": "hello"}
            (await client.post("/v1/messages", json=body)).raise_for_status()

        for clients in (10, 100):
            rate, times = asyncio.run(many_clients(clients, seconds, ask, running))
            found.append(Figure(f"one-shot requests, {clients} clients: rate", rate, "1/s"))
            found.append(Figure(f"one-shot requests, {clients} clients: p50", percentile(times, 0.5), "ms"))
            found.append(Figure(f"one-shot requests, {clients} clients: p99", percentile(times, 0.99), "ms"))
    return found


if __name__ == "__main__":
    print_machine()
    print_figures("turns of scripted agents", figures())
