"""What providers say of their rate limits, kept ahead of a refusal.

A call begins when the provider has room for it, as far as its last answers tell. Each model at each provider has limits of its
own.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal

from caxton.domain.errors import ModelRateLimited

Resource = Literal["requests", "tokens"]

LONGEST_WINDOW = 3600.0
"""Seconds. What a provider says of times further away is not believed."""

LOOK_AGAIN = 0.5
"""Seconds after which who waits looks again: another call's answer may have said better."""

REFUSALS = (429, 503, 529)
"""Statuses whose `retry-after` holds for all calls."""

_NAMES: tuple[tuple[Resource, str, str, str], ...] = (
    ("requests", "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("tokens", "x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    (
        "requests",
        "anthropic-ratelimit-requests-limit",
        "anthropic-ratelimit-requests-remaining",
        "anthropic-ratelimit-requests-reset",
    ),
    (
        "tokens",
        "anthropic-ratelimit-tokens-limit",
        "anthropic-ratelimit-tokens-remaining",
        "anthropic-ratelimit-tokens-reset",
    ),
    (
        "tokens",
        "anthropic-ratelimit-input-tokens-limit",
        "anthropic-ratelimit-input-tokens-remaining",
        "anthropic-ratelimit-input-tokens-reset",
    ),
    ("requests", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"),
    ("requests", "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"),
)

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


@dataclass
class Window:
    """What is left of one limit, until it is whole again."""

    resource: Resource
    limit: float | None
    remaining: float
    resets_at: float
    """By the monotonic clock."""
    as_of: int
    """The call whose answer said so: later ones are not in it."""


@dataclass
class Governor:
    """Lets calls of one model begin when its provider has room for them."""

    model: str
    patience: float
    """Seconds that a call waits at most."""
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    windows: dict[str, Window] = field(default_factory=dict[str, Window])
    blocked_until: float = 0.0
    begun: int = 0
    tokens_a_call: float = 0.0
    """What calls have used of late."""

    async def admit(self) -> tuple[int, float]:
        """Waits until a call may begin. Returns its number, and the seconds that it waited.

        Raises:
            ModelRateLimited: that would take longer than anybody has patience for.
        """
        began = self.clock()
        while True:
            now = self.clock()
            wait = self.wait(now)
            if wait <= 0:
                self.begun += 1
                return self.begun, now - began
            if now - began + wait > self.patience:
                raise ModelRateLimited(
                    f"the provider of {self.model} has no room for another request for {wait:.0f} s",
                    "spread the work, ask the provider for more, or raise rate_limit_wait in [models]",
                    details={"model": self.model, "limit": "rate_limit_wait", "value": self.patience},
                    retry_after=wait,
                )
            await self.sleep(min(wait, LOOK_AGAIN))

    def wait(self, now: float) -> float:
        """Seconds until a call may begin, as things stand."""
        longest = self.blocked_until - now
        for name, window in list(self.windows.items()):
            if window.resets_at <= now:
                self._renew(name, window, now)
                continue
            each = 1.0 if window.resource == "requests" else self.tokens_a_call
            left = window.remaining - (self.begun - window.as_of) * each
            if left < each or left <= 0:
                longest = max(longest, window.resets_at - now)
        return longest

    def _renew(self, name: str, window: Window, now: float) -> None:
        """A limit is whole again: what it is has been said, and how long it holds has not."""
        if window.limit is None:
            del self.windows[name]
            return
        window.remaining, window.as_of, window.resets_at = window.limit, self.begun, now + 1.0

    def heard(self, number: int, status: int | None, headers: Mapping[str, str], tokens: int | None) -> None:
        """Takes what the answer to call `number` says."""
        now = self.clock()
        if tokens:
            self.tokens_a_call = tokens if not self.tokens_a_call else 0.8 * self.tokens_a_call + 0.2 * tokens
        if status in REFUSALS:
            pause = retry_after(headers)
            if pause is not None:
                self.blocked_until = max(self.blocked_until, now + pause)
        for resource, limit, remaining, reset in _NAMES:
            left, until = _number(headers.get(remaining)), duration(headers.get(reset))
            known = self.windows.get(remaining)
            if left is None or until is None or (known is not None and known.as_of > number):
                continue
            self.windows[remaining] = Window(resource, _number(headers.get(limit)), left, now + until, number)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that a provider asks for before another try."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return min(milliseconds / 1000, LONGEST_WINDOW)
    given = headers.get("retry-after")
    if given is None:
        return None
    seconds = _number(given)
    if seconds is None:
        try:
            seconds = (parsedate_to_datetime(given) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return min(max(0.0, seconds), LONGEST_WINDOW)


def duration(text: str | None) -> float | None:
    """Seconds until a limit is whole again: of "6m0s", "20ms", "1.5", a time since 1970, or one with a date."""
    if not text:
        return None
    text = text.strip()
    seconds = _number(text)
    if seconds is not None:
        if seconds > 1e11:  # milliseconds since 1970
            seconds /= 1000
        if seconds > 1e9:
            seconds -= time.time()
    elif _PART.sub("", text) == "":
        seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    else:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return None
        seconds = (moment - datetime.now(moment.tzinfo or UTC).replace(tzinfo=moment.tzinfo)).total_seconds()
    return seconds if 0 <= seconds <= LONGEST_WINDOW else (0.0 if seconds < 0 else None)


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text is not None and len(text) < 32 else None
    except ValueError:
        return None
    return number if number is not None and 0 <= number < 1e15 else None
