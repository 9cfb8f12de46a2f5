"""The event log: what it costs a turn, how fast it is written and read, how soon a tail sees an event.

With PostgreSQL installed, writing and reading are measured there too. Reading is measured at a million events, which takes
some minutes to write; `--events N` takes fewer.
"""

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.deploy import deploy, write_agents
from benchmarks.report import Figure, percentile, print_figures, print_machine
from benchmarks.server import server
from benchmarks.turns import many_clients, one_client
from caxton.adapters.store.database import Database, sqlite_url
from caxton.adapters.store.migrate import migrate
from caxton.domain.events import Event
from caxton.domain.events.executions import ActionDispatched, ExecutionCompleted, ExecutionTriggered, ModelCalled
from caxton.domain.ids import Scope, new_id
from caxton.domain.records import EventFilter
from caxton.recording.journal import note
from caxton.service.context import Caller, Role
from caxton.service.event_log import EventLog

SCOPE = Scope(customer="bench", workspace="bench")
BATCH = 500

WITHOUT_LOG = """
from caxton.adapters.store.events import EventQueries
EventQueries.add_events = lambda self, scope, events: None
EventQueries.add_events_once = lambda self, scope, events: []
"""
"""What a server without the log would be: nothing is appended, so nothing is chained and written."""


def a_turn(number: int) -> list[Event]:
    """Events like those of a small turn."""
    execution = new_id("x")
    agent, skill = f"agent-{number % 40}", f"skill-{number % 60}"
    payloads = [
        ExecutionTriggered(target=skill),
        ModelCalled(model="scripted", step=1),
        ActionDispatched(action_id="1.0", action_type="reply", content_hash="0" * 64, size_bytes=420),
        ExecutionCompleted(message_id=new_id("m"), content_hash="0" * 64, size_bytes=420, model_calls=1),
    ]
    envelope: dict[str, Any] = {
        "skill_id": skill,
        "skill_version": "1.0.0",
        "execution_id": execution,
        "correlation_id": execution,
        "conversation_id": new_id("c"),
        "error_code": "tool_failed" if number % 50 == 0 else None,
        "latency_ms": 12.5,
    }
    return [
        note(SCOPE, payload, execution, actor=f"agent:{agent}", agent=agent, deployment_id="d_1", **envelope)  # type: ignore[arg-type]
        for payload in payloads
    ]


@contextmanager
def databases() -> Iterator[list[tuple[str, Database]]]:
    """SQLite and, where it is installed, PostgreSQL."""
    from tests.support.postgres import programs, running_postgres

    with tempfile.TemporaryDirectory() as folder:
        found = [("SQLite", Database(sqlite_url(Path(folder) / "events.db")))]
        if programs() is None:
            yield _migrated(found)
        else:
            with running_postgres(durable=True) as postgres:
                found.append(("PostgreSQL", Database(postgres.new_database())))
                yield _migrated(found)


def _migrated(found: list[tuple[str, Database]]) -> list[tuple[str, Database]]:
    for _, database in found:
        migrate(database)
    return found


def write(database: Database, count: int) -> float:
    """Writes `count` events in batches; returns events a second (making the events is not counted)."""
    took, written, number = 0.0, 0, 0
    while written < count:
        batch: list[Event] = []
        while len(batch) < BATCH:
            batch += a_turn(number)
            number += 1
        started = time.perf_counter()
        database.write_now(lambda transaction, batch=batch: transaction.add_events(SCOPE, batch))
        took += time.perf_counter() - started
        written += len(batch)
    return written / took


def read_figures(name: str, database: Database, events: int) -> list[Figure]:
    """p95 of the first page, of pages far in, and of every filter, through the use case."""
    log = EventLog(database)
    caller = Caller(SCOPE, Role.ADMIN, "k", "bench")
    now = datetime.now(UTC)
    some = random.Random(7)
    known = database.read_now(lambda t: t.events(SCOPE, after=events // 2, limit=500))

    def filters() -> EventFilter:
        example = some.choice(known)
        return some.choice(
            [
                EventFilter(),
                EventFilter(types=frozenset({"execution_completed"})),
                EventFilter(types=frozenset({"execution_completed", "model_called"}), agent=example.agent),
                EventFilter(agent=example.agent),
                EventFilter(skill_id=example.skill_id),
                EventFilter(correlation_id=example.correlation_id),
                EventFilter(conversation_id=example.conversation_id),
                EventFilter(error_code="tool_failed"),
                EventFilter(actor=example.actor, since=now - timedelta(hours=1)),
                EventFilter(since=example.timestamp, until=example.timestamp + timedelta(seconds=5)),
                EventFilter(agent="nobody"),
            ]
        )

    async def measure() -> tuple[list[float], list[float]]:
        lists: list[float] = []
        filtered: list[float] = []
        for number in range(400):
            wanted, times = (EventFilter(), lists) if number % 2 else (filters(), filtered)
            started = time.perf_counter()
            page = await log.page(caller, wanted, cursor=None, newest=number % 4 < 2, limit=100)
            times.append((time.perf_counter() - started) * 1000)
            if page.next and number % 8 == 0:
                started = time.perf_counter()
                await log.page(caller, wanted, cursor=page.next, newest=number % 4 < 2, limit=100)
                times.append((time.perf_counter() - started) * 1000)
        return lists, filtered

    lists, filtered = asyncio.run(measure())
    at = f"{name}, {events:,} events"
    return [
        Figure(f"list 100 ({at}): p95", percentile(lists, 0.95), "ms", 20),
        Figure(f"filter 100 ({at}): p95", percentile(filtered, 0.95), "ms", 20),
    ]


def store_figures(events: int) -> list[Figure]:
    """Writing and reading, over every database that there is."""
    found: list[Figure] = []
    with databases() as every:
        for name, database in every:
            write(database, 10_000)
            rates = [write(database, 20_000) for _ in range(5)]
            rate = statistics.median(rates)
            found.append(
                Figure(
                    f"written in batches of {BATCH} ({name}), median of 5", rate, "1/s", 10_000, higher_is_better=True
                )
            )
            written = database.read_now(lambda t: t.event_head(SCOPE.customer)).sequence
            if written < events:
                write(database, events - written)
            if not database.is_sqlite:
                with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                    connection.exec_driver_sql("ANALYZE events, event_blocks")  # as its own daemon does after a while
            found += read_figures(name, database, max(written, events))
            database.close()
    return found


def tail_figures() -> list[Figure]:
    """From the answer of a request to its last event at a listener."""
    with server() as running, running.client() as client:
        deploy(client, write_agents(running.folder / "workspace", 1, 0))
        arrived: dict[str, float] = {}
        ready = threading.Event()

        def follow() -> None:
            with (
                running.client() as listener,
                listener.stream("GET", "/v1/events/tail", params={"type": "execution_completed"}) as lines,
            ):
                for line in lines.iter_lines():
                    ready.set()
                    if line.startswith("data: "):
                        arrived[json.loads(line[6:])["execution_id"]] = time.perf_counter()
                        if len(arrived) >= 60:
                            return

        follower = threading.Thread(target=follow, daemon=True)
        follower.start()
        ready.wait(10)
        answered: dict[str, float] = {}
        for _ in range(60):
            turn = client.post("/v1/messages", json={"capability": "agent-0", "content": "x"}).json()
            answered[turn["execution_id"]] = time.perf_counter()
            time.sleep(random.uniform(0, 0.1))
        follower.join(10)
        times = [max(0.0, (arrived[key] - at) * 1000) for key, at in answered.items()]
        return [
            Figure("tail behind the answer: p50", percentile(times, 0.5), "ms"),
            Figure("tail behind the answer: p99", percentile(times, 0.99), "ms", 200),
        ]


def cost_figures(rounds: int = 3, seconds: float = 6.0) -> list[Figure]:
    """Turns with and without the log, in turn, within one run."""
    rates: dict[str, list[float]] = {"with": [], "without": []}
    latencies: dict[str, list[float]] = {"with": [], "without": []}

    async def ask(client: Any, number: int) -> None:
        body = {"capability": f"agent-{number % 10}", "content": "hello"}
        (await client.post("/v1/messages", json=body)).raise_for_status()

    for _ in range(rounds):
        for kind in ("with", "without"):
            with server(before="" if kind == "with" else WITHOUT_LOG) as running, running.client() as client:
                deploy(client, write_agents(running.folder / "workspace", 10, 0))
                times = one_client(client, "/v1/messages", {"capability": "agent-1", "content": "hello"}, 150)
                latencies[kind].append(percentile(times, 0.5))
                rate, _times = asyncio.run(many_clients(32, seconds, ask, running))
                rates[kind].append(rate)
    with_log, without = statistics.median(rates["with"]), statistics.median(rates["without"])
    return [
        Figure(f"turns with the log, 32 clients, median of {rounds}", with_log, "1/s"),
        Figure(f"turns without it, median of {rounds}", without, "1/s"),
        Figure("turns lost to the log", 100 * (1 - with_log / without), "%", 10),
        Figure("one request with the log: p50", statistics.median(latencies["with"]), "ms"),
        Figure("one request without it: p50", statistics.median(latencies["without"]), "ms"),
    ]


def figures(events: int = 1_000_000) -> list[Figure]:
    """All of them."""
    return [*cost_figures(), *tail_figures(), *store_figures(events)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--only", choices=["cost", "tail", "store"])
    given = parser.parse_args()
    print_machine()
    parts = {"cost": cost_figures, "tail": tail_figures, "store": lambda: store_figures(given.events)}
    for part, measure in parts.items():
        if given.only in (None, part):
            print_figures(f"event log: {part}", measure())
