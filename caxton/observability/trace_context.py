"""Which trace the running code belongs to: W3C trace context in, out and through batches.

Temporal batches carry steps of many requests, each with a trace of its own. So a request takes its trace with it, as a
`traceparent`, and whatever works for it enters that trace with :func:`in_trace`.
"""

import random
import re
from collections.abc import Iterable, Mapping
from contextvars import Token
from typing import Self

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)

# https://www.w3.org/TR/trace-context/#traceparent-header; later versions may append fields, version ff is forbidden.
_TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")

_BATCH = otel_context.create_key("caxton-batch")
"""Context key: the span of the batch in which a request is worked on, for spans of the request to link to."""


def current_trace() -> tuple[str | None, str | None]:
    """Trace id and span id of the running code, in hex; (None, None) outside of any trace."""
    found = get_current_span().get_span_context()
    if not found.is_valid:
        return None, None
    return f"{found.trace_id:032x}", f"{found.span_id:016x}"


def current_traceparent() -> str | None:
    """What a request takes along to stay in the present trace."""
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
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 1:02x}"


def new_span_context(parent: SpanContext | None) -> SpanContext:
    """A span that nobody records: it only gives logs, messages and events ids to be found by."""
    return SpanContext(
        trace_id=parent.trace_id if parent else random.getrandbits(128) or 1,
        span_id=random.getrandbits(64) or 1,
        is_remote=False,
        trace_flags=TraceFlags(TraceFlags.DEFAULT),
    )


def batch_links() -> list[Link]:
    """A link to the batch in which the running code's request is worked on, if that is in another trace."""
    batch = otel_context.get_value(_BATCH)
    return [Link(batch)] if isinstance(batch, SpanContext) else []


class in_trace:  # noqa: N801 - a context manager that reads as a phrase
    """Runs its body in the trace of a request, unless it runs there already: then the nearer parent stays.

    A request without a trace of its own leaves things as they are.
    """

    __slots__ = ("_token", "_traceparent")

    def __init__(self, traceparent: str | None) -> None:
        """Enter the trace that `traceparent` names."""
        self._traceparent = traceparent
        self._token: Token[Context] | None = None

    def __enter__(self) -> Self:
        """Enter it."""
        remote = parse_traceparent(self._traceparent)
        if remote is None:
            return self
        current = get_current_span().get_span_context()
        if current.trace_id == remote.trace_id:
            return self
        entered = set_span_in_context(NonRecordingSpan(remote))
        if current.is_valid and current.trace_flags.sampled:
            entered = otel_context.set_value(_BATCH, current, entered)
        self._token = otel_context.attach(entered)
        return self

    def __exit__(self, *_: object) -> None:
        """Go back to where it was."""
        if self._token is not None:
            otel_context.detach(self._token)


class in_trace_of_batch:  # noqa: N801
    """Runs its body, which works for several requests at once, in their trace if they share one, else in none.

    Without it, a batch would count as work for whichever request happened to start it.
    """

    __slots__ = ("_token", "_traceparents")

    def __init__(self, traceparents: Iterable[str | None]) -> None:
        """Work for requests that came with `traceparents`."""
        self._traceparents = traceparents
        self._token: Token[Context] | None = None

    def __enter__(self) -> Self:
        """Enter the trace, or leave all."""
        shared = shared_parent(self._traceparents)
        span = NonRecordingSpan(shared) if shared else INVALID_SPAN
        self._token = otel_context.attach(set_span_in_context(span))
        return self

    def __exit__(self, *_: object) -> None:
        """Go back to where it was."""
        if self._token is not None:
            otel_context.detach(self._token)


def shared_parent(traceparents: Iterable[str | None]) -> SpanContext | None:
    """The span to work under for several requests: that of the first if all are in one trace, else none."""
    first: SpanContext | None = None
    for traceparent in set(traceparents):
        parsed = parse_traceparent(traceparent)
        if parsed is None or (first is not None and first.trace_id != parsed.trace_id):
            return None
        first = first or parsed
    return first
