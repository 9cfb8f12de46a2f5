"""Traces: spans of what Caxton does, by the OpenTelemetry conventions, and the ids that tie logs and messages together.

Spans are made only while :func:`setup_tracing` has somewhere to send them. Trace ids exist always: each request gets one, and
it stands in its log lines, messages and events. No span has a prompt, a reply, arguments, a result or the text of an error.

Source of names: https://opentelemetry.io/docs/specs/semconv/gen-ai/ and …/http/http-spans/.
"""

import os
from collections.abc import Callable
from contextvars import Token
from typing import TYPE_CHECKING, Self

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    Tracer,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.util.types import AttributeValue

from caxton.domain.errors import CaxtonError
from caxton.domain.ports import ModelReply
from caxton.domain.tools import ToolResult, ToolUsage
from caxton.observability.trace_context import (
    batch_links,
    current_trace,
    current_traceparent,
    extract_traceparent,
    format_traceparent,
    in_trace,
    in_trace_of_batch,
    new_span_context,
    parse_traceparent,
)

if TYPE_CHECKING:
    from temporalio.contrib.opentelemetry import TracingInterceptor

__all__ = [
    "ModelSpan",
    "SandboxSpan",
    "ServerSpan",
    "ToolSpan",
    "WorkSpan",
    "current_trace",
    "current_traceparent",
    "extract_traceparent",
    "in_trace",
    "in_trace_of_batch",
    "is_recording",
    "model_span",
    "sandbox_span",
    "server_span",
    "setup_tracing",
    "temporal_interceptors",
    "tool_span",
]

Attributes = dict[str, AttributeValue]

_tracer: Tracer | None = None
"""Set while spans have somewhere to go."""


class WorkSpan:
    """A piece of work as a span, when somebody records the trace that it belongs to; else nothing.

    An exception that leaves the body marks the span as failed, by its type only: messages may quote what users wrote.
    """

    __slots__ = ("_attributes", "_kind", "_name", "_token", "span")

    def __init__(self, name: str, kind: SpanKind, attributes: Attributes) -> None:
        """Prepare a span; it starts with the `with` block."""
        self._name = name
        self._kind = kind
        self._attributes = attributes
        self._token: Token[Context] | None = None
        self.span: Span | None = None

    def __enter__(self) -> Self:
        """Start it."""
        if _tracer is not None and _is_sampled(get_current_span().get_span_context()):
            self.span = _tracer.start_span(
                self._name, kind=self._kind, attributes=self._attributes, links=batch_links()
            )
            self._token = otel_context.attach(set_span_in_context(self.span))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        """End it."""
        if self._token is not None:
            otel_context.detach(self._token)
            self._token = None
        if self.span is not None:
            if error is not None:
                self.failed(error)
            self.span.end()

    def set(self, key: str, value: AttributeValue) -> None:
        """Adds a fact; never one that a user wrote."""
        if self.span is not None:
            self.span.set_attribute(key, value)

    def failed(self, error: BaseException | str) -> None:
        """Marks the work as failed with an error, or the code of one."""
        if self.span is not None:
            self.span.set_attribute("error.type", error if isinstance(error, str) else error_type(error))
            self.span.set_status(StatusCode.ERROR)
            if isinstance(error, BaseException):
                self.span.add_event("exception", {"exception.type": type(error).__qualname__})


class ModelSpan(WorkSpan):
    """A model call."""

    __slots__ = ()

    def answered(self, reply: ModelReply) -> None:
        """Adds which model answered, and its tokens."""
        if self.span is None:
            return
        provider, name = split_model(reply.model)
        attributes: Attributes = {
            "gen_ai.provider.name": provider,
            "gen_ai.response.model": name,
            "gen_ai.usage.input_tokens": reply.usage.input_tokens,
            "gen_ai.usage.output_tokens": reply.usage.output_tokens,
        }
        self.span.set_attributes(attributes)


class ToolSpan(WorkSpan):
    """A tool call, from the permission to the result."""

    __slots__ = ()

    def answered(self, result: ToolResult) -> None:
        """Adds what the call used, and whether the tool says that it failed."""
        if self.span is None:
            return
        _add_usage(self.span, result.usage)
        if result.is_error:
            self.failed("tool_error")


class SandboxSpan(WorkSpan):
    """What runs inside a sandbox."""

    __slots__ = ()

    def used(self, usage: ToolUsage) -> None:
        """Adds what the run used."""
        if self.span is not None:
            _add_usage(self.span, usage)


class ServerSpan:
    """An HTTP request. It begins a trace, or goes on with the caller's; that trace has ids even if nobody records it."""

    __slots__ = ("_method", "_parent", "_route", "_span", "_token", "context")

    def __init__(self, method: str, route: str | None, parent: SpanContext | None) -> None:
        """Prepare the span of one request."""
        self._method = method
        self._route = route
        self._parent = parent
        self._token: Token[Context] | None = None
        self._span: Span | None = None
        self.context: SpanContext
        """Ids of the span; known once the `with` block has begun."""

    def __enter__(self) -> Self:
        """Start it."""
        if _tracer is None or not _is_sampled(self._parent):
            self.context = new_span_context(self._parent)
            span: Span = NonRecordingSpan(self.context)
        else:
            above = set_span_in_context(NonRecordingSpan(self._parent)) if self._parent else Context()
            attributes: Attributes = {"http.request.method": self._method}
            span = self._span = _tracer.start_span(
                self._method, context=above, kind=SpanKind.SERVER, attributes=attributes
            )
            self.context = span.get_span_context()
            if self._route:
                self.answered(None, self._route)
        self._token = otel_context.attach(set_span_in_context(span))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        """End it."""
        if self._token is not None:
            otel_context.detach(self._token)
            self._token = None
        if self._span is not None:
            if error is not None:
                self._span.set_attribute("error.type", error_type(error))
                self._span.set_status(StatusCode.ERROR)
            self._span.end()

    def answered(self, status: int | None, route: str | None = None) -> None:
        """Adds the HTTP status, and the route's template once it is known (never the path: it has names and ids)."""
        if self._span is None:
            return
        if route:
            self._span.update_name(f"{self._method} {route}")
            self._span.set_attribute("http.route", route)
        if status is not None:
            self._span.set_attribute("http.response.status_code", status)
            if status >= 500:
                self._span.set_attribute("error.type", str(status))
                self._span.set_status(StatusCode.ERROR)

    @property
    def trace_id(self) -> str:
        """In hex."""
        return f"{self.context.trace_id:032x}"

    @property
    def traceparent(self) -> str:
        """What a request takes along to stay in this trace."""
        return format_traceparent(self.context)


def server_span(method: str, route: str | None = None, traceparent: str | None = None) -> ServerSpan:
    """The span of an HTTP request, for use in a `with` statement.

    Args:
        method: the HTTP method.
        route: the route's template, such as "/v1/agents/{name}", if it is known yet; never the path.
        traceparent: what the caller sent, from :func:`extract_traceparent`.
    """
    return ServerSpan(method, route, parse_traceparent(traceparent))


def model_span(agent: str, model: str) -> ModelSpan:
    """The span of a model call, for use in a `with` statement.

    Args:
        agent: the agent that asks.
        model: the model that is asked, such as "openai:gpt-5", "scripted" or "auto".
    """
    if _tracer is None:
        return ModelSpan("", SpanKind.CLIENT, {})
    provider, name = split_model(model)
    attributes: Attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": name,
        "gen_ai.agent.name": agent,
    }
    # The conventions want INTERNAL for a model that runs in the same process.
    return ModelSpan(f"chat {name}", SpanKind.INTERNAL if provider == "caxton" else SpanKind.CLIENT, attributes)


def tool_span(server: str, function: str, agent: str) -> ToolSpan:
    """The span of a tool call, for use in a `with` statement.

    Args:
        server: the tool server, such as "csv-tools".
        function: its function.
        agent: the agent that asks.
    """
    if _tracer is None:
        return ToolSpan("", SpanKind.INTERNAL, {})
    name = f"{server}.{function}"
    attributes: Attributes = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": name,
        "gen_ai.tool.type": "function",
        "gen_ai.agent.name": agent,
    }
    return ToolSpan(f"execute_tool {name}", SpanKind.INTERNAL, attributes)


def sandbox_span(tool: str, form: str) -> SandboxSpan:
    """The span of one run in a sandbox, for use in a `with` statement.

    Args:
        tool: the tool server.
        form: "component" or "command".
    """
    if _tracer is None:
        return SandboxSpan("", SpanKind.INTERNAL, {})
    return SandboxSpan(f"sandbox {tool}", SpanKind.INTERNAL, {"gen_ai.tool.name": tool, "caxton.sandbox.form": form})


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
        A function that sends what is left and stops; it takes a few seconds at the most.
    """
    global _tracer
    from caxton.observability import otlp

    target = otlp.signal_endpoint(endpoint, "traces", os.environ)
    if target is None:
        return _stop_nothing
    provider = otlp.tracer_provider(target, otlp.resource(service_name, version), sample_ratio)
    _tracer = provider.get_tracer("caxton", version or None)

    def stop() -> None:
        global _tracer
        _tracer = None
        provider.shutdown()

    return stop


def is_recording() -> bool:
    """Whether spans have somewhere to go."""
    return _tracer is not None


def tracer() -> Tracer | None:
    """What makes spans, while they have somewhere to go."""
    return _tracer


def temporal_interceptors() -> "list[TracingInterceptor]":
    """What Temporal's client needs to carry traces through workflows; workers take it over from their client."""
    if _tracer is None:
        return []
    from temporalio.contrib.opentelemetry import TracingInterceptor

    return [TracingInterceptor(_tracer)]


def split_model(model: str) -> tuple[str, str]:
    """Provider and model name of "openai:gpt-5"; a model without a provider ("scripted", "auto") is Caxton's own."""
    provider, colon, name = model.partition(":")
    return (provider, name) if colon else ("caxton", model)


def error_type(error: BaseException) -> str:
    """What `error.type` says of an error: the code of ours, the class of others."""
    return error.code if isinstance(error, CaxtonError) else type(error).__qualname__


def _is_sampled(parent: SpanContext | None) -> bool:
    """Whether a span below `parent` may be recorded; one that begins a trace may."""
    return parent is None or not parent.is_valid or bool(parent.trace_flags.sampled)


def _add_usage(span: Span, usage: ToolUsage) -> None:
    span.set_attribute("caxton.tool.cpu_ms", usage.cpu_ms)
    span.set_attribute("caxton.tool.fuel", usage.fuel)
    if usage.memory is not None:
        span.set_attribute("caxton.tool.memory", usage.memory)


def _stop_nothing() -> None:
    """There is nothing to stop."""
