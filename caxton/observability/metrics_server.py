"""Metrics on a port of their own, for Prometheus, which has no API key."""

import logging
import socket
import socketserver
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from caxton.domain.errors import Hint, PortInUse
from caxton.observability.metrics import METRICS

log = logging.getLogger(__name__)


class _Handler(BaseHTTPRequestHandler):
    server_version = "caxton"
    sys_version = ""
    timeout = 10
    """Seconds that a client may take to ask."""

    def do_GET(self) -> None:
        """Answers a scrape."""
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(HTTPStatus.NOT_FOUND, "metrics are at /metrics")
            return
        content, media_type = METRICS.render(self.headers.get("Accept"))
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Scrapes are not worth a line."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, host: str, port: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        # The base class would look up the host's name, which may take seconds.
        socketserver.TCPServer.server_bind(self)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        log.debug("a scrape was broken off")


class MetricsServer:
    """Serves `/metrics` from a thread of its own until it is closed."""

    def __init__(self, host: str, port: int) -> None:
        """Listen on `host` and `port` (0 takes a free one)."""
        self._server = _Server(host, port)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.2,), name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops; takes 0.2 s at the most."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve_metrics(host: str, port: int) -> MetricsServer:
    """Serves metrics at http://host:port/metrics.

    Raises:
        PortInUse: another program has the port, or it may not be used.
    """
    try:
        return MetricsServer(host, port)
    except OSError as error:
        raise PortInUse(
            f"{host}:{port} cannot be listened on for metrics: {error.strerror}",
            Hint(text="choose another port, or 0 for none", command=f"caxton serve --metrics-port {port + 1}"),
            Hint(text="or set CAXTON_METRICS_PORT"),
            details={"host": host, "port": port},
        ) from error
