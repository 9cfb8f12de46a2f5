"""One real server for the whole test run, shared by all pytest workers; each test has a workspace of its own."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, settings

from tests.support import stand_in as provider
from tests.support.ports import free_port
from tests.support.postgres import Postgres, running_postgres
from tests.support.stores import new_sqlite_store

# How long an example takes says how busy the machine is.
settings.register_profile("caxton", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("caxton")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A run in the background of a shell ignores Ctrl-C, and so would all commands that the tests start and interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)


START_TIMEOUT = 150
"""Seconds that a server may take to start: on a quiet machine two, on one where ten processes want each core most of a minute."""

MANY_SCHEDULES = {"CAXTON_LIMITS__SCHEDULED_PER_SECOND": "1000"}
"""All tests are one customer, and leave schedules behind."""

HOOK_SECRETS = {
    "HOOK_GITHUB": "it is a secret to everybody",
    "HOOK_STRIPE": "whsec_of-a-test-endpoint",
    "HOOK_STANDARD": "whsec_" + "c2VjcmV0cyBvZiB0ZXN0cyBhcmUgbm8gc2VjcmV0cw==",
}
"""What the shared server's triggers may be signed with."""


@dataclass(frozen=True)
class RunningServer:
    """A `caxton serve` process."""

    url: str
    api_key: str
    data_dir: Path
    pid: int
    metrics_url: str | None = None

    def client(self, workspace: str = "default", *, key: str | None = None) -> httpx.Client:
        """An HTTP client that acts in `workspace`."""
        headers = {"Authorization": f"Bearer {key or self.api_key}", "X-Caxton-Workspace": workspace}
        hooks = {"request": [_say_what_is_sent]}
        return httpx.Client(
            base_url=self.url, headers=headers, timeout=60, trust_env=False, event_hooks=hooks, verify=False
        )  # to read certificates that it does not need takes longer than most requests


def _say_what_is_sent(request: httpx.Request) -> None:
    """Bodies given as bytes get the content type of their route, as Caxton's own client does it."""
    if request.headers.get("Content-Length", "0") != "0":
        blob = request.url.path.startswith("/v1/blobs/")
        request.headers.setdefault("Content-Type", "application/octet-stream" if blob else "application/x-ndjson")


def _channel(port: int) -> dict[str, str]:
    """Environment of a server whose channel "ci" is the stand-in."""
    channel = {"url": f"http://127.0.0.1:{port}/hook", "secret": "env:HOOK_STANDARD"}
    return {"CAXTON_CHANNELS": json.dumps({"ci": channel})}


def start_server(
    data_dir: Path, *flags: str, env: dict[str, str] | None = None, program: str = sys.executable
) -> tuple[subprocess.Popen[bytes], RunningServer]:
    """Starts `caxton serve` on free ports and waits until it is ready.

    A new data folder has a database already, so that no server makes one anew: the tests of `caxton serve` itself see to that.
    `program` runs Python with the arguments that it gets.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    if not (data_dir / "caxton.db").exists() and "CAXTON_STORE__URL" not in (env or {}):
        new_sqlite_store(data_dir / "caxton.db")
    command = [
        program,
        "-m",
        "caxton",
        "serve",
        "--data-dir",
        str(data_dir),
        "--port",
        "0",
        "--metrics-port",
        "0",
    ]
    environment = {**os.environ, "CAXTON_ENGINE__UI_PORT": "0", **(env or {})}
    (data_dir / "server.json").unlink(missing_ok=True)
    with (data_dir / "serve.log").open("ab") as log:
        process = subprocess.Popen([*command, *flags], stdout=log, stderr=log, env=environment, cwd=data_dir)
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"caxton serve ended: {(data_dir / 'serve.log').read_text()[-2000:]}")
        if (data_dir / "server.json").exists():
            return process, running_server(data_dir)
        time.sleep(0.05)
    process.kill()
    process.wait()
    raise RuntimeError(
        f"caxton serve was not ready within {START_TIMEOUT} s: {(data_dir / 'serve.log').read_text()[-2000:]}"
    )


def running_server(data_dir: Path) -> RunningServer:
    """The server that runs on `data_dir`."""
    facts = json.loads((data_dir / "server.json").read_text())
    key = (data_dir / "admin.key").read_text().strip()
    return RunningServer(facts["url"], key, data_dir, facts["pid"], facts.get("metrics_url"))


def stop_server(process: subprocess.Popen[bytes]) -> int:
    """Stops a server as Ctrl-C does, and returns its exit code."""
    process.send_signal(signal.SIGINT)
    try:
        return process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _shared_root(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    root = tmp_path_factory.getbasetemp()
    return root if worker_id == "master" else root.parent


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder of compiled modules for all sandboxes of all pytest workers: to compile one takes a second."""
    return _shared_root(tmp_path_factory, worker_id) / "compiled"


@pytest.fixture(scope="session")
def caxton_server(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[RunningServer]:
    """The server that all tests share, and a model service for it. The first pytest worker starts it, the last one stops it."""
    root = _shared_root(tmp_path_factory, worker_id)
    data_dir, users = root / "shared-server", root / "shared-server.users"
    process: subprocess.Popen[bytes] | None = None
    service: subprocess.Popen[bytes] | None = None
    with _locked(root / "shared-server.lock"):
        count = int(users.read_text()) if users.exists() else 0
        if count == 0:
            port = free_port()
            service = subprocess.Popen([sys.executable, provider.__file__, str(port)])
            (root / "stand-in.url").write_text(f"http://127.0.0.1:{port}")
            process, server = start_server(
                data_dir, env={**provider.as_provider(port), **HOOK_SECRETS, **MANY_SCHEDULES, **_channel(port)}
            )
        else:
            server = running_server(data_dir)
        users.write_text(str(count + 1))
    yield server
    with _locked(root / "shared-server.lock"):
        left = int(users.read_text()) - 1
        users.write_text(str(left))
    # Whoever started it waits for the others: a server must not go away under them.
    if process is not None:
        deadline = time.monotonic() + 600
        while left > 0 and time.monotonic() < deadline:
            time.sleep(0.1)
            with _locked(root / "shared-server.lock"):  # without it, the file may be about to be written
                left = int(users.read_text())
        stop_server(process)
    if service is not None:
        service.terminate()
        service.wait(30)


@pytest.fixture
def stand_in(
    caxton_server: RunningServer, tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> Iterator[provider.Remote]:
    """The model service of the shared server, with a model of the test's own: agents name it as `stand_in.model`."""
    url = (_shared_root(tmp_path_factory, worker_id) / "stand-in.url").read_text()
    with httpx.Client(base_url=url, trust_env=False, timeout=30, verify=False) as client:
        yield provider.Remote(client)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server; tests that want it skip where none is installed."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def workspace() -> str:
    """A workspace that no other test uses."""
    return f"w-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def api(caxton_server: RunningServer, workspace: str) -> Iterator[httpx.Client]:
    """A client of the shared server, in a workspace of its own."""
    with caxton_server.client(workspace) as client:
        yield client


class _locked:  # noqa: N801
    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        self.file = self.path.open("w")
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        self.file.close()
