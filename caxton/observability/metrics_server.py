"""Metrics on a port of their own, for Prometheus, which has no API key."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from caxton.domain.errors import Hint, PortInUse
from caxton.observability.metrics import METRICS


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Answers a scrape."""
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(404, "metrics are at /metrics")
            return
        content, media_type = METRICS.render(self.headers.get("Accept"))
        self.send_response(200)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Scrapes are not worth a line."""


class MetricsServer:
    """Serves `/metrics` until it is closed."""

    def __init__(self, host: str, port: int) -> None:
        """Listen on `host` and `port` (0 takes a free one)."""
        self._server = ThreadingHTTPServer((host, port), _Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve_metrics(host: str, port: int) -> MetricsServer:
    """Serves metrics.

    Raises:
        PortInUse: another program has the port.
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
