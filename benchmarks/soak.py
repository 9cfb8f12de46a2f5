"""Does anything grow? `python -m benchmarks.soak --seconds 600 --rate 100`: memory of each process, files, rows, the disk.

Growth is that of the second half of the run: caches fill in the first. Nothing has a period here, so rows and the disk grow with
the messages; `python -m benchmarks.retention` shows how large they stay with one.
"""

import argparse
import asyncio
import os
import statistics
import time
from contextlib import suppress
from pathlib import Path

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


FILES, DISK = "files in the data folder", "MB of the data folder"


def _count_files(folder: Path) -> dict[str, float]:
    """Files that are in `folder`, and what they have."""
    sizes = list[int]()
    for path in (Path(where, name) for where, _, names in os.walk(folder) for name in names):
        with suppress(FileNotFoundError):  # it has gone meanwhile
            sizes.append(path.lstat().st_size)
    return {FILES: len(sizes), DISK: sum(sizes) / 1e6}


def _open_files(running: Server) -> int:
    """Open files of all processes while nobody is connected."""
    time.sleep(2)
    return sum(process.num_fds() for process in running.processes().values())


async def observe(running: Server, every: float, samples: list[dict[str, float]]) -> None:
    """Takes a sample every so many seconds, for ever."""
    while True:
        processes = running.processes()
        sample = {name: process.memory_info().rss / 1e6 for name, process in processes.items()}
        sample["in all"] = sum(sample.values())
        sample |= await asyncio.to_thread(_count_files, running.folder / "data")
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
        uvloop.run(offer(running.url, min(200.0, rate), 5.0, request, {}))
        open_before = _open_files(running)

        async def run():
            observing = asyncio.create_task(observe(running, seconds / samples, taken))
            result = await offer(running.url, rate, seconds, request, {})
            observing.cancel()
            return result

        result = uvloop.run(run())
        open_after = _open_files(running)
        rows: dict[str, int] = client.get("/v1/storage").raise_for_status().json()["own"]["rows"]
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

    def growth(name: str) -> float:
        """A minute, in the second half."""
        known = [(at, sample[name]) for at, sample in zip(minutes, half, strict=True) if name in sample]
        return statistics.linear_regression(*zip(*known, strict=True)).slope

    for process in (key for key in half[-1] if key not in ("at", FILES, DISK)):
        target = GROWTH if process == "in all" else None
        found.append(Figure(f"{name}: memory of {process} at the end", half[-1][process], "MB"))
        found.append(
            Figure(f"{name}: memory of {process}, growth a minute in the second half", growth(process), "MB", target)
        )
    for what in (FILES, DISK):
        found.append(Figure(f"{name}: {what} at the end", half[-1][what], ""))
        found.append(Figure(f"{name}: {what}, growth an hour", 60 * growth(what), ""))
    found.append(Figure(f"{name}: open files, more than before", open_after - open_before, ""))
    found += [Figure(f"{name}: rows of {table} at the end", count, "") for table, count in rows.items()]
    return found


def main() -> None:
    """Runs it from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rate", type=float, default=500.0)
    parser.add_argument("--seconds", type=float, default=180.0)
    given = parser.parse_args()
    print_machine()
    print_figures("soak", figures(given.rate, given.seconds))


if __name__ == "__main__":
    main()
