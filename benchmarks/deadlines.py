"""Deadlines of which some fail for ever: how late are the others? `python -m benchmarks.deadlines --count 100000 --seconds 300`.

They are due evenly over that time. One in a hundred is of an execution that cannot be read, and is tried again and again.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

from benchmarks.report import Figure, percentile, print_figures, print_machine
from caxton.adapters.store.database import Database, sqlite_url
from caxton.adapters.store.migrate import migrate
from caxton.adapters.store.transaction import SqlTransaction
from caxton.domain.ids import ExecutionId, Scope
from caxton.domain.records import Deadline
from caxton.recording import journal
from caxton.service.deadline_worker import DeadlineWorker
from caxton.service.engine import Engine

HERE = Scope(customer="local", workspace="default")
FAILS = 100
"""One in so many fails."""
LATE = 1000.0
"""Milliseconds within which each of the others is to be dealt with."""


async def simulate(database: Database, count: int, seconds: float, workers: int = 1) -> tuple[list[float], int, int]:
    """Milliseconds by which each of those that do not fail was late; how many failed, and how often they were tried."""
    start = journal.now() + timedelta(seconds=1 + count / 50_000)
    due = {ExecutionId(f"x_{n}"): start + timedelta(seconds=seconds * n / count) for n in range(count)}
    for begin in range(0, count, 5_000):
        some = [Deadline(HERE, each, "breach", 0, at, {}) for each, at in list(due.items())[begin : begin + 5_000]]
        await database.write(lambda transaction, some=some: transaction.add_deadlines(HERE, some))
    done: dict[ExecutionId, datetime] = {}
    tried = 0
    executions = SqlTransaction.executions

    def read(self: SqlTransaction, scope: Scope, ids: Sequence[ExecutionId]) -> Any:
        nonlocal tried
        if any(int(each[2:]) % FAILS == 0 for each in ids):
            tried += 1
            raise ValueError("damaged")
        found = executions(self, scope, list(ids))
        done.update(dict.fromkeys(ids, journal.now()))
        return found

    with patch.object(SqlTransaction, "executions", read):
        running = [
            asyncio.create_task(DeadlineWorker(database, cast("Engine", None)).run()) for _ in range(max(1, workers))
        ]
        wanted = count - len(range(0, count, FAILS))
        end = time.monotonic() + seconds + 120
        while len(done) < wanted and time.monotonic() < end:
            await asyncio.sleep(0.1)
        for task in running:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
    late = [(moment - due[each]).total_seconds() * 1000 for each, moment in done.items()]
    return late, count - len(done), tried


def figures(count: int = 100_000, seconds: float = 300.0) -> list[Figure]:
    """How late they are, on SQLite."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(sqlite_url(Path(folder) / "caxton.db"))
        migrate(database)
        late, failed, tried = asyncio.run(simulate(database, count, seconds))
        database.close()
    return [
        Figure(f"{count:,} deadlines in {seconds:g} s, 1 % failing: p50", percentile(late, 0.5), "ms"),
        Figure(f"{count:,} deadlines in {seconds:g} s, 1 % failing: p99", percentile(late, 0.99), "ms"),
        Figure(f"{count:,} deadlines in {seconds:g} s, 1 % failing: latest", max(late), "ms", LATE),
        Figure("deadlines that fail", failed, ""),
        Figure("deadlines that fail: attempts", tried, ""),
    ]


def main() -> None:
    """Runs it from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=300.0)
    given = parser.parse_args()
    print_machine()
    print_figures("deadlines", figures(given.count, given.seconds))


if __name__ == "__main__":
    main()
