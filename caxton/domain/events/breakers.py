"""Circuit breakers (Caxton event model, CircuitBreakerManagement and CircuitBreakerStates)."""

from typing import ClassVar, Literal

from caxton.domain.events.payload import Category, Payload


class BreakerEvent(Payload):
    """What became of a circuit breaker."""

    category: ClassVar[Category] = "routing"
    subject: str
    """What it stands for, in words."""
    kind: str = ""
    """agent, tool or model (a provider of models)."""
    name: str = ""


class CircuitBreakerOpened(BreakerEvent):
    """A circuit breaker opened: requests to a subject that keeps failing are refused for a while."""

    sentence: ClassVar[str] = "{subject} keeps failing: its circuit breaker is open; retrying in {retry_after_s} s"
    failures: int
    calls: int = 0
    """In the window of its settings; 0 where only failures in a row were counted."""
    openings: int = 1
    """How often it has opened without a success between."""
    retry_after_s: float
    reason: str = ""
    """Code of the last failure."""


class CircuitBreakerHalfOpened(BreakerEvent):
    """A circuit breaker is half open: one request at a time tries whether its subject works again."""

    sentence: ClassVar[str] = "testing whether {subject} works again"


class CircuitBreakerClosed(BreakerEvent):
    """A circuit breaker closed: its subject works again."""

    sentence: ClassVar[str] = "{subject} takes work again ({reason})"
    reason: Literal["recovered", "reset", "deployed"] = "recovered"
    rested_s: float | None = None
    """Seconds for which it took no work but tries, the last time."""
