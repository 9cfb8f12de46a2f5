"""Scripted requests with PostgreSQL, two APIs and two workers, as a cluster has them: `python -m benchmarks.postgres`.

PostgreSQL flushes each commit to disk, as in production; the Temporal service is the development server on SQLite, with the flags
that `caxton serve` gives it. All of them and the load generator share the machine. Where no PostgreSQL is installed, nothing is
measured, and that is told.
"""

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import uvloop

from benchmarks.deploy import deploy, write_agents
from benchmarks.load import Result, messages, offer
from benchmarks.peers.connection import Connection
from benchmarks.report import Figure, percentile, print_figures, print_machine
from caxton.runtime.engine import EmbeddedEngine, find_engine
from tests.support.agents import agent, replies
from tests.support.ports import free_port
from tests.support.postgres import MISSING, programs, running_postgres

RATE = 600.0
"""Scripted requests a second to answer, 300 at each API."""

P99 = 150.0

CORES_FOR_A_SECOND_WORKER = 6
"""With fewer, the second worker takes its CPU from the first, the APIs, the database and the engine."""


@dataclass
class Cluster:
    """Processes of Caxton on one database and one Temporal service."""

    folder: Path
    engine: EmbeddedEngine
    store: str
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list[subprocess.Popen[bytes]])

    def start(self, command: str, *flags: str) -> None:
        """Starts `caxton api` or `caxton worker`."""
        environment = {
            **os.environ,
            "CAXTON_DATA_DIR": str(self.folder / "data"),
            "CAXTON_METRICS_PORT": "0",
            "CAXTON_TEMPORAL__ADDRESS": self.engine.address,
            "CAXTON_STORE__URL": self.store,
        }
        with (self.folder / f"{command}-{len(self.processes)}.log").open("wb") as log:
            line = [sys.executable, "-m", "caxton", command, *flags]
            self.processes.append(subprocess.Popen(line, env=environment, stdout=log, stderr=log, cwd=self.folder))

    def api(self) -> str:
        """The URL of another API, which is ready when this returns and there is a worker."""
        port = free_port()
        self.start("api", "--port", str(port))
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 90
        while True:
            try:
                if httpx.get(f"{url}/ready", trust_env=False).status_code == 200:
                    return url
            except httpx.TransportError:
                pass
            if time.monotonic() > deadline:
                raise RuntimeError("\n".join(path.read_text()[-1000:] for path in self.folder.glob("*.log")))
            time.sleep(0.1)

    @property
    def key(self) -> str:
        """The administrator's key."""
        return (self.folder / "data" / "admin.key").read_text().strip()

    def stop(self) -> None:
        """Stops all processes."""
        for process in self.processes:
            process.send_signal(signal.SIGINT)
        for process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def cluster() -> Generator[Cluster]:
    """A database and a Temporal service, and whatever is started on them."""
    with tempfile.TemporaryDirectory() as place, running_postgres(durable=True) as postgres:
        folder = Path(place)
        engine = EmbeddedEngine(
            find_engine(None),
            folder / "temporal.db",
            namespace="default",
            port=0,
            ui=False,
            synchronous="normal",
            log_file=folder / "engine.log",
        )
        engine.start()
        found = Cluster(folder, engine, postgres.new_database())
        try:
            asyncio.run(engine.wait_until_ready())
            yield found
        finally:
            found.stop()
            if engine.process is not None:
                engine.process.kill()
                engine.process.wait()


async def offered(urls: list[str], key: str, rate: float, seconds: float) -> Result:
    """Scripted one-shot requests at that rate, an equal share to each API."""
    each = [offer(url, rate / len(urls), seconds, messages(url, key, 10), {}) for url in urls]
    found = Result(seconds=seconds)
    for result in await asyncio.gather(*each):
        found.due += result.due
        found.statuses += result.statuses
        for status, took in result.latencies.items():
            found.latencies.setdefault(status, []).extend(took)
        found.sample = found.sample or result.sample
    return found


async def closed(urls: list[str], key: str, clients: int, seconds: float, capability: str) -> float:
    """Requests a second of so many clients, each with one after the other."""
    done, began = 0, time.monotonic()

    async def client(number: int) -> None:
        nonlocal done
        connection = Connection(urls[number % len(urls)], key)
        while time.monotonic() < began + seconds:
            await connection.post("/v1/messages", {"capability": capability, "content": "go on"})
            done += 1
        connection.close()

    await asyncio.gather(*(client(number) for number in range(clients)))
    return done / (time.monotonic() - began)


def analyze(store: str) -> None:
    """Gathers the statistics of tables by which queries are planned, as the database does by itself once a minute."""
    import psycopg

    with psycopg.connect(store.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("ANALYZE")


def figures(seconds: float = 15.0, clients: int = 100) -> list[Figure]:
    """At a fixed rate, as many as can be, and what a second worker adds. None where no PostgreSQL is installed."""
    if programs() is None:
        print(f"not measured: {MISSING}")
        return []
    with cluster() as running:
        running.start("worker")
        urls = [running.api(), running.api()]
        key = running.key
        workspace = write_agents(running.folder / "workspace", 10, 0)
        for path, text in agent("slow", rules=replies("{{ request }}", delay=0.1)).items():
            (workspace / path).write_text(str(text))
        with httpx.Client(
            base_url=urls[0], headers={"Authorization": f"Bearer {key}"}, timeout=120, trust_env=False
        ) as client:
            deploy(client, workspace)
        uvloop.run(offered(urls, key, 100, 4.0))
        uvloop.run(closed(urls, key, 10, 2.0, "slow"))
        one = uvloop.run(closed(urls, key, clients, seconds, "slow"))
        running.start("worker")
        time.sleep(5)
        uvloop.run(closed(urls, key, 10, 2.0, "slow"))
        two = uvloop.run(closed(urls, key, clients, seconds, "slow"))
        analyze(running.store)
        most = uvloop.run(closed(urls, key, clients, seconds, "agent-1"))
        fixed = uvloop.run(offered(urls, key, RATE, seconds))
    if fixed.sample:
        print(f"{dict(fixed.statuses)}, such as {fixed.sample[:300]!r}")
    done = fixed.latencies.get(200, [float("nan")])
    cores = os.cpu_count() or 1
    if cores < CORES_FOR_A_SECOND_WORKER:
        print(f"a second worker has no target on {cores} cores: it takes its CPU from what is measured")
    share = 1.5 if cores >= CORES_FOR_A_SECOND_WORKER else None
    name = "PostgreSQL, two APIs, two workers"
    return [
        Figure(f"{name}: scripted requests, {clients} clients", most, "1/s", RATE, higher_is_better=True),
        Figure(f"{name}: {RATE:g} a second, p50", percentile(done, 0.5), "ms"),
        Figure(f"{name}: {RATE:g} a second, p99", percentile(done, 0.99), "ms", P99),
        Figure(f"{name}: {RATE:g} a second, not answered", fixed.due - len(fixed.latencies.get(200, [])), "", 0),
        Figure("PostgreSQL, one worker: requests that wait 0.1 s", one, "1/s"),
        Figure("PostgreSQL, two workers: requests that wait 0.1 s", two, "1/s"),
        Figure("PostgreSQL: two workers by one", two / max(one, 1e-9), "times", share, higher_is_better=True),
    ]


def main() -> None:
    """Runs it from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=15.0, help="of each measurement")
    parser.add_argument("--clients", type=int, default=100)
    given = parser.parse_args()
    print_machine()
    print_figures("PostgreSQL", figures(given.seconds, given.clients))


if __name__ == "__main__":
    main()
