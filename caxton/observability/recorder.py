"""Where spans are made, while they have somewhere to go."""

from collections.abc import Sequence
from typing import Protocol

from opentelemetry.trace import Link, Span, SpanContext, SpanKind
from opentelemetry.util.types import AttributeValue

from caxton.domain.errors import CaxtonError
from caxton.observability.trace_context import related_spans

Attributes = dict[str, AttributeValue]


class Recorder(Protocol):
    """Makes spans."""

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
        """Starts a span.

        Args:
            name: what is done, of few distinct values.
            kind: its part in a call between processes.
            attributes: facts; never what a user wrote.
            parent: the span that it belongs to; None begins a trace.
            links: spans of other traces that it has to do with.
            span_id: its id, where others refer to it before it is made.
            start_ns: when it began, in nanoseconds since the epoch; now if None.
        """
        ...


_recorder: Recorder | None = None


def recorder() -> Recorder | None:
    """What makes spans; None while they have nowhere to go."""
    return _recorder


def use_recorder(new: Recorder | None) -> None:
    """Makes spans with `new` from now on."""
    global _recorder
    _recorder = new


def is_sampled(parent: SpanContext | None) -> bool:
    """Whether a span below `parent` may be recorded; one that begins a trace may."""
    return parent is None or not parent.is_valid or bool(parent.trace_flags.sampled)


def links_of_context() -> list[Link]:
    """Links for a span that begins now: from a batch to its requests, or from a request to its batch."""
    return [Link(span) for span in related_spans()]


def error_type(error: BaseException) -> str:
    """What `error.type` says of an error: the code of ours, the class of others."""
    return error.code if isinstance(error, CaxtonError) else type(error).__qualname__
