"""API and workers as processes of their own, on a Temporal service that a test has to itself."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from caxton.runtime.engine import EmbeddedEngine, find_engine
from tests.conftest import START_TIMEOUT, RunningServer, stop_server
from tests.support.ports import free_port


@dataclass
class Apart:
    """A Temporal service, one API and some workers, on one data folder."""

    folder: Path
    engine: EmbeddedEngine
    port: int
    store: str
    """URL of the database."""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list[subprocess.Popen[bytes]])
    more: dict[str, str] = field(default_factory=dict[str, str])
    """Environment of the processes beside the usual."""

    def start(self, command: str, *flags: str) -> subprocess.Popen[bytes]:
        """Starts `caxton api` or `caxton worker`."""
        environment = {
            **os.environ,
            "CAXTON_DATA_DIR": str(self.folder / "data"),
            "CAXTON_METRICS_PORT": "0",
            "CAXTON_TEMPORAL__ADDRESS": self.engine.address,
            "CAXTON_STORE__URL": self.store,
            **self.more,
        }
        with (self.folder / f"{command}.log").open("ab") as log:
            line = [sys.executable, "-m", "caxton", command, *flags]
            process = subprocess.Popen(line, env=environment, stdout=log, stderr=log, cwd=self.folder)
        self.processes.append(process)
        return process

    def wait_until_ready(self) -> RunningServer:
        """Waits until the API answers that everything it needs works."""
        url = f"http://127.0.0.1:{self.port}"
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{url}/ready", trust_env=False).status_code == 200:
                    key = (self.folder / "data" / "admin.key").read_text().strip()
                    return RunningServer(url, key, self.folder / "data", 0)
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        raise AssertionError((self.folder / "api.log").read_text())


@contextmanager
def on_a_temporal_service(folder: Path, store: str) -> Iterator[Apart]:
    """A Temporal service and a database, given by its URL; whatever is started on them is stopped in the end."""
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
    found = Apart(folder, engine, free_port(), store)
    try:
        yield found
    finally:
        for process in found.processes:
            if process.poll() is None:
                stop_server(process)
        assert engine.process is not None
        engine.process.kill()
        engine.process.wait()
