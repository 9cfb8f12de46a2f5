"""What circuit breakers cost each message: to ask, and to tell what came of it.

`python -m benchmarks.breakers`
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.report import Figure, percentile, print_figures, print_machine
from caxton.adapters.store.database import Database, sqlite_url
from caxton.adapters.store.migrate import migrate
from caxton.domain.breakers import Breaker, BreakerKind, BreakerSettings, BreakerState
from caxton.domain.ids import Scope
from caxton.domain.records import Transaction
from caxton.governance.breakers import CircuitBreakers
from caxton.routing.directory import Directory

CALLS = 50_000
SCOPE = Scope()


def figures() -> list[Figure]:
    """Microseconds of a question and of a report, while all is well and while ten others of the workspace rest."""
    with tempfile.TemporaryDirectory() as folder:
        return [
            *_figures("all is well", _breakers(0, Path(folder))),
            *_figures("ten rest", _breakers(10, Path(folder))),
        ]


def _figures(name: str, breakers: CircuitBreakers) -> list[Figure]:
    settings = BreakerSettings()

    def ask() -> object:
        return "a-5" in breakers.resting(SCOPE, "x_1")

    def ask_of_a_tool() -> object:
        return breakers.wait(SCOPE, BreakerKind.TOOL, "csv-tools", "x_1")

    def tell() -> object:
        return breakers.tell(SCOPE, BreakerKind.AGENT, "clerk", settings, "x_1", True)

    found: list[Figure] = []
    for what, call in (("ask for an agent", ask), ("ask for a tool", ask_of_a_tool), ("tell a success", tell)):
        median = sorted(percentile(_times(call), 0.5) for _ in range(5))[2]
        found.append(Figure(f"{what}, {name}: p50", median, "µs", 5))
    return found


def _breakers(others: int, folder: Path) -> CircuitBreakers:
    """Breakers as they are in a store, of which so many are open."""
    database, directory = Database(sqlite_url(folder / f"{others}.db")), Directory()
    migrate(database)
    now = time.time()

    def fill(transaction: Transaction) -> None:
        for number in range(others):
            rests = Breaker(kind=BreakerKind.AGENT, name=f"a-{number}", state=BreakerState.OPEN, retry_at=now + 3600)
            transaction.put_breaker(SCOPE, rests)
        transaction.bump_breakers(SCOPE)

    database.write_now(fill)
    database.read_now(lambda transaction: directory.registry(transaction, SCOPE))
    return CircuitBreakers(database, directory, BreakerSettings())


def _times(call: Callable[[], object]) -> list[float]:
    times: list[float] = []
    for _ in range(CALLS):
        started = time.perf_counter()
        call()
        times.append((time.perf_counter() - started) * 1e6)
    return times


def main() -> None:
    """Prints the figures."""
    print_machine()
    print_figures("Circuit breakers", figures())


if __name__ == "__main__":
    main()
