"""Does anything grow? `python -m benchmarks.soak --seconds 600`: memory of each process.

The target is for the second half of the run: caches fill in the first.
"""

import argparse
import asyncio
import statistics
import time

import uvloop

from benchmarks.deploy import deploy, write_agents
from benchmarks.load import messages, messages_of_conversations, offer
from benchmarks.report import Figure, percentile, print_figures, print_machine
from benchmarks.server import Server, server

EVERY = 5
"""Each so manieth message belongs to one of the conversations."""

CONVERSATIONS = 100

GROWTH = 10.0
"""MB a minute that count as flat: less than what measuring the same moment twice differs by."""


async def observe(running: Server, every: float, samples: list[dict[str, float]]) -> None:
    """Takes a sample every so many seconds, for ever."""
    while True:
        sample = {name: process.memory_info().rss / 1e6 for name, process in running.processes().items()}
        sample["in all"] = sum(sample.values())
        sample["at"] = time.perf_counter()
        samples.append(sample)
        await asyncio.sleep(every)


def figures(rate: float = 500.0, seconds: float = 180.0, samples: int = 36) -> list[Figure]:
    """Messages at that rate, for that long; some in conversations."""
    with server() as running, running.client() as client:
        deploy(client, write_agents(running.folder / "workspace", 10, 0))
        alone = messages(running.url, running.key, 10)
        in_conversation = messages_of_conversations(running, client, 10, CONVERSATIONS)

        def request(number: int) -> bytes:
            return alone(number) if number % EVERY else in_conversation(number // EVERY)

        taken: list[dict[str, float]] = []

        async def run():
            await offer(running.url, min(200.0, rate), 5.0, request, {})
            observing = asyncio.create_task(observe(running, seconds / samples, taken))
            result = await offer(running.url, rate, seconds, request, {})
            observing.cancel()
            return result

        result = uvloop.run(run())
    half = taken[len(taken) // 2 :]
    minutes = [(sample["at"] - half[0]["at"]) / 60 for sample in half]
    name = f"{rate:g} a second for {seconds:g} s"
    found = [
        Figure(f"{name}: answered", result.statuses[200] / seconds, "1/s"),
        Figure(
            f"{name}: neither answered nor refused", result.due - result.statuses[200] - result.statuses[429], "", 0
        ),
        Figure(f"{name}: p99", percentile(result.latencies[200], 0.99), "ms"),
    ]
    for process in (key for key in half[-1] if key != "at"):
        slope = statistics.linear_regression(minutes, [sample[process] for sample in half]).slope
        target = GROWTH if process == "in all" else None
        found.append(Figure(f"{name}: memory of {process} at the end", half[-1][process], "MB"))
        found.append(Figure(f"{name}: memory of {process}, growth a minute in the second half", slope, "MB", target))
    return found


def main() -> None:
    """Runs it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rate", type=float, default=500.0)
    parser.add_argument("--seconds", type=float, default=180.0)
    given = parser.parse_args()
    print_machine()
    print_figures("soak", figures(given.rate, given.seconds))


if __name__ == "__main__":
    main()
