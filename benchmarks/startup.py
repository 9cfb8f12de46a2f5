"""From `caxton serve` to the first line and to ready, on a fresh data folder."""

import statistics

from benchmarks.report import Figure, print_figures, print_machine
from benchmarks.server import server


def figures(runs: int = 5) -> list[Figure]:
    """Medians of `runs` starts; the first one, with cold files, does not count."""
    acknowledged: list[float] = []
    ready: list[float] = []
    for number in range(runs + 1):
        with server() as started:
            if number:
                acknowledged.append(started.acknowledged_after * 1000)
                ready.append(started.ready_after)
    return [
        Figure("first line in a pipe (on a terminal: see the command line)", statistics.median(acknowledged), "ms"),
        Figure("ready, median", statistics.median(ready), "s", 2),
        Figure("ready, slowest", max(ready), "s", 5),
    ]


if __name__ == "__main__":
    print_machine()
    print_figures("start of the server", figures())
