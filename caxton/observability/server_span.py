"""The span of an HTTP request, where traces begin or come in.

Source of names: https://opentelemetry.io/docs/specs/semconv/http/http-spans/.
"""

from contextvars import Token
from typing import Self

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, StatusCode

from caxton.observability.bounded import HTTP_METHODS
from caxton.observability.recorder import error_type, is_sampled, recorder
from caxton.observability.trace_context import context_with, format_traceparent, parse_traceparent, unrecorded

OTHER_METHOD = "_OTHER"
"""What the conventions call a method that is none of the known ones."""


class ServerSpan:
    """An HTTP request. It begins a trace, or goes on with the caller's; a trace has ids even if nobody records it."""

    __slots__ = ("_method", "_parent", "_route", "_span", "_token", "context")

    def __init__(self, method: str, route: str | None, parent: SpanContext | None) -> None:
        """Prepare the span of one request."""
        self._method = method if method in HTTP_METHODS else OTHER_METHOD
        self._route = route
        self._parent = parent
        self._token: Token[Context] | None = None
        self._span: Span | None = None
        self.context: SpanContext
        """Ids of the span; known once the `with` block has begun."""

    def __enter__(self) -> Self:
        """Start it."""
        maker = recorder()
        if maker is None or not is_sampled(self._parent):
            self.context = unrecorded(self._parent)
            span: Span = NonRecordingSpan(self.context)
        else:
            attributes = {"http.request.method": self._method}
            span = self._span = maker.start(self._method, SpanKind.SERVER, dict(attributes), self._parent)
            self.context = span.get_span_context()
            self._name(self._route)
        self._token = otel_context.attach(context_with(span))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        """End it."""
        if self._token is not None:
            otel_context.detach(self._token)
            self._token = None
        if self._span is not None:
            if error is not None:
                self._failed(error_type(error))
            self._span.end()

    def answered(self, status: int, route: str | None = None) -> None:
        """Adds the HTTP status, and the template of the route once it is known (never the path: it has ids)."""
        if self._span is None:
            return
        self._name(route)
        self._span.set_attribute("http.response.status_code", status)
        if status >= 500:
            self._failed(str(status))

    @property
    def trace_id(self) -> str:
        """In hex."""
        return f"{self.context.trace_id:032x}"

    @property
    def traceparent(self) -> str:
        """What a request takes along to stay in this trace."""
        return format_traceparent(self.context)

    def _name(self, route: str | None) -> None:
        if self._span is not None and route:
            self._span.update_name(f"{self._method} {route}")
            self._span.set_attribute("http.route", route)

    def _failed(self, kind: str) -> None:
        if self._span is not None:
            self._span.set_attribute("error.type", kind)
            self._span.set_status(StatusCode.ERROR)


def server_span(method: str, route: str | None = None, traceparent: str | None = None) -> ServerSpan:
    """The span of an HTTP request, for a `with` statement.

    Args:
        method: the HTTP method.
        route: the template of the route, such as "/v1/agents/{name}", if it is known yet; never the path.
        traceparent: what the caller sent, from :func:`caxton.observability.trace_context.extract_traceparent`.
    """
    return ServerSpan(method, route, parse_traceparent(traceparent))
