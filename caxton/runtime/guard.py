"""What no tool of this server gets, as its settings have it."""

import ipaddress
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from caxton.adapters.sandbox.guard import Guard, own_listening_ports
from caxton.domain.grants import StandingGrants
from caxton.domain.tools import ToolLimits
from caxton.runtime.data_folder import DataFolder
from caxton.runtime.settings import Settings
from caxton.runtime.settings_sources import find_config, flatten

_PORTS = {"http": 80, "https": 443, "postgresql": 5432}


def build_guard(settings: Settings, folder: DataFolder) -> Guard:
    """The guard of all sandboxes of a process."""
    tools = settings.tools
    own = (settings.port, settings.metrics_port, settings.engine.port, settings.engine.ui_port)
    return Guard(
        ports=frozenset(port for port in own if port),
        services=tuple(dict.fromkeys(_services(settings))),
        networks=tuple(ipaddress.ip_network(network, strict=False) for network in tools.blocked_networks),
        variables=frozenset(secret_variables(settings)),
        folders=tuple(dict.fromkeys(_own_files(settings, folder))),
        base=base_limits(settings),
        maximum=ToolLimits.model_validate(tools.maximum.model_dump()),
        allowed_paths=tuple(Path(path) for path in tools.allowed_paths),
        allowed_commands=frozenset(
            [*tools.allowed_commands, *(line for each in tools.grants for line in each.commands)]
        ),
        listening=own_listening_ports,
    )


def base_limits(settings: Settings) -> ToolLimits:
    """What every tool may use without a grant, and never more than the most."""
    tools = settings.tools
    base = ToolLimits.model_validate(tools.limits.model_dump())
    return base.at_most(ToolLimits.model_validate(tools.maximum.model_dump()))


def standing_grants(settings: Settings) -> StandingGrants:
    """The grants that the settings make."""
    return StandingGrants(settings.customer, tuple(settings.tools.grants))


def secret_variables(settings: Settings) -> Iterator[str]:
    """Names of environment variables that the settings refer to: keys of providers, of the engine, of webhooks."""
    for path, value in flatten(settings.model_dump(mode="json")).items():
        for text in cast("list[Any]", value) if isinstance(value, list) else [value]:
            if isinstance(text, str) and text.startswith("env:"):
                yield text.removeprefix("env:")
            elif isinstance(text, str) and (path[-1].endswith("_env") or "headers" in path):
                yield text


def _services(settings: Settings) -> Iterator[tuple[str, int]]:
    """Host and port of what Caxton works with."""
    if settings.temporal.address is not None:
        host, _, port = settings.temporal.address.rpartition(":")
        yield host.strip("[]"), int(port)
    options = cast("Mapping[str, Any]", settings.memory.options)
    urls = (settings.store.url, settings.temporal.ui_url, settings.telemetry.otlp_endpoint, *options.values())
    for url in urls:
        if not isinstance(url, str) or "://" not in url:
            continue
        parts = urlsplit(url)
        # "postgresql+psycopg://": what is before the plus is the kind.
        port = parts.port or _PORTS.get(parts.scheme.partition("+")[0])
        if parts.hostname and port:
            yield parts.hostname, port


def _own_files(settings: Settings, folder: DataFolder) -> Iterator[Path]:
    yield folder.path.absolute()
    config = find_config(Path.cwd())
    if config is not None:
        yield config
    for value in flatten(settings.model_dump(mode="json")).values():
        for text in cast("list[Any]", value) if isinstance(value, list) else [value]:
            if isinstance(text, str) and text.startswith("file:/"):
                yield Path(text.removeprefix("file:"))
    temporal = settings.temporal
    for path in (temporal.tls_ca, temporal.tls_cert, temporal.tls_key):
        if path is not None:
            yield Path(path).absolute()
    for value in flatten(settings.model_dump(mode="json")).values():
        if isinstance(value, str) and value.startswith("file:"):
            yield Path(value.removeprefix("file:")).absolute()
    if settings.store.url is not None and settings.store.url.startswith("sqlite:///"):
        yield Path(settings.store.url.removeprefix("sqlite:///")).absolute().parent
