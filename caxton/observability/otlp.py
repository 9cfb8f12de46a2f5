"""Sends spans over OTLP/HTTP. Loaded only when there is somewhere to send them: the SDK takes a while."""

import os
import random
import threading
from collections.abc import Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, set_span_in_context

from caxton.domain.surroundings import is_loopback
from caxton.observability.recorder import Attributes

if TYPE_CHECKING:
    import requests

EXPORT_TIMEOUT = 5.0
"""Seconds that sending one batch may take."""

STOP_TIMEOUT = 2.0
"""Seconds that a stop waits for a collector which does not answer."""

_GIVEN_ID: ContextVar[int | None] = ContextVar("given_span_id", default=None)


def session_for(url: str) -> "requests.Session | None":
    """How to reach a collector: on this machine directly, else as the environment says (None)."""
    import requests

    if not is_loopback(urlsplit(url).hostname or ""):
        return None
    session = requests.Session()
    session.trust_env = False
    return session


class OtlpRecorder:
    """Makes spans, and sends those that are sampled in batches from a thread of its own."""

    def __init__(self, url: str, resource: Resource, sample_ratio: float, version: str) -> None:
        """Send to `url`.

        Args:
            url: where traces go, such as "http://127.0.0.1:4318/v1/traces".
            resource: who sends.
            sample_ratio: share of the traces begun here that are recorded, 0 to 1; a caller's own decision is kept.
            version: Caxton's version.
        """
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        # Our own provider rather than the global one: what libraries might trace of their own accord has contents in it.
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(sample_ratio)),
            resource=resource,
            id_generator=_GivenIds(),
            shutdown_on_exit=False,
        )
        self._exporter = _Exporter(OTLPSpanExporter(endpoint=url, timeout=EXPORT_TIMEOUT, session=session_for(url)))
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("caxton", version or None)

    def start(
        self,
        name: str,
        kind: SpanKind,
        attributes: Attributes,
        parent: SpanContext | None,
        *,
        links: Sequence[Link] = (),
        span_id: int | None = None,
        start_ns: int | None = None,
    ) -> Span:
        """Starts a span; see :class:`caxton.observability.recorder.Recorder`."""
        above = set_span_in_context(NonRecordingSpan(parent), Context()) if parent else Context()
        token = _GIVEN_ID.set(span_id) if span_id else None
        try:
            return self._tracer.start_span(
                name,
                context=above,
                kind=kind,
                attributes=attributes,
                links=links,
                start_time=start_ns,
                record_exception=False,
                set_status_on_exception=False,
            )
        finally:
            if token is not None:
                _GIVEN_ID.reset(token)

    def close(self) -> None:
        """Sends what is left, if that takes no longer than :data:`STOP_TIMEOUT`."""
        giving_up = threading.Timer(STOP_TIMEOUT, self._exporter.shutdown)
        giving_up.daemon = True
        giving_up.start()
        try:
            self._provider.shutdown()
        finally:
            giving_up.cancel()


class _Exporter(SpanExporter):
    """Sends spans until it is closed, which ends an attempt that is in progress."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._closed = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.FAILURE if self._closed.is_set() else self._exporter.export(spans)

    def shutdown(self) -> None:
        if not self._closed.is_set():
            self._closed.set()
            self._exporter.shutdown()


class _GivenIds(RandomIdGenerator):
    """Random ids, unless one is given."""

    def generate_span_id(self) -> int:
        """The given id, or a random one."""
        return _GIVEN_ID.get() or random.getrandbits(64) or 1


def describe_service(name: str, version: str) -> Resource:
    """Who sends; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win."""
    own = Resource({"service.name": name, "service.version": version} if version else {"service.name": name})
    asked = Resource.create({}).attributes
    named = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    kept = {key: value for key, value in asked.items() if key != "service.name" or named}
    return own.merge(Resource(kept))
