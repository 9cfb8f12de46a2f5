"""`caxton serve`, `caxton api`, `caxton worker`: the same parts, together or apart.

Nothing heavy is imported before the engine's process has been started: loading our own code takes about as long as the
engine needs to get ready.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caxton import __version__
from caxton.domain.errors import CaxtonError, Hint, InvalidSettings, StartFailed
from caxton.runtime.binding import bind
from caxton.runtime.collector import rest_the_collector, spare_the_collector
from caxton.runtime.connecting import connect_patiently, engine_version
from caxton.runtime.data_folder import DataFolder
from caxton.runtime.engine import FIRST_UI_PORT, EmbeddedEngine, find_engine, free_port
from caxton.runtime.lifetime import Lifetime
from caxton.runtime.plaintext import plaintext_problem

if TYPE_CHECKING:
    from temporalio.client import Client
    from temporalio.worker import Worker

    from caxton.adapters.sandbox.sandbox import WasmtimeSandbox
    from caxton.api.services import Services
    from caxton.api.transport.server import BoundedServer
    from caxton.domain.ports import ModelGateway
    from caxton.runtime.fast_path_process import FastPathProcess
    from caxton.runtime.parts import Parts
    from caxton.runtime.reporter import Reporter
    from caxton.runtime.settings import Settings
    from caxton.service.fast_path import Accept
    from caxton.service.server_log import ServerLog

_logger = logging.getLogger(__name__)

SWITCH_INTERVAL = 0.0005
"""Seconds after which a thread hands the interpreter's lock to one that waits for it. A message changes threads several times
(its workflow, reads), and each waits so long while the server is busy; Python's own 5 ms would be a third of its latency."""

STOP_IS_KNOWN_AFTER = 0.1
"""Seconds after which activities know that their worker stops: it tells them as soon as it has told the engine's client."""

STOP_TIMEOUT = 15.0
"""Seconds for an orderly stop; then the process ends anyway (and nothing is lost)."""

END_TIMEOUT = STOP_TIMEOUT + 5
"""Seconds after which the process ends even if one of its threads hangs, in a file system that does not answer, say."""


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
        self.running: Lifetime
        self.stop_wanted: asyncio.Event | None = None
        self.socket: socket.socket | None = None
        self.metrics_socket: socket.socket | None = None
        self.ui_socket: socket.socket | None = None
        self.log: ServerLog | None = None
        self.fast_path: FastPathProcess | None = None
        self._accepting: asyncio.Task[Any] | None = None
        self.key_ids: list[str] = []
        """Of the keys that encrypt what the engine keeps."""
        if self.embedded and not (api and worker):
            raise InvalidSettings(
                "API and worker apart need a Temporal service that both can reach",
                Hint(text="name it", command="caxton worker --temporal-address HOST:PORT"),
                Hint(text="or run everything in one process", command="caxton serve"),
            )
        if problem := plaintext_problem(settings):
            raise problem

    def prepare(self) -> None:
        """Takes the folder and the ports, and starts the engine's process. Imports nothing heavy."""
        self.reporter.starting(__version__, self.folder.path)
        if self.embedded:
            self.folder.open()
        else:
            self.folder.create()  # several APIs and workers share it
        if self.with_api:
            self.socket = bind(self.settings.host, self.settings.port, "port", "CAXTON_PORT")
        if self.settings.metrics_port:
            self.metrics_socket = bind(
                self.settings.metrics_host, self.settings.metrics_port, "metrics-port", "CAXTON_METRICS_PORT"
            )
        if self.embedded:
            settings = self.settings
            if settings.engine.ui:
                port = free_port("127.0.0.1", settings.engine.ui_port or FIRST_UI_PORT, exact=False)
                self.ui_socket = bind("127.0.0.1", port, "engine-ui-port", "CAXTON_ENGINE__UI_PORT")
            self.engine = EmbeddedEngine(
                find_engine(settings.engine.binary),
                self.folder.engine_database,
                namespace=settings.temporal.namespace,
                port=settings.engine.port,
                ui=settings.engine.ui,
                synchronous=settings.engine.synchronous,
                log_file=self.folder.path / "logs" / "engine.log",
            )
            self.engine.start()

    async def main(self) -> None:
        """Starts the rest, waits for a signal, stops."""
        loop = asyncio.get_running_loop()
        self.stop_wanted = asyncio.Event()
        self.running = Lifetime()
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
            threading.Thread(target=self._end_anyway, name="end-anyway", daemon=True).start()
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
        for taken in (self.socket, self.metrics_socket, self.ui_socket):
            if taken is not None:
                taken.close()
        if self.embedded:
            self.folder.close()

    def _end_anyway(self) -> None:
        time.sleep(END_TIMEOUT)
        _logger.warning("the server did not stop within %g s: its process ends", END_TIMEOUT)
        self.abandon()
        os._exit(0)

    def _stop_requested(self) -> None:
        assert self.stop_wanted is not None
        if self.stop_wanted.is_set():  # a second Ctrl-C: leave at once
            for task in asyncio.all_tasks():
                task.cancel()
        self.stop_wanted.set()

    async def _start(self) -> None:
        from caxton.runtime.footprint import give_back, without

        with without("grpc"):
            import temporalio.client  # pyright: ignore[reportUnusedImport]
            import temporalio.worker  # noqa: F401  # pyright: ignore[reportUnusedImport]
        from caxton.observability.metrics_export import setup_metrics_export
        from caxton.observability.tracing import setup_tracing
        from caxton.runtime.parts import accept_here, build_parts
        from caxton.runtime.schedules import keep_schedules
        from caxton.runtime.wiring import (
            build_deadline_worker,
            build_delivery,
            build_deployments,
            build_health_worker,
            build_schedule_engine,
            build_server_log,
            build_services,
            build_worker,
            build_workers,
        )
        from caxton.service.upgrade import deliver
        from caxton.service.wall_clock import WallClock

        telemetry = self.settings.telemetry
        shutdown_tracing = setup_tracing(
            telemetry.otlp_endpoint, telemetry.service_name, telemetry.sample_ratio, __version__
        )
        self.running.on_stop("tracing", _in_thread(shutdown_tracing))
        shutdown_metrics = setup_metrics_export(telemetry.otlp_endpoint, telemetry.service_name, __version__)
        self.running.on_stop("metrics export", _in_thread(shutdown_metrics))
        parts = build_parts(self.settings, self.folder)
        self.running.on_stop("parts", parts.close)
        await parts.open()
        self.log = server_log = build_server_log(parts)
        wall_clock = WallClock(parts.database, server_log, self.engine.restart if self.engine else lambda: None)
        self.running.background(wall_clock.run())
        ready_at: float | None = None

        async def tell_stop() -> None:
            if ready_at is not None:
                await server_log.stopped(time.monotonic() - ready_at)

        self.running.on_stop("log", tell_stop)  # after everything but the parts has stopped
        if parts.memories is not None:
            self.running.background(parts.memories.keep_maintained())
        client, version = await self._start_engine()
        self._tell_memory(parts)
        queue = self.settings.temporal.task_queue
        delivery = build_delivery(parts, client, queue)
        self.running.background(parts.flow.run(delivery.admit, restarted=self.embedded))
        if self.with_worker:
            worker = build_worker(parts, client, queue, delivery)
            await self._start_worker(worker, parts.sandbox)
            self.running.background(build_deadline_worker(parts, client, queue, server_log).run())
            self.running.background(build_health_worker(parts, client, queue).run())
            self.running.background(deliver(parts.database, delivery, restarted=self.embedded))
            self.running.background(build_deployments(parts, client, queue).keep_going())
            self.running.background(build_schedule_engine(parts, client, queue).keep_applied())
            from caxton.runtime.audit import build_carriers

            for carrier in build_carriers(self.settings.audit, parts.database, self.folder.path):
                self.running.background(carrier.run())
        if self.with_api:
            accept = self._build_fast_path(parts) or accept_here(parts)
            workers = None if self.with_worker else build_workers(parts, client, queue)
            services = build_services(parts, client, queue, self._facts(version), accept, delivery, workers)
            services.health.add("worker", workers.check if workers else self._check_worker)
            services.health.add("clock", wall_clock.check, optional=True)
            await self._start_api(parts, client, services, version)
        metrics_url = await self._start_metrics()
        took = time.perf_counter() - self.began
        await server_log.ready(
            role={(True, True): "server", (True, False): "api"}.get((self.with_api, self.with_worker), "worker"),
            port=self.socket.getsockname()[1] if self.socket else None,
            folder=str(self.folder.path),
            seconds=took,
            settings=self._settings_for_the_log(),
        )
        ready_at = time.monotonic()
        if self.with_worker and parts.memories is not None:
            self.running.background(keep_schedules(client, queue))
        if self.fast_path is not None:
            # Not before: it would take the time of those who wait.
            self._accepting = self.running.lasting(self.fast_path.run())
        spare_the_collector()
        give_back()
        sys.setswitchinterval(SWITCH_INTERVAL)
        self._announce(metrics_url, parts.models)

    def _tell_memory(self, parts: "Parts") -> None:
        from caxton.runtime.memory import memory_lacks

        if parts.memories is not None:
            self.reporter.step("memory", f"{parts.memories.name} · {parts.memories.embedder.id}", 0.0)
        elif self.settings.memory.enabled and (lacking := memory_lacks(self.settings.memory)):
            self.reporter.notice(f"agents have no memory here, for it is not installed: {lacking.hints[0].command}")

    async def _start_engine(self) -> tuple["Client", str]:
        started = time.perf_counter()
        if self.engine is not None:
            await self.engine.wait_until_ready()
            address = self.engine.address
            self.running.background(self.engine.supervise(self._engine_ended))
        else:
            address = self.settings.temporal.address or ""
        from caxton.runtime.encryption import build_codec

        codec = build_codec(self.settings.engine.encryption)
        self.key_ids = codec.key_ids if codec else []
        assert self.log is not None
        for lost in await self.log.keys_taken_away(self.key_ids):
            self.reporter.notice(
                f"the key {lost} is gone from engine.encryption.keys: what the engine keeps under it waits until it is back"
            )
        client = await connect_patiently(self.settings, address, codec, patient=self.embedded)
        version = await engine_version(client)
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

    def _build_fast_path(self, parts: "Parts") -> "Accept | None":
        """A process that accepts requests, where the database is a file here: other databases are for several servers."""
        if not parts.database.is_sqlite or self.settings.server.fast_path == "never":
            return None
        from caxton.runtime.fast_path_process import FastPathProcess
        from caxton.runtime.parts import step_ports

        self.fast_path = process = FastPathProcess(self.settings, step_ports(parts))

        async def stop() -> None:
            if self._accepting is not None:
                self._accepting.cancel()
            await asyncio.to_thread(process.close)

        self.running.on_stop("fast path", stop)
        return process.accept

    async def _start_worker(self, worker: "Worker", sandbox: "WasmtimeSandbox") -> None:
        started = time.perf_counter()
        self.running.lasting(worker.run())
        while not worker.is_running:
            if self.running.failed.done():
                self.running.failed.result()
            await asyncio.sleep(0.005)

        async def stop() -> None:
            stopping = asyncio.create_task(worker.shutdown())
            await asyncio.sleep(STOP_IS_KNOWN_AFTER)
            sandbox.stop()  # calls that have not begun go back to their workflows, and are made by the next worker
            await stopping

        self.running.on_stop("worker", stop)
        self.worker = worker
        detail = f"pool default · {self.settings.tools.sandboxes} sandboxes"
        self.reporter.step("worker", detail, time.perf_counter() - started)

    async def _start_api(self, parts: "Parts", client: "Client", services: "Services", version: str) -> None:
        from caxton.api.app import build_app
        from caxton.runtime.checks import add_checks
        from caxton.runtime.first_key import ensure_admin_key
        from caxton.runtime.listeners import api_server, engine_ui_server, web_access

        started = time.perf_counter()
        await ensure_admin_key(services, self.folder, self.settings.customer)
        add_checks(self.settings, parts, client, services, version)
        server = api_server(build_app(services, web_access(self.settings, self.settings.host)), self.settings)
        assert self.socket is not None
        await self._serve("API", server, self.socket)
        if self.ui_socket is not None and self.engine is not None and self.engine.ui_url is not None:
            ui, close = engine_ui_server(services, self.engine, self.settings)
            self.running.on_stop("client of the engine's UI", close)
            await self._serve("engine's UI", ui, self.ui_socket)
        self.running.background(services.health.watch())
        self.running.background(services.storage.keep_measured())
        if self.settings.audit.sinks:
            await services.audit_lag.look()
            self.running.background(services.audit_lag.run())
        self.running.background(services.tallies.run())
        self.running.background(services.queues.run())
        self.running.on_stop("counts", services.tallies.close)
        self.reporter.step("API", self._url(), time.perf_counter() - started)

    async def _serve(self, name: str, server: "BoundedServer", listener: socket.socket) -> None:
        serving = self.running.lasting(server.serve(sockets=[listener]))
        while not server.started:
            if serving.done():
                raise StartFailed(f"the {name} could not start")
            await asyncio.sleep(0.005)

        async def stop() -> None:
            server.should_exit = True
            await asyncio.wait({serving}, timeout=5)

        self.running.on_stop(name, stop)

    async def _check_worker(self) -> str:
        if not self.worker.is_running:
            raise StartFailed("the worker has stopped")
        return "pool default"

    async def _start_metrics(self) -> str | None:
        if self.metrics_socket is None:
            return None
        from caxton.runtime.listeners import metrics_server

        await self._serve("metrics", metrics_server(self.settings, self.folder), self.metrics_socket)
        return f"http://{self.settings.metrics_host}:{self.settings.metrics_port}/metrics"

    def _ui_url(self) -> str | None:
        """Where people find the engine's UI."""
        if self.ui_socket is not None:
            return f"http://127.0.0.1:{self.ui_socket.getsockname()[1]}"
        return self.settings.temporal.ui_url

    def _facts(self, version: str) -> dict[str, object]:
        temporal = self.settings.temporal
        return {
            "version": __version__,
            "engine": {
                "kind": "embedded" if self.embedded else "external",
                "version": version,
                "address": self.engine.address if self.engine else temporal.address,
                "ui_url": self._ui_url(),
                "namespace": temporal.namespace,
            },
            "store": "postgresql" if (self.settings.store.url or "").startswith("postgresql") else "sqlite",
            "data_folder": str(self.folder.path),
            "started_at": datetime.now(UTC).isoformat(),
            "model": {"default": self.settings.models.default},
        }

    def _settings_for_the_log(self) -> dict[str, Any]:
        from caxton.runtime.settings_sources import own_settings
        from caxton.service.server_log import KEY_IDS

        found = own_settings(self.settings)
        return found | {KEY_IDS: self.key_ids} if self.key_ids else found

    def _announce(self, metrics_url: str | None, models: "ModelGateway") -> None:
        from caxton.runtime.model_warnings import start_warnings

        urls: dict[str, str] = {}
        if self.with_api:
            urls["api"] = self._url()
            urls["docs"] = f"{self._url()}/docs"
        ui = self._ui_url()
        if ui:
            urls["engine"] = ui
        if metrics_url:
            urls["metrics"] = metrics_url
        if self.embedded:
            self.folder.announce(urls, __version__)
        for warning in start_warnings(self.settings, models):
            self.reporter.notice(warning)
        self.reporter.ready(time.perf_counter() - self.began, urls)

    def _url(self) -> str:
        assert self.socket is not None
        host = self.settings.host
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 - compared, not bound
        return f"http://{shown}:{self.socket.getsockname()[1]}"


def _run(server: _Server) -> None:
    from caxton.runtime.footprint import few_heaps

    few_heaps()
    rest_the_collector()
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


def _in_thread(stop: Callable[[], None]) -> Callable[[], Coroutine[Any, Any, None]]:
    async def run() -> None:
        await asyncio.to_thread(stop)

    return run
