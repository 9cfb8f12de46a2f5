"""A stand-in for an OpenTelemetry collector: takes OTLP over HTTP and remembers it."""

import contextlib
import gzip
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector:
    """What was sent to `url`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.spans: list[Span] = []
        self.bodies: list[bytes] = []
        self.resources: list[dict[str, Any]] = []
        self.metrics: dict[str, Any] = {}
        self.lock = Lock()

    def take(self, path: str, body: bytes) -> None:
        """Reads one request."""
        with self.lock:
            self.bodies.append(body)
            if path == "/v1/traces":
                for sent in ExportTraceServiceRequest.FromString(body).resource_spans:
                    self.resources.append(attributes_of(sent.resource))
                    self.spans += [span for scope in sent.scope_spans for span in scope.spans]
            elif path == "/v1/metrics":
                for sent in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                    self.resources.append(attributes_of(sent.resource))
                    self.metrics |= {metric.name: metric for scope in sent.scope_metrics for metric in scope.metrics}

    def named(self, name: str) -> Span:
        """The one span of that name."""
        [found] = [span for span in self.spans if span.name == name]
        return found

    def wait_for(self, *names: str, trace_id: bytes | None = None, seconds: float = 30) -> list[Span]:
        """The spans (of a trace), once there is one of each name. Spans come in batches, from another process."""
        deadline = time.monotonic() + seconds
        while True:
            with self.lock:
                found = [span for span in self.spans if trace_id in (None, span.trace_id)]
            missing = set(names) - {span.name for span in found}
            if not missing:
                return found
            assert time.monotonic() < deadline, f"no span {missing} among {sorted({span.name for span in found})}"
            time.sleep(0.05)


def attributes_of(thing: Any) -> dict[str, Any]:
    """Attributes of a span, an event or a resource."""
    return {entry.key: getattr(entry.value, entry.value.WhichOneof("value")) for entry in thing.attributes}


@contextlib.contextmanager
def running_collector() -> Iterator[Collector]:
    """A collector on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.take(self.path, gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(f"http://127.0.0.1:{server.server_address[1]}")
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
