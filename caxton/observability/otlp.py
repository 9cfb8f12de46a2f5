"""Where spans go: OTLP over HTTP. Loaded only when an endpoint is configured."""

from collections.abc import Mapping
from typing import Literal

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased


def signal_endpoint(
    endpoint: str | None, signal: Literal["traces", "metrics"], environment: Mapping[str, str]
) -> str | None:
    """The full URL for a signal: of the setting, else of OpenTelemetry's own environment variables, else None."""
    if endpoint:
        return f"{endpoint.rstrip('/')}/v1/{signal}"
    own = environment.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT")
    if own:
        return own
    shared = environment.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    return f"{shared.rstrip('/')}/v1/{signal}" if shared else None


def resource(service_name: str, version: str) -> Resource:
    """Who sends; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win."""
    named = Resource({"service.name": service_name, "service.version": version})
    return named.merge(Resource.create({}) if _has_own_name() else Resource({}))


def _has_own_name() -> bool:
    import os

    return "OTEL_SERVICE_NAME" in os.environ or "OTEL_RESOURCE_ATTRIBUTES" in os.environ


def tracer_provider(target: str, described: Resource, sample_ratio: float) -> TracerProvider:
    """A provider that sends sampled spans to `target` in batches."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(sample_ratio)), resource=described)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=target, timeout=5)))
    return provider
