"""What accepting requests needs, for a process that does nothing else.

It loads no engine, no web framework and no memory: a server at rest would carry them twice.
"""

from collections.abc import Callable
from pathlib import Path

from caxton.adapters import templates
from caxton.adapters.blobs import FileBlobs
from caxton.adapters.models import Models
from caxton.adapters.sandbox.sandbox import WasmtimeSandbox
from caxton.adapters.secrets import SECRETS
from caxton.adapters.store.database import Database, InlineReads, sqlite_url
from caxton.adapters.streams import LocalStream
from caxton.domain.errors import InvalidSettings, SecretMissing
from caxton.domain.flow import FlowRules
from caxton.domain.records import Records
from caxton.governance.breakers import CircuitBreakers
from caxton.routing.directory import Directory
from caxton.runtime.data_folder import DataFolder
from caxton.runtime.guard import base_limits, build_guard, standing_grants
from caxton.runtime.settings import Settings
from caxton.turns.short_calls import CONCURRENCY
from caxton.turns.step import StepPorts


def build_fast_path_ports(settings: Settings) -> tuple[StepPorts, Callable[[], None]]:
    """What accepting requests needs, in a process of its own; and what gives it up again."""
    folder = DataFolder(Path(settings.data_dir))
    database = open_database(settings, folder)
    database.start_writer()
    blobs = FileBlobs(folder.blobs)
    sandbox = WasmtimeSandbox(
        blobs,
        folder.cache / "tools",
        size=1,
        brief=CONCURRENCY,
        guard=build_guard(settings, folder),
        compile_timeout=settings.tools.compile_timeout,
    )
    records, directory = InlineReads(database), Directory(standing=standing_grants(settings))
    ports = StepPorts(
        records=records,
        blobs=blobs,
        sandbox=sandbox,
        schemas=sandbox.checks,
        models=Models(settings.models, templates),
        templates=templates,
        stream=LocalStream(),
        directory=directory,
        breakers=circuit_breakers(settings, records, directory),
        base_limits=base_limits(settings),
        flow_rules=flow_rules(settings),
        accepts_only=True,
    )

    def close() -> None:
        sandbox.close()
        database.close()

    return ports, close


def circuit_breakers(settings: Settings, records: Records, directory: Directory) -> CircuitBreakers:
    """The circuit breakers, with the thresholds for providers that the settings name."""
    providers = settings.models.providers.items()
    own = {name: provider.breaker for name, provider in providers if provider.breaker is not None}
    return CircuitBreakers(records, directory, settings.breaker, own, settings.alerts.channels)


def flow_rules(settings: Settings) -> FlowRules:
    """The limits of calls that the settings name."""
    flow = settings.flow
    return FlowRules(flow.providers, flow.models, flow.customers, flow.each_customer)


def open_database(settings: Settings, folder: DataFolder) -> Database:
    """The database that the settings name.

    Raises:
        InvalidSettings: its password is not there.
        StoreUnavailable: its driver is not installed.
    """
    store = settings.store
    try:
        password = SECRETS.get(store.password) if store.password else None
    except SecretMissing as error:
        raise InvalidSettings(f"store.password: {error.message}", *error.hints) from None
    return Database(
        store.url or sqlite_url(folder.private_database()),
        synchronous=store.synchronous,
        password=password,
        lock_timeout=store.lock_timeout,
    )
