"""Circuit breakers: what keeps failing rests for a while, so that work goes elsewhere and nobody waits for it in vain.

Each agent, tool server and model provider of a workspace has one. It is *closed* while all is well. After too many failures it
*opens*: work is refused, or goes to others. When it has rested, it is *half-open*: one call at a time tries whether it works
again. A call that does closes it; one that fails opens it for twice as long.

Pure: what a breaker becomes, given what calls came to. Times are seconds since the epoch. Thresholds as in Envoy's outlier
detection (consecutive failures) and Polly's and resilience4j's breakers (a rate over a sliding window, with a minimum).
"""

from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from caxton.domain.quantities import Duration

BUCKETS = 10
"""Parts of a window: it slides by a tenth of itself."""

LONGEST_PROBE = 60.0
"""Seconds after which another call may try, when the one that tries comes to no end."""

ONE_AT_A_TIME = 1.0
"""Seconds after which to ask again while another call tries; later as long as that has tried so far."""

LONGEST_PAUSE = 10.0
"""But no longer than so many seconds."""


class BreakerKind(StrEnum):
    """What has a breaker."""

    AGENT = "agent"
    TOOL = "tool"
    MODEL = "model"
    """A provider of models."""
    VIOLATIONS = "limits"
    """A tool's violations of its limits and of its manifest: what it opens into is quarantine."""


class BreakerState(StrEnum):
    """States of a breaker (event model 2.0, CircuitBreakerStates)."""

    CLOSED = "Closed"
    OPEN = "Open"
    HALF_OPEN = "HalfOpen"


class BreakerSettings(BaseModel):
    """`[breaker]` of an agent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(default=True, description="Whether failures may open it at all.")
    failures: int = Field(default=5, ge=1, le=10_000, description="Failures in a row that open it.")
    rate: float = Field(
        default=0.5, gt=0, le=1, description="Share of the calls in `window` that open it when they fail, such as 0.5."
    )
    minimum: int = Field(
        default=20, ge=1, le=100_000, description="Calls that `window` needs at least before the rate counts."
    )
    window: Duration = Field(
        default=60.0, ge=1, le=3600, description='Time over which the rate is counted, such as "60s".'
    )
    open_for: Duration = Field(
        default=10.0,
        ge=0.1,
        le=3600,
        description='How long it rests before a call tries again, such as "10s"; twice as long after each try that fails.',
    )
    longest: Duration = Field(default=300.0, ge=0.1, le=86_400, description='Longest rest, such as "5m".')

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.longest < self.open_for:
            raise ValueError("longest is at least as long as open_for")
        return self

    def rest(self, openings: int) -> float:
        """Seconds that it rests after it has opened so often in a row."""
        return min(self.longest, self.open_for * 2.0 ** min(openings - 1, 30))


class ToolBreakerSettings(BreakerSettings):
    """`[breaker]` of a tool.toml: a call that fails is made twice."""

    failures: int = Field(default=10, ge=1, le=10_000, description="Failures in a row that open it.")


class ProviderBreakerSettings(BreakerSettings):
    """`[breaker]` of a caxton.toml, for providers of models: a single turn may fail five times with one."""

    failures: int = Field(default=10, ge=1, le=10_000, description="Failures in a row that open it.")


class Calls(BaseModel):
    """What calls came to, since that was last told."""

    earlier: int = 0
    """Successes from before the first failure, which count for the rate."""
    succeeded: int = 0
    failed: int = 0
    in_a_row: int = 0
    """Failures behind the last success."""
    code: str | None = None
    """Of the last failure."""
    ended: dict[str, bool | None] = {}
    """By the names of calls that may be tries: whether they worked. None: they say nothing of it."""

    def add(self, by: str, ok: bool | None, code: str | None = None) -> None:
        """Counts one more call."""
        if ok:
            self.succeeded += 1
            self.in_a_row = 0
        elif ok is False:
            self.failed += 1
            self.in_a_row += 1
            self.code = code
        self.ended[by] = ok
        if len(self.ended) > 1_000:
            del self.ended[next(iter(self.ended))]


class Breaker(BaseModel):
    """One breaker. Immutable: what happens makes another one."""

    model_config = ConfigDict(frozen=True)

    kind: BreakerKind
    name: str
    state: BreakerState = BreakerState.CLOSED
    since: float = 0.0
    """When it came into its state."""
    in_a_row: int = 0
    """Failures behind the last success."""
    buckets: tuple[tuple[float, int, int], ...] = ()
    """Parts of the window in which there were calls: when they begin, calls, failures."""
    openings: int = 0
    """How often it has opened without a success between."""
    retry_at: float = 0.0
    """When it has rested."""
    probe: str | None = None
    """The call that tries, while it is half-open."""
    probe_until: float = 0.0
    """When another one may try, should that come to no end."""
    code: str | None = None
    """Of the last failure."""

    @property
    def subject(self) -> str:
        """What it stands for, in words."""
        return subject(self.kind, self.name)

    @property
    def is_closed(self) -> bool:
        """Whether all calls may go."""
        return self.state is BreakerState.CLOSED

    @property
    def failures(self) -> int:
        """Failures in the window, or in a row where that is more."""
        return max(self.in_a_row, sum(failed for _, _, failed in self.buckets))

    @property
    def calls(self) -> int:
        """Calls in the window."""
        return sum(calls for _, calls, _ in self.buckets)

    def wait(self, now: float, by: str) -> float | None:
        """Seconds after which `by` should ask again; 0 if it may try now; None if calls may go, or it tries already."""
        if self.is_closed or (self.state is BreakerState.HALF_OPEN and self.probe == by):
            return None
        if self.state is BreakerState.OPEN:
            return max(0.0, self.retry_at - now)
        if self.probe is None or now >= self.probe_until:
            return 0.0
        return min(max(ONE_AT_A_TIME, now - (self.probe_until - LONGEST_PROBE)), LONGEST_PAUSE)

    def is_forgotten(self, settings: BreakerSettings, now: float) -> bool:
        """Whether nothing of it matters any more."""
        return self.is_closed and not self.in_a_row and not any(failed for *_, failed in self._kept(settings, now))

    def after(self, calls: Calls, settings: BreakerSettings, now: float) -> "Breaker":
        """What it is after `calls`."""
        if self.state is BreakerState.OPEN:
            return self  # calls that began before it opened say nothing new
        if self.state is BreakerState.HALF_OPEN:
            return self._after_probe(calls, settings, now)
        counted = self.model_copy(
            update={
                "buckets": self._with(calls, settings, now),
                "in_a_row": calls.in_a_row + (0 if calls.succeeded else self.in_a_row),
                "code": calls.code or self.code,
                "since": self.since or now,
            }
        )
        # A success opens nothing, not even the one with which there are enough calls for the rate.
        return counted.opened(settings, now) if calls.failed and counted._has_too_many(settings) else counted

    def opened(self, settings: BreakerSettings, now: float) -> "Breaker":
        """Open."""
        openings = self.openings + 1
        return self.model_copy(
            update={
                "state": BreakerState.OPEN,
                "since": now,
                "openings": openings,
                "retry_at": now + settings.rest(openings),
                "probe": None,
                "probe_until": 0.0,
            }
        )

    def tried(self, by: str, now: float) -> "Breaker":
        """Half-open: `by` tries."""
        since = self.since if self.state is BreakerState.HALF_OPEN else now
        return self.model_copy(
            update={
                "state": BreakerState.HALF_OPEN,
                "since": since,
                "probe": by,
                "probe_until": now + LONGEST_PROBE,
            }
        )

    def closed(self, now: float) -> "Breaker":
        """Closed, and nothing held against it."""
        return Breaker(kind=self.kind, name=self.name, since=now)

    def _after_probe(self, calls: Calls, settings: BreakerSettings, now: float) -> "Breaker":
        if self.probe is None or self.probe not in calls.ended:
            return self
        worked = calls.ended[self.probe]
        if worked:
            return self.closed(now)
        if worked is False:
            return self.model_copy(update={"code": calls.code or self.code}).opened(settings, now)
        return self.model_copy(update={"probe": None, "probe_until": 0.0})

    def _has_too_many(self, settings: BreakerSettings) -> bool:
        if not settings.enabled:
            return False
        calls, failed = self.calls, sum(failed for *_, failed in self.buckets)
        return self.in_a_row >= settings.failures or (calls >= settings.minimum and failed >= settings.rate * calls)

    def _with(self, calls: Calls, settings: BreakerSettings, now: float) -> tuple[tuple[float, int, int], ...]:
        width = settings.window / BUCKETS
        begins, kept = now - now % width, self._kept(settings, now)
        more, failed = calls.earlier + calls.succeeded + calls.failed, calls.failed
        if kept and kept[-1][0] >= begins:
            before = kept.pop()
            begins, more, failed = before[0], more + before[1], failed + before[2]
        return (*kept, (begins, more, failed)) if more else tuple(kept)

    def _kept(self, settings: BreakerSettings, now: float) -> list[tuple[float, int, int]]:
        return [bucket for bucket in self.buckets if bucket[0] > now - settings.window]


def subject(kind: BreakerKind, name: str) -> str:
    """What a breaker stands for, in words."""
    return f'model provider "{name}"' if kind is BreakerKind.MODEL else f'{kind} "{name}"'
