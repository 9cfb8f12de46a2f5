"""Deadlines of which some fail for ever: how late are the others? `python -m benchmarks.deadlines --count 100000 --seconds 300`.

They are due evenly over that time. One in a hundred is of an execution that cannot be read, and is tried again and again. Beside
them a log grows by a million events a day; `--log 1000000` has it begin with so many.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

from benchmarks.report import Figure, percentile, print_figures, print_machine
from caxton.adapters.store.database import Database, sqlite_url
from caxton.adapters.store.migrate import migrate
from caxton.adapters.store.transaction import SqlTransaction
from caxton.domain.events import Event
from caxton.domain.events.conversations import MessageDelivered
from caxton.domain.ids import ExecutionId, MessageId, Scope, new_id
from caxton.domain.records import Deadline
from caxton.recording import journal
from caxton.service.deadline_worker import DeadlineWorker
from caxton.service.engine import Engine

HERE = Scope(customer="local", workspace="default")
FAILS = 100
"""One in so many fails."""
A_DAY = 1_000_000
"""Events by which the log grows a day."""
A_TURN = 10
"""Events that are recorded together."""
LATE = 1000.0
"""Milliseconds within which each of the others is to be dealt with."""


def _events(count: int) -> list[Event]:
    told = MessageDelivered(message_id=MessageId(new_id("m")), delivered_to="echo", delivery_time_ms=1.0)
    return [journal.note(HERE, told, new_id("e"), agent="echo") for _ in range(count)]


async def fill_log(database: Database, count: int) -> None:
    """Records `count` events."""
    for begin in range(0, count, 5_000):
        some = _events(min(5_000, count - begin))
        await database.write(lambda transaction, some=some: transaction.add_events(HERE, some))


async def _grow_log(database: Database, a_day: int) -> None:
    """Records so many events a day, a turn's at a time, forever."""
    while True:
        await asyncio.sleep(A_TURN * 86_400 / a_day)
        some = _events(A_TURN)
        await database.write(lambda transaction, some=some: transaction.add_events(HERE, some))


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
        works: list[Coroutine[Any, Any, None]] = [
            DeadlineWorker(database, cast("Engine", None)).run() for _ in range(max(1, workers))
        ]
        running = [asyncio.create_task(work) for work in (*works, _grow_log(database, A_DAY))]
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


def figures(count: int = 100_000, seconds: float = 300.0, log: int = 0) -> list[Figure]:
    """How late they are, on SQLite, with `log` events there at first."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(sqlite_url(Path(folder) / "caxton.db"))
        migrate(database)

        async def run() -> tuple[list[float], int, int]:
            await fill_log(database, log)
            return await simulate(database, count, seconds)

        late, failed, tried = asyncio.run(run())
        events = database.read_now(lambda transaction: transaction.events_kept()).get(HERE.customer, 0)
        database.close()
    return [
        Figure("events in the log at the end", events, ""),
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
    parser.add_argument("--log", type=int, default=0, help="events that are there at first")
    given = parser.parse_args()
    print_machine()
    print_figures("deadlines", figures(given.count, given.seconds, given.log))


if __name__ == "__main__":
    main()
