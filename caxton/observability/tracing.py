"""Traces of what Caxton does: the ids that tie logs, messages and events together, and spans where somebody collects them.

Trace ids exist always: each request gets one. Spans are made only while :func:`setup_tracing` has somewhere to send them.
"""

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

from caxton.observability.recorder import use_recorder
from caxton.observability.server_span import ServerSpan, server_span
from caxton.observability.spans import (
    ModelSpan,
    SandboxSpan,
    ToolSpan,
    model_span,
    sandbox_span,
    tool_span,
)
from caxton.observability.trace_context import (
    current_trace,
    current_traceparent,
    extract_traceparent,
    in_trace,
    in_trace_of_batch,
)

if TYPE_CHECKING:
    from caxton.observability.temporal import TraceInterceptor

__all__ = [
    "ModelSpan",
    "SandboxSpan",
    "ServerSpan",
    "ToolSpan",
    "current_trace",
    "current_traceparent",
    "extract_traceparent",
    "in_trace",
    "in_trace_of_batch",
    "model_span",
    "otlp_url",
    "sandbox_span",
    "server_span",
    "setup_tracing",
    "temporal_interceptors",
    "tool_span",
]


def setup_tracing(
    endpoint: str | None = None, service_name: str = "caxton", sample_ratio: float = 1.0, version: str = ""
) -> Callable[[], None]:
    """Starts to send spans over OTLP/HTTP, if there is somewhere to send them.

    Args:
        endpoint: base URL of a collector, such as "http://127.0.0.1:4318"; None takes OTEL_EXPORTER_OTLP_ENDPOINT (or
            …_TRACES_ENDPOINT), and without that no span is made.
        service_name: how traces call this service; OTEL_SERVICE_NAME wins.
        sample_ratio: share of the traces begun here that are recorded, 0 to 1; a caller's own decision is kept.
        version: Caxton's version.

    Returns:
        A function that sends what is left and stops; it blocks for a few seconds at most.
    """
    url = otlp_url(endpoint, "traces", os.environ)
    if url is None:
        return _stop_nothing
    from caxton.observability.otlp import OtlpRecorder, describe_service

    made = OtlpRecorder(url, describe_service(service_name, version), sample_ratio, version)
    use_recorder(made)

    def stop() -> None:
        use_recorder(None)
        made.close()

    return stop


def otlp_url(endpoint: str | None, signal: Literal["traces", "metrics"], environment: Mapping[str, str]) -> str | None:
    """Where a signal goes: below the setting, else as OpenTelemetry's own environment variables say; None for nowhere."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    if endpoint:
        return f"{endpoint.rstrip('/')}/v1/{signal}"
    own = environment.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT")
    if own:
        return own
    shared = environment.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    return f"{shared.rstrip('/')}/v1/{signal}" if shared else None


def temporal_interceptors() -> "list[TraceInterceptor]":
    """What Temporal's client needs to carry traces through workflows; workers take it over from their client."""
    from caxton.observability.temporal import TraceInterceptor

    return [TraceInterceptor()]


def _stop_nothing() -> None:
    """There is nothing to stop."""
