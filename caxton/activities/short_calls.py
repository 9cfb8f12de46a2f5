"""Calls of tools that a batch waits for: of functions that have not taken long lately."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

LONG = 0.02
"""Seconds that a call may take; all calls that a batch waits for may not take longer, either."""

AVOIDED_FOR = 1.0
"""Seconds for which a function is not called here after a call took long; twice as many after each further one."""

LONGEST = 60.0
"""Seconds, likewise, at the most."""

MOST_IN_HAND = 8
"""Calls in hand at the most: whoever comes later would wait for them."""

MOST_REMEMBERED = 1_000
"""Functions that took long."""

Function = tuple[str, str]
"""Digest of a tool and name of its function."""

Call = Callable[[], Awaitable[None]]


class ShortCalls:
    """Makes calls that are expected to be short."""

    def __init__(self, patience: float = LONG, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with trust in all, and wait `patience` seconds for the calls of a batch."""
        self.patience = patience
        self._clock = clock
        self.in_hand = 0
        self._avoided: dict[Function, tuple[float, float]] = {}
        """Until when, and for how many seconds."""

    def deadline(self) -> float:
        """The moment until which a batch that begins now waits for its calls."""
        return self._clock() + self.patience

    def expects(self, function: Function) -> bool:
        """Whether a call of `function` is expected to be short."""
        until, _ = self._avoided.get(function, (0.0, 0.0))
        return self.in_hand < MOST_IN_HAND and until <= self._clock()

    async def make(self, calls: Sequence[tuple[Function, Call]], until: float) -> bool:
        """Makes `calls` side by side; False if one fails, or has not ended in time.

        Args:
            calls: what to call.
            until: the batch's :meth:`deadline`.
        """
        tasks = [asyncio.create_task(self._make(function, call)) for function, call in calls]
        # A call cannot be interrupted: one that takes too long goes on to its end, and nobody listens.
        done, _ = await asyncio.wait(tasks, timeout=max(0.0, until - self._clock()))
        return len(done) == len(tasks) and all(task.result() for task in tasks)

    async def _make(self, function: Function, call: Call) -> bool:
        began = self._clock()
        self.in_hand += 1
        try:
            await call()
        except Exception:
            return False  # who makes the call again will meet it, and tell it
        finally:
            self.in_hand -= 1
            self._note(function, self._clock() - began)
        return True

    def _note(self, function: Function, took: float) -> None:
        _, avoided_for = self._avoided.pop(function, (0.0, AVOIDED_FOR / 2))
        if took <= self.patience:
            return
        if len(self._avoided) >= MOST_REMEMBERED:
            self._avoided.pop(next(iter(self._avoided)))
        avoided_for = min(LONGEST, 2 * avoided_for)
        self._avoided[function] = self._clock() + avoided_for, avoided_for
