"""The listeners of a server: API, metrics and the engine's UI, with their limits and host names."""

import secrets
from collections.abc import Callable, Coroutine
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Any

from caxton.api.transport.limits import TransportLimits
from caxton.api.web import WebAccess
from caxton.domain.errors import Hint, InvalidSettings
from caxton.runtime.data_folder import DataFolder, write_private
from caxton.runtime.descriptors import make_room_for
from caxton.runtime.settings import Settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from caxton.api.services import Services
    from caxton.api.transport.server import BoundedServer
    from caxton.runtime.engine import EmbeddedEngine

FEW = TransportLimits(connections=64, connections_per_address=32)
"""For what a scraper or a few people use."""


def web_access(settings: Settings, host: str) -> WebAccess:
    """The names of a server that listens on `host`, and the sites that may call it."""
    hosts = list(settings.server.hosts)
    address = _address(host)
    if address is None:
        hosts.append(host)
    return WebAccess(
        hosts=tuple(hosts),
        origins=tuple(settings.server.cors_origins),
        any_address=address is not None and not address.is_loopback,
    )


def api_server(app: "ASGIApp", settings: Settings) -> "BoundedServer":
    """A server for the API; connections are as many as descriptors allow."""
    from caxton.api.transport.server import BoundedServer

    server = settings.server
    limits = TransportLimits(
        connections=make_room_for(server.connections),
        connections_per_address=server.connections_per_address,
        head_bytes=server.header_bytes,
        head_seconds=server.header_timeout,
    )
    return BoundedServer(app, limits, [ip_network(network) for network in server.proxies])


def metrics_server(settings: Settings, folder: DataFolder) -> "BoundedServer":
    """A server for this process's metrics.

    Raises:
        InvalidSettings: they are to be open beyond loopback.
    """
    from caxton.adapters.secrets import Secrets
    from caxton.api.metrics_app import MetricsApp
    from caxton.api.transport.server import BoundedServer

    access = web_access(settings, settings.metrics_host)
    key: Callable[[], str] | None
    if settings.metrics_open:
        address = _address(settings.metrics_host)
        if not (settings.metrics_host == "localhost" or (address is not None and address.is_loopback)):
            raise InvalidSettings(
                "metrics_open lets everybody read the metrics, and they are not on loopback",
                Hint(text='set metrics_host to "127.0.0.1", or metrics_open to false and let the scraper send the key'),
            )
        key, hint = None, ""
    elif settings.metrics_key is not None:
        known, reference = Secrets(), settings.metrics_key
        key, hint = lambda: known.get(reference).get_secret_value(), "it is the one that metrics_key refers to"
    else:
        path = folder.metrics_key
        if not path.exists():
            write_private(path, secrets.token_urlsafe(32) + "\n")
        key = lambda: path.read_text().strip()  # noqa: E731 - several processes share the folder, and one was first
        hint = f"it is in {path.name} of the server's data folder: for Prometheus credentials_file of authorization"
    return BoundedServer(MetricsApp(access, key, hint), FEW)


def engine_ui_server(
    services: "Services", engine: "EmbeddedEngine", settings: Settings
) -> tuple["BoundedServer", Callable[[], Coroutine[Any, Any, None]]]:
    """A server before the engine's UI, on loopback, and what closes its client."""
    from caxton.api.engine_ui import EngineUi
    from caxton.api.transport.server import BoundedServer

    access = WebAccess(hosts=tuple(settings.server.hosts))
    app = EngineUi(access, services.authentication, str(engine.ui_url))
    return BoundedServer(app, FEW), app.close


def _address(host: str) -> IPv4Address | IPv6Address | None:
    """`host` if it is an address and no name."""
    try:
        return ip_address(host)
    except ValueError:
        return None
