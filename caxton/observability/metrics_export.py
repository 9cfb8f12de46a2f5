"""Sends the metrics over OTLP/HTTP, for those who collect rather than scrape. They are the same as Prometheus reads."""

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from caxton.observability.metrics import METRICS, Metrics
from caxton.observability.tracing import otlp_url

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricExporter
    from opentelemetry.sdk.resources import Resource

INTERVAL = 60.0
"""Seconds between two sendings: OpenTelemetry's default."""


def setup_metrics_export(
    endpoint: str | None = None, service_name: str = "caxton", version: str = "", interval: float = INTERVAL
) -> Callable[[], None]:
    """Starts to send metrics over OTLP/HTTP, if there is somewhere to send them.

    Args:
        endpoint: base URL of a collector, such as "http://127.0.0.1:4318"; None takes OTEL_EXPORTER_OTLP_ENDPOINT (or
            …_METRICS_ENDPOINT), and without that nothing is sent.
        service_name: how the collector calls this service; OTEL_SERVICE_NAME wins.
        version: Caxton's version.
        interval: seconds between two sendings.

    Returns:
        A function that sends once more and stops; it blocks for a few seconds at most.
    """
    url = otlp_url(endpoint, "metrics", os.environ)
    if url is None:
        return _stop_nothing
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    from caxton.observability.otlp import EXPORT_TIMEOUT, describe_service, session_for

    exporter = OTLPMetricExporter(endpoint=url, timeout=EXPORT_TIMEOUT, session=session_for(url))
    return _Sender(METRICS, exporter, describe_service(service_name, version), interval).stop


class _Sender:
    def __init__(self, metrics: Metrics, exporter: "MetricExporter", resource: "Resource", interval: float) -> None:
        self._metrics = metrics
        self._exporter = exporter
        self._resource = resource
        self._interval = interval
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics-export", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        from caxton.observability.otlp_metrics import to_otlp

        while True:
            stopping = self._stopping.wait(self._interval)
            self._exporter.export(to_otlp(self._metrics.registry, self._resource))
            if stopping:
                return

    def stop(self) -> None:
        """Sends once more; gives up on a collector that does not answer."""
        from caxton.observability.otlp import STOP_TIMEOUT

        self._stopping.set()
        self._thread.join(STOP_TIMEOUT)
        self._exporter.shutdown()
        self._thread.join(STOP_TIMEOUT)


def _stop_nothing() -> None:
    """There is nothing to stop."""
