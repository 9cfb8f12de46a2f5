"""One customer's 10,000 requests at once, and another customer who asks for little: `python -m benchmarks.flood`.

The other sends a request every 50 ms, whatever became of those before, and each latency counts from the time at which it was due.
"""

import argparse
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import httpx
import uvloop

from benchmarks.deploy import deploy, write_agents
from benchmarks.load import Result, messages, messages_of_conversations, offer
from benchmarks.report import Figure, percentile, print_figures, print_machine
from benchmarks.server import Server, server

FLOOD = 10_000
"""Requests that come at once."""

CONNECTIONS = 500
"""Over which they come: so many are in hand at a time."""

CONVERSATIONS = 200

EVERY = 0.05
"""Seconds between two requests of the other customer."""

TIMES = 2.0
"""How many times its latency at rest the other may have meanwhile."""


def _customer(running: Server, client: httpx.Client, name: str) -> tuple[Server, httpx.Client]:
    """A customer of its own, with an agent that answers at once."""
    made = client.post("/v1/keys", json={"name": name, "role": "admin", "customer": name}).raise_for_status()
    found = Server(**{**vars(running), "key": made.json()["key"]})
    own = found.client()
    deploy(own, write_agents(running.folder / name, 1, 0))
    return found, own


def _flood(url: str, requests: list[bytes], count: int) -> Result:
    """Sends `count` requests as fast as connections take them, and goes last: it would be on other machines."""
    os.setpriority(os.PRIO_PROCESS, 0, 19)
    return uvloop.run(
        offer(url, count * 1000, 0.001, lambda number: requests[number % len(requests)], {}, connections=CONNECTIONS)
    )


def _watched(running: Server, request: Callable[[int], bytes], seconds: float, over: Callable[[], bool]) -> Result:
    """What becomes of a request every now and then, for so many seconds, or until it is `over`."""
    lasting = {name: process for name, process in running.processes().items() if not name.startswith("other")}
    return uvloop.run(offer(running.url, 1 / EVERY, seconds, request, lasting, over))


def figures(rest: float = 15.0, flood: int = FLOOD) -> list[Figure]:
    """The other's latencies at rest and during floods of one-shot requests and of messages of conversations."""
    found: list[Figure] = []
    with server() as running, running.client() as client, ProcessPoolExecutor(1, get_context("spawn")) as pool:
        flooding, of_flood = _customer(running, client, "flood")
        other, _ = _customer(running, client, "other")
        asks = messages(other.url, other.key, 1)
        one_shot, talks = (
            messages(flooding.url, flooding.key, 1),
            messages_of_conversations(flooding, of_flood, 1, CONVERSATIONS),
        )
        kinds = {"one-shot requests": [one_shot(0)], "messages": [talks(number) for number in range(CONVERSATIONS)]}
        pool.submit(_flood, running.url, [one_shot(0)], 500).result()  # all that helps a busy server is there
        _watched(other, asks, 2.0, lambda: False)
        idle = _watched(other, asks, rest, lambda: False).latencies[200]
        at_rest = percentile(idle, 0.99)
        found += [
            Figure("the other at rest: p50", percentile(idle, 0.5), "ms"),
            Figure("the other at rest: p99", at_rest, "ms"),
        ]
        for name, requests in kinds.items():
            began = time.perf_counter()
            sent = pool.submit(_flood, running.url, requests, flood)
            meanwhile = _watched(other, asks, 120.0, sent.done)
            took, answered = time.perf_counter() - began, sent.result()
            latencies = meanwhile.latencies.get(200, [0.0])
            found += [
                Figure(f"{flood:,} {name} of a flood: answered", answered.statuses[200] / took, "1/s"),
                Figure(f"{flood:,} {name} of a flood: refused", answered.statuses[429], ""),
                Figure(f"{name}: the other meanwhile, p50", percentile(latencies, 0.5), "ms"),
                Figure(f"{name}: the other meanwhile, p99", percentile(latencies, 0.99), "ms", TIMES * at_rest),
                Figure(f"{name}: the other meanwhile, worst", max(latencies), "ms"),
                Figure(f"{name}: requests of the other that were not answered", meanwhile.due - len(latencies), "", 0),
                *(
                    Figure(f"{name}: CPU of {process}, share of one core", share * 100, "%")
                    for process, share in meanwhile.shares.items()
                ),
            ]
    return found


def main() -> None:
    """Runs it from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rest", type=float, default=15.0, help="seconds of the measurement at rest")
    parser.add_argument("--flood", type=int, default=FLOOD, help="requests of the flood")
    given = parser.parse_args()
    print_machine()
    print_figures("flood", figures(given.rest, given.flood))


if __name__ == "__main__":
    main()
