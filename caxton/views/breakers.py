"""Circuit breakers."""

from datetime import UTC, datetime

from caxton.domain.breakers import Breaker, BreakerKind, BreakerState
from caxton.domain.quantities import format_duration
from caxton.views.view import View


class BreakerView(View):
    """A circuit breaker that is not closed, or has failures to remember."""

    kind: BreakerKind | str
    """agent, tool, or model: a provider of models."""
    name: str
    state: BreakerState | str
    since: datetime | None = None
    """When it came into its state."""
    failures: int = 0
    """In a row, or in the window of its settings."""
    calls: int = 0
    """In that window."""
    openings: int = 0
    """How often it has opened without a success between."""
    retry_after: float | None = None
    """Seconds until a call tries again."""
    last_error: str | None = None
    """Code of the last failure."""
    message: str = ""
    """The same for people."""


def breaker_view(breaker: Breaker, now: float) -> BreakerView:
    """How `breaker` is shown at a time, in seconds since the epoch."""
    left = max(0.0, breaker.retry_at - now) if breaker.state is BreakerState.OPEN else None
    return BreakerView(
        kind=breaker.kind,
        name=breaker.name,
        state=breaker.state,
        since=datetime.fromtimestamp(breaker.since, UTC) if breaker.since else None,
        failures=breaker.failures,
        calls=breaker.calls,
        openings=breaker.openings,
        retry_after=None if left is None else round(left, 3),
        last_error=breaker.code,
        message=_message(breaker, left),
    )


def _message(breaker: Breaker, left: float | None) -> str:
    """What the event model has a user told (CircuitBreakerStates)."""
    if breaker.state is BreakerState.OPEN:
        when = f"retrying in {format_duration(left)}" if left else "the next call tries again"
        return f"temporarily unavailable; {when}"
    if breaker.state is BreakerState.HALF_OPEN:
        return "testing whether it works again"
    return "takes work"
