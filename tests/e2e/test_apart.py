"""API and worker as processes of their own, against a Temporal service: the same parts, and the same promises."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from caxton.adapters.store.database import sqlite_url
from caxton.runtime.engine import EmbeddedEngine, find_engine
from tests.conftest import RunningServer, stop_server
from tests.e2e.test_durability import (
    AGENTS,
    Bookings,
    Clients,
    bookings,
    check_answers,
    check_retries,
    http_client_tool,
)
from tests.support.agents import agent, replies
from tests.support.deploying import deploy_files
from tests.support.ports import free_port

__all__ = ["bookings"]


@dataclass
class Apart:
    """A Temporal service, one API and some workers, on one data folder."""

    folder: Path
    engine: EmbeddedEngine
    port: int
    store: str
    """URL of the database."""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, command: str, *flags: str) -> subprocess.Popen[bytes]:
        """Starts `caxton api` or `caxton worker`."""
        environment = {
            **os.environ,
            "CAXTON_DATA_DIR": str(self.folder / "data"),
            "CAXTON_METRICS_PORT": "0",
            "CAXTON_TEMPORAL__ADDRESS": self.engine.address,
            "CAXTON_STORE__URL": self.store,
        }
        with (self.folder / f"{command}.log").open("ab") as log:
            line = [sys.executable, "-m", "caxton", command, *flags]
            process = subprocess.Popen(line, env=environment, stdout=log, stderr=log, cwd=self.folder)
        self.processes.append(process)
        return process

    def wait_until_ready(self) -> RunningServer:
        """Waits until the API answers that everything it needs works."""
        url = f"http://127.0.0.1:{self.port}"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{url}/ready", trust_env=False).status_code == 200:
                    key = (self.folder / "data" / "admin.key").read_text().strip()
                    return RunningServer(url, key, self.folder / "data", 0)
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        raise AssertionError((self.folder / "api.log").read_text())


@pytest.fixture(params=["sqlite", "postgresql"])
def apart(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Apart]:
    """The Temporal service and a database; tests start what they need."""
    on_sqlite = request.param == "sqlite"
    store = sqlite_url(tmp_path / "caxton.db") if on_sqlite else request.getfixturevalue("postgres").new_database()
    engine = EmbeddedEngine(
        find_engine(None),
        tmp_path / "temporal.db",
        namespace="default",
        port=0,
        ui_port=0,
        synchronous="normal",
        log_file=tmp_path / "engine.log",
    )
    engine.start()
    found = Apart(tmp_path, engine, free_port(), store)
    try:
        yield found
    finally:
        for process in found.processes:
            if process.poll() is None:
                stop_server(process)
        assert engine.process is not None
        engine.process.kill()
        engine.process.wait()


@pytest.mark.requirement("MSG-8")
@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_every_request_has_one_answer_although_workers_are_killed(apart: Apart, bookings: Bookings) -> None:
    await apart.engine.wait_until_ready()
    apart.start("api", "--port", str(apart.port))
    worker = apart.start("worker")
    apart.start("worker")
    server = await asyncio.to_thread(apart.wait_until_ready)
    with server.client() as client:
        deploy_files(client, apart.folder / "workspace", {**AGENTS, **http_client_tool(bookings.url)})
    clients = Clients(bookings)
    clients.url, clients.key = server.url, server.api_key
    asking = asyncio.create_task(clients.run())
    for wanted in (10, 80):
        while len(clients.answers) < wanted and not asking.done():
            await asyncio.sleep(0.005)
        worker.kill()
        worker.wait()
        worker = apart.start("worker")
    await asking
    check_answers(clients, apart.store, bookings)
    await check_retries(clients, server.data_dir)


@pytest.mark.requirement("SRV-3")
def test_a_wrong_temporal_address_is_told_with_what_to_do(tmp_path: Path) -> None:
    environment = {**os.environ, "CAXTON_DATA_DIR": str(tmp_path / "data"), "CAXTON_METRICS_PORT": "0"}
    command = [sys.executable, "-m", "caxton", "worker", "--temporal-address", f"127.0.0.1:{free_port()}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 5
    assert "no Temporal service answers at 127.0.0.1:" in done.stderr
    assert "--temporal-address" in done.stderr


@pytest.mark.requirement("MSG-8")
@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.parametrize("apart", ["sqlite"], indirect=True)
@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_a_step_outlives_more_workers_than_it_has_attempts(apart: Apart, how: str) -> None:
    """A tool call has two attempts, but a worker that goes away is not the tool's failure."""
    await apart.engine.wait_until_ready()
    apart.start("api", "--port", str(apart.port))
    worker = apart.start("worker")
    server = await asyncio.to_thread(apart.wait_until_ready)
    with server.client() as client:
        files = agent("slow", rules=replies("{{ request }}", delay=4))
        deploy_files(client, apart.folder / "workspace", files)
        sent = client.post("/v1/messages", json={"capability": "slow", "content": "x"}, params={"wait": "false"}).json()
        for _ in range(6):  # a model call has five attempts
            await asyncio.sleep(1.0)
            if how == "kill":
                worker.kill()
                worker.wait()
            else:
                await asyncio.to_thread(stop_server, worker)
            worker = apart.start("worker")
            if how == "kill":
                await asyncio.sleep(1.5)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            turn = client.get(f"/v1/executions/{sent['execution_id']}").json()
            if turn["state"] != "running":
                break
            await asyncio.sleep(0.2)
    assert turn["state"] == "completed", turn
