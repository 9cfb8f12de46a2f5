"""A server on a fresh data folder, measured from outside."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

ROLES = {
    "start-dev": "engine",
    "caxton.runtime.fast_path_worker": "fast-path worker",
    "caxton.adapters.store.writer": "store writer",
}
"""What a process is for, by what its command line holds."""


@dataclass(frozen=True)
class Server:
    """A running server."""

    url: str
    key: str
    folder: Path
    pid: int
    """The server's process; its engine is a child of that."""
    ready_after: float
    """Seconds from the start of the process until it said that it is ready."""
    acknowledged_after: float
    """Seconds until its first line."""

    def client(self) -> httpx.Client:
        """An HTTP client with the admin's key."""
        return httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {self.key}"}, timeout=120, trust_env=False
        )

    def processes(self) -> dict[str, psutil.Process]:
        """All its processes, by what they do."""
        return processes_of(self.pid)


def processes_of(pid: int) -> dict[str, psutil.Process]:
    """The processes of the server `pid`, by what they do. Some of them start a moment after it is ready."""
    main = psutil.Process(pid)
    found = {"server": main}
    for process in main.children(recursive=True):
        try:
            line = " ".join(process.cmdline())
        except psutil.NoSuchProcess:  # a helper that has ended meanwhile
            continue
        role = next((role for sign, role in ROLES.items() if sign in line), "other")
        name, number = role, 2
        while name in found:
            name, number = f"{role} {number}", number + 1
        found[name] = process
    return found


@contextmanager
def server(*, before: str = "", **environment: str) -> Iterator[Server]:
    """Starts `caxton serve`, and stops it at the end. `before` is Python that its process runs first."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        env |= {"CAXTON_ENGINE__UI_PORT": "0", **environment}
        program = ["-c", f"{before}\nfrom caxton.__main__ import main\nmain()"] if before else ["-m", "caxton"]
        command = [
            sys.executable,
            *program,
            "serve",
            "--data-dir",
            str(data),
            "--port",
            "0",
            "--metrics-port",
            "0",
        ]
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env, cwd=folder)
        assert process.stdout is not None
        acknowledged: float | None = None
        try:
            for line in process.stdout:
                acknowledged = acknowledged or time.perf_counter() - started
                if line.startswith(b"Ready"):
                    break
            ready = time.perf_counter() - started
            facts = json.loads((data / "server.json").read_text())
            key = (data / "admin.key").read_text().strip()
            yield Server(facts["url"], key, Path(folder), process.pid, ready, acknowledged or ready)
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
