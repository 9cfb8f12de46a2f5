"""Which trace the running code belongs to: W3C trace context in, out and through batches.

Temporal batches carry steps of many requests, each with a trace of its own. So a request takes its trace with it, as a
`traceparent`, and whatever works for it enters that trace with :func:`in_trace`.
"""

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from contextvars import Token
from functools import lru_cache
from typing import Self, cast

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import (
    INVALID_SPAN,
    NonRecordingSpan,
    Span,
    SpanContext,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)

# https://www.w3.org/TR/trace-context/#traceparent-header; later versions may append fields, version ff is forbidden.
_TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")

MOST_LINKS = 100
"""Links of one span at most: as many as a batch has requests (OpenTelemetry's own limit is 128)."""

KNOWN = 1_024
"""Values of `traceparent` that are remembered: each step of a request enters its trace."""

_RELATED = otel_context.create_key("caxton-related")
"""Context key: spans of other traces that the next span is to link to, a batch to its requests or the other way round."""


def current_trace() -> tuple[str | None, str | None]:
    """Trace id and span id of the running code, in hex; (None, None) outside of any trace."""
    found = get_current_span().get_span_context()
    if not found.is_valid:
        return None, None
    return f"{found.trace_id:032x}", f"{found.span_id:016x}"


def current_traceparent() -> str | None:
    """What a request takes along to stay in the present trace; None outside of any trace."""
    found = get_current_span().get_span_context()
    return format_traceparent(found) if found.is_valid else None


def extract_traceparent(headers: Mapping[str, str]) -> str | None:
    """The trace that a caller wants its request to belong to; None without a valid `traceparent` header.

    Args:
        headers: by lower-case name, or a mapping that ignores case.
    """
    value = headers.get("traceparent")
    if value is None:
        return None
    parsed = parse_traceparent(value.strip())
    return format_traceparent(parsed) if parsed else None


def parse_traceparent(value: str | None) -> SpanContext | None:
    """The span that a `traceparent` names, as a remote one; None if it is not valid."""
    match = _TRACEPARENT.fullmatch(value) if value and len(value) < 256 else None
    if match is None or (match[1] == "00" and match[5]):
        return None
    found = SpanContext(
        trace_id=int(match[2], 16),
        span_id=int(match[3], 16),
        is_remote=True,
        trace_flags=TraceFlags(int(match[4], 16) & TraceFlags.SAMPLED),
    )
    return found if found.is_valid else None


def format_traceparent(context: SpanContext) -> str:
    """The `traceparent` that names a span."""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & TraceFlags.SAMPLED:02x}"


def unrecorded(parent: SpanContext | None) -> SpanContext:
    """Ids of a span that nobody records: logs, messages and events can be found by them all the same."""
    return SpanContext(
        trace_id=parent.trace_id if parent else random.getrandbits(128) or 1,
        span_id=random.getrandbits(64) or 1,
        is_remote=False,
        trace_flags=TraceFlags(TraceFlags.DEFAULT),
    )


def shared_parent(traceparents: Iterable[str | None]) -> SpanContext | None:
    """The span to work under for several requests: that of one of them if all are in one trace, else none."""
    first: SpanContext | None = None
    for traceparent in dict.fromkeys(traceparents):
        parsed = parse_traceparent(traceparent)
        if parsed is None or (first is not None and first.trace_id != parsed.trace_id):
            return None
        first = first or parsed
    return first


def related_spans() -> Sequence[SpanContext]:
    """Spans of other traces that a span which begins now is to link to."""
    return cast("Sequence[SpanContext]", otel_context.get_value(_RELATED) or ())


def context_with(span: Span, related: Sequence[SpanContext] = ()) -> Context:
    """The present context, with `span` as its span and `related` for spans below it to link to."""
    entered = set_span_in_context(span)
    if related or related_spans():
        entered = otel_context.set_value(_RELATED, related, entered)
    return entered


@lru_cache(maxsize=KNOWN)
def _only_in(traceparent: str | None) -> Context | None:
    """The context of work in the trace that `traceparent` names, and in nothing else; None if it names none."""
    remote = parse_traceparent(traceparent)
    return None if remote is None else set_span_in_context(NonRecordingSpan(remote), Context())


class in_trace:  # noqa: N801 - a context manager that reads as a phrase
    """Runs its body in the trace of a request, unless it runs there already: then the nearer parent stays.

    A request without a trace leaves things as they are. Spans of the request link to the batch in which it is worked on.
    """

    __slots__ = ("_token", "_traceparent")

    def __init__(self, traceparent: str | None) -> None:
        """Enter the trace that `traceparent` names."""
        self._traceparent = traceparent
        self._token: Token[Context] | None = None

    def __enter__(self) -> Self:
        """Enter it."""
        if not otel_context.get_current():
            entered = _only_in(self._traceparent)
            self._token = None if entered is None else otel_context.attach(entered)
            return self
        remote = parse_traceparent(self._traceparent)
        if remote is None:
            return self
        current = get_current_span().get_span_context()
        if current.trace_id != remote.trace_id:
            related = (current,) if current.is_valid and current.trace_flags.sampled else ()
            self._token = otel_context.attach(context_with(NonRecordingSpan(remote), related))
        return self

    def __exit__(self, *_: object) -> None:
        """Go back to where it was."""
        if self._token is not None:
            otel_context.detach(self._token)


class in_trace_of_batch:  # noqa: N801
    """Runs its body, which works for several requests at once, in their trace if they share one, else in a new one.

    Without it, a batch would count as work for whichever request happened to start it. A new trace links to the requests.
    """

    __slots__ = ("_token", "_traceparents")

    def __init__(self, traceparents: Iterable[str | None]) -> None:
        """Work for requests that came with `traceparents`."""
        self._traceparents = list(traceparents)
        self._token: Token[Context] | None = None

    def __enter__(self) -> Self:
        """Enter the trace, or leave all."""
        shared = shared_parent(self._traceparents)
        if shared is not None:
            entered = context_with(NonRecordingSpan(shared))
        else:
            parsed = (parse_traceparent(traceparent) for traceparent in dict.fromkeys(self._traceparents))
            related = [span for span in parsed if span is not None and span.trace_flags.sampled]
            entered = context_with(INVALID_SPAN, related[:MOST_LINKS])
        self._token = otel_context.attach(entered)
        return self

    def __exit__(self, *_: object) -> None:
        """Go back to where it was."""
        if self._token is not None:
            otel_context.detach(self._token)
