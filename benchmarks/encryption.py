"""What encryption of the engine's payloads costs: `python -m benchmarks.encryption --rate 500 --rounds 3`.

Two servers, one with keys, get the same messages of conversations at the same rate by turns, so that what the machine does
besides weighs on both. CPU time counts, for it hardly depends on that; the latencies stand beside it.
"""

import argparse
import statistics
import subprocess
import sys
from contextlib import ExitStack

import uvloop

from benchmarks.deploy import deploy, write_agents
from benchmarks.load import messages_of_conversations, offer
from benchmarks.report import Figure, percentile, print_figures, print_machine
from benchmarks.server import server

TARGET = 10.0
"""Per cent of CPU that encryption may add."""


def figures(rate: float = 500.0, seconds: float = 10.0, rounds: int = 3) -> list[Figure]:
    """CPU of a message with and without encryption, and what that adds: the median of pairs."""
    key = subprocess.run(
        [sys.executable, "-m", "caxton", "encryption", "generate"], capture_output=True, text=True, check=True
    ).stdout.strip()
    cpu: dict[str, list[float]] = {"plain": [], "encrypted": []}
    latencies: dict[str, list[float]] = {"plain": [], "encrypted": []}
    lost = 0
    with ExitStack() as stack:
        requests = {}
        for name in cpu:
            keys = (
                {"CAXTON_ENGINE__ENCRYPTION__KEYS": '["env:ENGINE_KEY"]', "ENGINE_KEY": key}
                if name == "encrypted"
                else {}
            )
            running = stack.enter_context(server(**keys))
            client = stack.enter_context(running.client())
            deploy(client, write_agents(running.folder / "workspace", 10, 0))
            requests[name] = running, messages_of_conversations(running, client, 10, int(rate))
            uvloop.run(offer(running.url, min(rate, 200.0), 4.0, requests[name][1], {}))
        for number in range(rounds):
            for name in sorted(cpu, reverse=bool(number % 2)):  # neither always goes first
                running, request = requests[name]
                result = uvloop.run(offer(running.url, rate, seconds, request, running.processes()))
                done = result.statuses[200]
                lost += result.due - done
                cpu[name].append(sum(result.shares.values()) * seconds / max(1, done) * 1000)
                latencies[name] += result.latencies.get(200, [])
    added = statistics.median(
        (dear / cheap - 1) * 100 for cheap, dear in zip(cpu["plain"], cpu["encrypted"], strict=True)
    )
    found = [
        Figure(f"{name}: CPU of a message in a conversation at {rate:g} a second", statistics.median(values), "ms")
        for name, values in cpu.items()
    ]
    for name, values in latencies.items():
        for label, share in (("p50", 0.5), ("p99", 0.99)):
            found.append(Figure(f"{name}: {label}", percentile(values or [0.0], share), "ms"))
    found.append(Figure("encryption adds, CPU (median of pairs)", added, "%", TARGET))
    found.append(Figure("not answered, both together", lost, ""))
    return found


def main() -> None:
    """Runs it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rate", type=float, default=500.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print_machine()
    print_figures("encryption of the engine's payloads", figures(given.rate, given.seconds, given.rounds))


if __name__ == "__main__":
    main()
