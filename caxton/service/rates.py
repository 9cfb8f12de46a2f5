"""How many requests a key may make: a token bucket each, in each process that answers."""

import asyncio

from caxton.domain.buckets import TokenBucket
from caxton.domain.errors import RateLimited
from caxton.domain.quantities import LEAST_RATE
from caxton.service.context import Caller

MOST = 10_000

BURST = 2.0
"""Seconds of its rate that a key may save up, unless settings say otherwise."""


class Rates:
    """Counts requests by key."""

    def __init__(self, rate: float | None, burst: int | None) -> None:
        """Allow keys that have no rate of their own `rate` requests a second (None: any number), and `burst` at once."""
        self._rate, self._burst = rate, burst
        self._buckets: dict[str, TokenBucket] = {}

    def take(self, caller: Caller) -> TokenBucket | None:
        """Counts a request of the caller. Returns its bucket, or None if nothing limits it.

        Raises:
            RateLimited: it has made too many.
        """
        bucket = self._bucket(caller)
        if bucket is not None and not bucket.take():
            raise self._too_many(caller, bucket, bucket.wait)
        return bucket

    def check_batch(self, caller: Caller, count: int, longest: float) -> None:
        """Refuses a batch that would last longer than `longest` seconds at the rate of its key.

        Raises:
            RateLimited: so many requests would.
        """
        bucket = self._bucket(caller)
        if bucket is not None and (wait := (count - bucket.left) / bucket.rate) > longest:
            raise self._too_many(caller, bucket, min(wait - longest, bucket.burst / bucket.rate))

    async def pace(self, caller: Caller) -> None:
        """Waits until the caller may make one more request, and counts it."""
        bucket = self._bucket(caller)
        while bucket is not None and not bucket.take():
            await asyncio.sleep(max(0.001, bucket.wait))

    def _bucket(self, caller: Caller) -> TokenBucket | None:
        rate = caller.rate or self._rate
        if rate is None:
            return None
        rate = max(rate, LEAST_RATE)
        bucket = self._buckets.get(caller.key_id)
        if bucket is None or bucket.rate != rate:
            if len(self._buckets) >= MOST:
                self._buckets.clear()
            burst = self._burst if self._burst and not caller.rate else max(1.0, BURST * rate)
            bucket = self._buckets[caller.key_id] = TokenBucket(rate, burst)
        return bucket

    def _too_many(self, caller: Caller, bucket: TokenBucket, wait: float) -> RateLimited:
        return RateLimited(
            f'the key "{caller.name}" may make {bucket.rate:g} requests a second',
            "send fewer, or ask an administrator for a key with a higher rate",
            retry_after=wait,
            details={"rate": bucket.rate, "burst": bucket.burst},
        )


def rate_headers(bucket: TokenBucket) -> list[tuple[bytes, bytes]]:
    """What a response says of a bucket (draft-ietf-httpapi-ratelimit-headers)."""
    window = max(1, round(bucket.burst / bucket.rate))
    left = max(0, int(bucket.left))
    full = max(0, round((bucket.burst - bucket.left) / bucket.rate))
    return [
        (b"ratelimit-policy", f'"key";q={int(bucket.burst)};w={window}'.encode()),
        (b"ratelimit", f'"key";r={left};t={full}'.encode()),
    ]
