"""Token buckets: so much a second, and some of it saved up for a burst."""

import time
from collections import OrderedDict
from collections.abc import Callable


class TokenBucket:
    """Holds up to `burst` tokens; `rate` a second are added."""

    __slots__ = ("_at", "_clock", "_tokens", "burst", "rate")

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin full."""
        self.rate, self.burst = rate, burst
        self._clock, self._tokens, self._at = clock, burst, clock()

    @property
    def left(self) -> float:
        """Tokens that are there now; below zero where more were taken than there were."""
        now = self._clock()
        self._tokens = min(self.burst, self._tokens + (now - self._at) * self.rate)
        self._at = now
        return self._tokens

    def take(self, count: float = 1.0) -> bool:
        """Takes `count` tokens if there is one, and may then owe the rest; False if there is none."""
        if self.left < 1.0:
            return False
        self._tokens -= count
        return True

    @property
    def wait(self) -> float:
        """Seconds until there is a token."""
        return max(0.0, (1.0 - self.left) / self.rate)


class Buckets:
    """A bucket for each name, for a bounded number of names: whoever was not seen for long starts over."""

    def __init__(self, rate: float, burst: float, most: int) -> None:
        """Make buckets of this kind, `most` at the same time."""
        self.rate, self.burst, self.most = rate, burst, most
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def __getitem__(self, name: str) -> TokenBucket:
        found = self._buckets.get(name)
        if found is None:
            found = self._buckets[name] = TokenBucket(self.rate, self.burst)
            if len(self._buckets) > self.most:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(name)
        return found
