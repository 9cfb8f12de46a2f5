"""A uvicorn server with bounded connections, for everything here that listens."""

import asyncio
import contextlib
import socket
from collections.abc import Generator, Sequence
from ipaddress import IPv4Network, IPv6Network

import uvicorn
from starlette.types import ASGIApp

from caxton.api.sse import end_streams
from caxton.api.transport.connections import Connections
from caxton.api.transport.limits import TransportLimits
from caxton.api.transport.protocol import protocol_of
from caxton.observability.metrics import METRICS

KEEP_ALIVE = 75
"""Seconds that a connection may be idle: longer than most proxies keep theirs."""

STOP_WITHIN = 3
"""Seconds that requests have to end when the server stops."""


class BoundedServer(uvicorn.Server):
    """Serves an application within limits. Leaves signals to us: uvicorn would raise them again after its own stop."""

    def __init__(
        self, app: ASGIApp, limits: TransportLimits, proxies: Sequence[IPv4Network | IPv6Network] = ()
    ) -> None:
        """Serve `app`; `proxies` are believed when they say for whom they ask."""
        self.listener = Connections(limits, tuple(proxies), METRICS.connection_refused)
        super().__init__(
            uvicorn.Config(
                app,
                http=protocol_of(self.listener),
                ws="none",
                log_config=None,
                access_log=False,
                lifespan="off",
                timeout_keep_alive=KEEP_ALIVE,
                timeout_graceful_shutdown=STOP_WITHIN,
                server_header=False,
                proxy_headers=bool(proxies),
                forwarded_allow_ips=[str(network) for network in proxies],
            )
        )

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serves until `should_exit` is set."""
        watching = asyncio.create_task(self.listener.watch())
        try:
            await super().serve(sockets)
        finally:
            watching.cancel()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends streams at once, and gives other requests their time."""
        end_streams()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Captures none."""
        yield
