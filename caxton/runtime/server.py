"""`caxton serve`, `caxton api`, `caxton worker`: the same parts, together or apart.

Nothing heavy is imported before the engine's process has been started: loading our own code takes about as long as the
engine needs to get ready.
"""

import asyncio
import contextlib
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caxton import __version__
from caxton.domain.errors import CaxtonError, Hint, InvalidSettings, PortInUse, StartFailed
from caxton.runtime.collector import spare_the_collector
from caxton.runtime.data_folder import DataFolder, write_private
from caxton.runtime.engine import EmbeddedEngine, find_engine

if TYPE_CHECKING:
    from temporalio.client import Client
    from temporalio.worker import Worker

    from caxton.adapters.sandbox.sandbox import WasmtimeSandbox
    from caxton.api.services import Services
    from caxton.runtime.opener_process import OpenerProcess
    from caxton.runtime.reporter import Reporter
    from caxton.runtime.settings import Settings
    from caxton.runtime.wiring import Parts
    from caxton.service.server_log import ServerLog

SWITCH_INTERVAL = 0.0005
"""Seconds after which a thread hands the interpreter's lock to one that waits for it. A message changes threads several times
(its workflow, reads), and each waits so long while the server is busy; Python's own 5 ms would be a third of its latency."""

STOP_IS_KNOWN_AFTER = 0.1
"""Seconds after which activities know that their worker stops: it tells them as soon as it has told the engine's client."""

STOP_TIMEOUT = 15.0
"""Seconds for an orderly stop; then the process ends anyway (and nothing is lost)."""


@dataclass
class _Running:
    """What runs in this process, to be stopped in reverse order."""

    stops: list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]] = field(
        default_factory=list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]]
    )
    tasks: set[asyncio.Task[Any]] = field(default_factory=set[asyncio.Task[Any]])
    kept: set[asyncio.Task[Any]] = field(default_factory=set[asyncio.Task[Any]])
    """All tasks, for the event loop does not keep them."""
    failed: asyncio.Future[None] | None = None

    def background(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Runs `work` until the server begins to stop; its failure stops the server."""
        task = self.lasting(work)
        self.tasks.add(task)
        return task

    def lasting(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Runs `work`, which one of the stops ends: what is in hand when the server stops needs it."""
        task = asyncio.create_task(work)
        self.kept.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        self.kept.discard(task)
        if task.cancelled() or task.exception() is None or self.failed is None or self.failed.done():
            return
        self.failed.set_exception(task.exception() or RuntimeError())

    async def stop(self) -> None:
        """Stops everything, last started first."""
        for task in self.tasks:
            task.cancel()
        for _, stop in reversed(self.stops):
            with contextlib.suppress(Exception):
                await stop()


def run_serve(settings: "Settings", reporter: "Reporter") -> None:
    """Runs engine, worker and API in one process until it is told to stop.

    Raises:
        CaxtonError: it could not start; a subclass says why.
    """
    _run(_Server(settings, reporter, api=True, worker=True))


def run_api(settings: "Settings", reporter: "Reporter") -> None:
    """Runs the API alone, against a Temporal service.

    Raises:
        CaxtonError: it could not start.
    """
    _run(_Server(settings, reporter, api=True, worker=False))


def run_worker(settings: "Settings", reporter: "Reporter") -> None:
    """Runs a worker alone, against a Temporal service.

    Raises:
        CaxtonError: it could not start.
    """
    _run(_Server(settings, reporter, api=False, worker=True))


class _Server:
    def __init__(self, settings: "Settings", reporter: "Reporter", *, api: bool, worker: bool) -> None:
        self.settings = settings
        self.reporter = reporter
        self.with_api = api
        self.with_worker = worker
        self.folder = DataFolder(Path(settings.data_dir))
        self.embedded = settings.temporal.address is None
        self.engine: EmbeddedEngine | None = None
        self.began = time.perf_counter()
        self.running = _Running()
        self.stop_wanted: asyncio.Event | None = None
        self.socket: socket.socket | None = None
        self.log: ServerLog | None = None
        self.opener: OpenerProcess | None = None
        self._opening: asyncio.Task[Any] | None = None
        if self.embedded and not (api and worker):
            raise InvalidSettings(
                "API and worker apart need a Temporal service that both can reach",
                Hint(text="name it", command="caxton worker --temporal-address HOST:PORT"),
                Hint(text="or run everything in one process", command="caxton serve"),
            )

    def prepare(self) -> None:
        """Takes the folder and the ports, and starts the engine's process. Imports nothing heavy."""
        self.reporter.starting(__version__, self.folder.path)
        if self.embedded:
            self.folder.open()
        else:
            self.folder.create()  # several APIs and workers share it
        if self.with_api:
            self.socket = _bind(self.settings.host, self.settings.port, "port", "CAXTON_PORT")
        if self.settings.metrics_port:
            # Taken again in a moment: who has it is told before anything has started.
            _bind(self.settings.metrics_host, self.settings.metrics_port, "metrics-port", "CAXTON_METRICS_PORT").close()
        if self.embedded:
            settings = self.settings
            self.engine = EmbeddedEngine(
                find_engine(settings.engine.binary),
                self.folder.engine_database,
                namespace=settings.temporal.namespace,
                port=settings.engine.port,
                ui_port=settings.engine.ui_port,
                synchronous=settings.engine.synchronous,
                log_file=self.folder.path / "logs" / "engine.log",
            )
            self.engine.start()

    async def main(self) -> None:
        """Starts the rest, waits for a signal, stops."""
        loop = asyncio.get_running_loop()
        self.stop_wanted = asyncio.Event()
        self.running.failed = loop.create_future()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop_requested)
        try:
            try:
                await self._start()
            except CaxtonError as error:
                if self.log is not None:
                    with contextlib.suppress(CaxtonError):
                        await self.log.start_failed(error)
                raise
            waits = {asyncio.ensure_future(self.stop_wanted.wait()), self.running.failed}
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if self.running.failed in done:
                self.running.failed.result()
            self.reporter.stopping()
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_TIMEOUT):
                    await self.running.stop()
            if self.engine is not None:
                await self.engine.stop()
        self.reporter.stopped()

    def abandon(self) -> None:
        """Gives up what :meth:`prepare` took."""
        if self.engine is not None and self.engine.process is not None and self.engine.process.poll() is None:
            self.engine.process.kill()
            self.engine.process.wait()
        if self.socket is not None:
            self.socket.close()
        if self.embedded:
            self.folder.close()

    def _stop_requested(self) -> None:
        assert self.stop_wanted is not None
        if self.stop_wanted.is_set():  # a second Ctrl-C: leave at once
            for task in asyncio.all_tasks():
                task.cancel()
        self.stop_wanted.set()

    async def _start(self) -> None:
        from caxton.observability.metrics_export import setup_metrics_export
        from caxton.observability.tracing import setup_tracing
        from caxton.runtime.schedules import keep_schedules
        from caxton.runtime.temporal import connect
        from caxton.runtime.wiring import build_parts, build_server_log, build_services, build_watch, build_worker

        telemetry = self.settings.telemetry
        shutdown_tracing = setup_tracing(
            telemetry.otlp_endpoint, telemetry.service_name, telemetry.sample_ratio, __version__
        )
        self.running.stops.append(("tracing", _in_thread(shutdown_tracing)))
        shutdown_metrics = setup_metrics_export(telemetry.otlp_endpoint, telemetry.service_name, __version__)
        self.running.stops.append(("metrics export", _in_thread(shutdown_metrics)))
        parts = build_parts(self.settings, self.folder)
        self.running.stops.append(("parts", parts.close))
        self.log = server_log = build_server_log(parts)
        if parts.memories is not None:
            self.running.background(parts.memories.keep_maintained())
        client, version = await self._start_engine(connect)
        queue = self.settings.temporal.task_queue
        if self.with_worker:
            opener = self._build_opener(parts)
            worker = build_worker(parts, client, queue, opener.open_turns if opener else None)
            await self._start_worker(worker, parts.sandbox)
            self.running.background(build_watch(parts, client, queue, server_log).run())
        if self.with_api:
            services = build_services(parts, client, queue, self._facts(version), self.opener)
            await self._start_api(parts, client, services, version)
        metrics_url = self._start_metrics()
        took = time.perf_counter() - self.began
        await server_log.ready(
            role={(True, True): "server", (True, False): "api"}.get((self.with_api, self.with_worker), "worker"),
            port=self.socket.getsockname()[1] if self.socket else None,
            folder=str(self.folder.path),
            seconds=took,
            settings=_own_settings(self.settings),
        )
        ready = time.monotonic()

        async def tell_stop() -> None:
            await server_log.stopped(time.monotonic() - ready)

        if self.with_worker and parts.memories is not None:
            self.running.background(keep_schedules(client, queue))
        self.running.stops.insert(3, ("log", tell_stop))  # after everything but the parts has stopped
        if self.opener is not None:
            # Not before: it would take the time of those who wait.
            self._opening = self.running.lasting(self.opener.run())
        spare_the_collector()
        sys.setswitchinterval(SWITCH_INTERVAL)
        self._announce(metrics_url)

    async def _start_engine(self, connect: Any) -> tuple["Client", str]:
        started = time.perf_counter()
        if self.engine is not None:
            await self.engine.wait_until_ready()
            address = self.engine.address
            self.running.background(self.engine.supervise(self._engine_ended))
        else:
            address = self.settings.temporal.address or ""
        client = await _connect_patiently(connect, self.settings, address, patient=self.embedded)
        version = await _engine_version(client)
        if not self.embedded:
            from caxton.runtime.search_attributes import register_search_attributes

            await register_search_attributes(client)
        detail = f"temporal {version} ({'embedded' if self.embedded else address})"
        self.reporter.step("workflow engine", detail, time.perf_counter() - (self.began if self.embedded else started))
        return client, version

    def _engine_ended(self, code: int) -> None:
        from caxton.observability.metrics import METRICS

        METRICS.engine_restarts()
        self.reporter.notice(f"the workflow engine ended (exit code {code}) and is started again; no work is lost")

    def _build_opener(self, parts: "Parts") -> "OpenerProcess | None":
        """A process that opens turns, where the database is a file here: other databases are for pools of workers."""
        if not parts.database.is_sqlite:
            return None
        from caxton.runtime.opener_process import OpenerProcess
        from caxton.runtime.wiring import step_ports

        self.opener = opener = OpenerProcess(self.settings, step_ports(parts))

        async def stop() -> None:
            if self._opening is not None:
                self._opening.cancel()
            await asyncio.to_thread(opener.close)

        self.running.stops.append(("opener", stop))
        return opener

    async def _start_worker(self, worker: "Worker", sandbox: "WasmtimeSandbox") -> None:
        started = time.perf_counter()
        self.running.lasting(worker.run())
        while not worker.is_running:
            if self.running.failed is not None and self.running.failed.done():
                self.running.failed.result()
            await asyncio.sleep(0.005)

        async def stop() -> None:
            stopping = asyncio.create_task(worker.shutdown())
            await asyncio.sleep(STOP_IS_KNOWN_AFTER)
            sandbox.stop()  # calls that have not begun go back to their workflows, and are made by the next worker
            await stopping

        self.running.stops.append(("worker", stop))
        self.worker = worker
        detail = f"pool default · {self.settings.tools.sandboxes} sandboxes"
        self.reporter.step("worker", detail, time.perf_counter() - started)

    async def _start_api(self, parts: "Parts", client: "Client", services: "Services", version: str) -> None:
        import uvicorn

        from caxton.api.app import build_app

        started = time.perf_counter()
        await _ensure_admin_key(services, self.folder, self.settings.customer)
        self._add_checks(parts, client, services, version)
        config = uvicorn.Config(
            build_app(services),
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_keep_alive=75,
            timeout_graceful_shutdown=3,
            server_header=False,
        )
        server = _api_server(config)
        assert self.socket is not None
        serving = self.running.lasting(server.serve(sockets=[self.socket]))
        while not server.started:
            if serving.done():
                raise StartFailed("the API could not start")
            await asyncio.sleep(0.005)

        async def stop() -> None:
            server.should_exit = True
            await asyncio.wait({serving}, timeout=5)

        self.running.stops.append(("API", stop))
        self.running.background(services.health.watch())
        self.reporter.step("API", self._url(), time.perf_counter() - started)

    def _add_checks(self, parts: "Parts", client: "Client", services: "Services", version: str) -> None:
        from caxton.observability.metrics import METRICS

        async def engine() -> str:
            if not await client.service_client.check_health():
                raise StartFailed("the engine says that it is not healthy")
            return f"temporal {version}"

        async def store() -> str:
            await asyncio.to_thread(parts.database.ping)
            METRICS.component_counts(await parts.database.read(lambda transaction: transaction.count_components()))
            return "sqlite" if parts.database.is_sqlite else "postgresql"

        async def worker() -> str:
            if not self.worker.is_running:
                raise StartFailed("the worker has stopped")
            return "pool default"

        async def disk() -> str:
            return parts.room.check()

        services.health.add("engine", engine)
        services.health.add("disk", disk)
        services.health.add("store", store)
        if self.with_worker:
            services.health.add("worker", worker)
        if parts.memories is not None:  # without it turns go on, and say so
            services.health.add("memory", parts.memories.check, optional=True)

    def _start_metrics(self) -> str | None:
        if not self.settings.metrics_port:
            return None
        from caxton.observability.metrics_server import serve_metrics

        server = serve_metrics(self.settings.metrics_host, self.settings.metrics_port)
        self.running.stops.append(("metrics", _in_thread(server.close)))
        return f"http://{self.settings.metrics_host}:{self.settings.metrics_port}/metrics"

    def _facts(self, version: str) -> dict[str, object]:
        temporal = self.settings.temporal
        return {
            "version": __version__,
            "engine": {
                "kind": "embedded" if self.embedded else "external",
                "version": version,
                "address": self.engine.address if self.engine else temporal.address,
                "ui_url": self.engine.ui_url if self.engine else temporal.ui_url,
                "namespace": temporal.namespace,
            },
            "store": "postgresql" if (self.settings.store.url or "").startswith("postgresql") else "sqlite",
            "data_folder": str(self.folder.path),
            "started_at": datetime.now(UTC).isoformat(),
            "model": {"default": self.settings.models.default},
        }

    def _announce(self, metrics_url: str | None) -> None:
        urls: dict[str, str] = {}
        if self.with_api:
            urls["api"] = self._url()
            urls["docs"] = f"{self._url()}/docs"
        ui = self.engine.ui_url if self.engine else self.settings.temporal.ui_url
        if ui:
            urls["conversations"] = ui
        if metrics_url:
            urls["metrics"] = metrics_url
        if self.embedded:
            self.folder.announce(_announcement(urls))
        self.reporter.ready(time.perf_counter() - self.began, urls)

    def _url(self) -> str:
        assert self.socket is not None
        host = self.settings.host
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 - compared, not bound
        return f"http://{shown}:{self.socket.getsockname()[1]}"


def _own_settings(settings: "Settings") -> dict[str, Any]:
    """Settings that are not the default, secrets masked: what an audit wants to know of a server's start."""
    from caxton.runtime.settings import Settings as Defaults
    from caxton.runtime.settings_sources import flatten, mask

    default = flatten(Defaults().model_dump(mode="json"))
    found = flatten(settings.model_dump(mode="json"))
    named = {".".join(path): value for path, value in found.items() if default.get(path) != value}
    return {name: mask(name, value) for name, value in named.items()}


def _announcement(urls: Mapping[str, str]) -> dict[str, str | None]:
    return {
        "url": urls.get("api"),
        "ui_url": urls.get("conversations"),
        "metrics_url": urls.get("metrics"),
        "version": __version__,
        "started_at": datetime.now(UTC).isoformat(),
    }


def _run(server: _Server) -> None:
    try:
        server.prepare()
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(server.main())
    except asyncio.CancelledError:
        return
    except CaxtonError as error:
        server.reporter.failed("server", error)
        raise
    finally:
        server.abandon()


def _bind(host: str, port: int, setting: str, variable: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise PortInUse(
            f"{host}:{port} cannot be listened on: {error.strerror}",
            Hint(text="choose another port", command=f"caxton serve --{setting} {port + 1}"),
            Hint(text=f"or set {variable}"),
            details={"host": host, "port": port},
        ) from error
    return listener


async def _connect_patiently(connect: Any, settings: "Settings", address: str, *, patient: bool) -> "Client":
    deadline = time.monotonic() + (20 if patient else 5)
    while True:
        try:
            return await connect(settings.temporal, address)
        except CaxtonError as error:
            if not error.retryable or time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)


async def _engine_version(client: "Client") -> str:
    from temporalio.api.workflowservice.v1 import GetSystemInfoRequest

    info = await client.workflow_service.get_system_info(GetSystemInfoRequest())
    return info.server_version


async def _ensure_admin_key(services: "Services", folder: DataFolder, customer: str) -> None:
    """Makes the first key. Its file is written before its hash, so that a crash between leaves no key that nobody has."""
    from caxton.service.context import Role
    from caxton.service.keys import hash_key, new_key

    path = folder.admin_key
    text = path.read_text().strip() if path.exists() else ""
    if not text:
        text = new_key()
        write_private(path, text + "\n")
    known = await services.keys.records.read(lambda transaction: transaction.find_key(hash_key(text)))
    if known is None:
        await services.keys.create_for(customer, "admin", Role.ADMIN, text)


def _in_thread(stop: Callable[[], None]) -> Callable[[], Coroutine[Any, Any, None]]:
    async def run() -> None:
        await asyncio.to_thread(stop)

    return run


def _api_server(config: Any) -> Any:
    import uvicorn

    class ApiServer(uvicorn.Server):
        """Leaves signals to us: uvicorn would raise them again after its own stop."""

        @contextlib.contextmanager
        def capture_signals(self) -> Any:
            yield

    return ApiServer(config)
