"""Model calls in flight at once, through the whole server: `python -m benchmarks.in_flight --calls 2000`.

As many conversations are begun as calls, and each gets one message. The stand-in model takes so long that all calls are in
flight together; it counts them itself. Memory is the most that all processes of the server had at one time.
"""

import argparse
import asyncio
import time
from collections import Counter

import httpx
import uvloop

from benchmarks.model_backed import CHUNKS, conversations, thinking_server
from benchmarks.peers.connection import Connection
from benchmarks.report import Figure, percentile, print_figures, print_machine
from benchmarks.server import Server
from benchmarks.stand_in import stand_in

RAMP = 1 / 3
"""Share of the model's time within which the messages are sent."""

EVERY = 1.0
"""Seconds between two looks at the memory."""


async def most_memory(running: Server, found: list[float]) -> None:
    """Notes the memory of all processes in MB, for ever."""
    while True:
        found.append(sum(process.memory_info().rss for process in running.processes().values()) / 1e6)
        await asyncio.sleep(EVERY)


async def all_at_once(running: Server, calls: int, latency: float) -> tuple[list[float], list[str], float]:
    """Sends the messages; milliseconds added to the model's of each, what failed, and the most memory in MB."""
    paths, memory, added, failed = await conversations(running, calls), [0.0], list[float](), list[str]()

    async def one(number: int, path: str) -> None:
        await asyncio.sleep(RAMP * latency * number / calls)
        connection, sent = Connection(running.url, running.key), time.monotonic()
        try:
            await connection.post(path, {"content": "go on"})
            added.append(1000 * (time.monotonic() - sent - latency))
        except (RuntimeError, OSError, EOFError) as error:
            failed.append(str(error) or type(error).__name__)
        finally:
            connection.close()

    looking = asyncio.create_task(most_memory(running, memory))
    await asyncio.gather(*(one(number, path) for number, path in enumerate(paths)))
    looking.cancel()
    return added, failed, max(memory)


def figures(calls: int = 2_000, latency: float = 60.0) -> list[Figure]:
    """How many are in flight at the most, what that takes, and what is refused.

    Args:
        calls: model calls, each of a turn in a conversation of its own.
        latency: of the model, in seconds.
    """
    # All clients are at one address here.
    room = {"CAXTON_SERVER__CONNECTIONS_PER_ADDRESS": "4096"}
    with stand_in(latency, CHUNKS) as address, thinking_server(address, **room) as running:
        added, failed, memory = uvloop.run(all_at_once(running, calls, latency))
        stats = httpx.get(f"{address.removesuffix('/v1')}/stats", trust_env=False).json()
    for status, count in Counter(text[:3] for text in failed).items():
        print(f"{count} failed with {status}, such as: {next(text for text in failed if text.startswith(status))}")
    name = f"{calls:,} model calls at once"
    return [
        Figure(f"{name}: most in flight", float(stats["most"]), "", float(calls), higher_is_better=True),
        Figure(f"{name}: memory in all", memory, "MB", 1200.0 if calls == 2_000 else None),
        Figure(f"{name}: refused or failed", float(len(failed)), "", 0.0),
        Figure(f"{name}: calls made beyond one a turn", float(stats["calls"] - calls), "", 0.0),
        Figure(f"{name}: added to the model's time, p50", percentile(added or [float("nan")], 0.5), "ms"),
    ]


def main() -> None:
    """Runs it from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=2_000)
    parser.add_argument("--latency", type=float, default=60.0, help="seconds that the model takes")
    given = parser.parse_args()
    print_machine()
    print_figures("in flight at once", figures(given.calls, given.latency))


if __name__ == "__main__":
    main()
