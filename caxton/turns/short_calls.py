"""Calls of tools that a batch waits for: of functions that have neither taken long lately nor failed."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

LONG = 0.02
"""Seconds that a call may take; all calls that a batch waits for may not take longer, either."""

WALL_TIME = 0.1
"""Seconds after which a call in a batch is ended, whatever its tool's limits are: who makes it again grants it all of them."""

FUEL = 100_000_000
"""WebAssembly instructions after which the component of an agent is ended in a batch: about a tenth of a second of CPU."""

OF_AGENTS = 1.0
"""Seconds that a batch waits for components of agents: what they do not answer takes the workflow, at many times the work."""

AVOIDED_FOR = 1.0
"""Seconds for which a function is not called here after it took long; twice as many each time that it does so again."""

LONGEST = 60.0
"""Seconds, likewise, at most."""

CONCURRENCY = 4
"""Calls at the same time."""

MOST_REMEMBERED = 1_000
"""Functions that took long, and functions that did not."""

Function = tuple[str, str]
"""Digest of a tool and name of its function."""

Call = Callable[[], Awaitable[float | None]]
"""Makes a call. Returns how many seconds the call itself took, without those that it waited; None where only the clock tells."""

Known = TypeVar("Known")


@dataclass
class Timed:
    """A call that is being made."""

    seconds: float | None = None
    """What it took, when that is known better than by the clock; infinite for one that has failed."""


class ShortCalls:
    """Makes calls that are expected to be short."""

    def __init__(
        self,
        patience: float = LONG,
        wall_time: float = WALL_TIME,
        clock: Callable[[], float] = time.monotonic,
        of_agents: float = OF_AGENTS,
    ) -> None:
        """Begin with trust in all.

        Args:
            patience: seconds that a batch waits for its calls of tools.
            wall_time: seconds that each of those has.
            clock: measures both.
            of_agents: seconds that a batch waits for components of agents.
        """
        self.patience = patience
        self.of_agents = of_agents
        self.wall_time = wall_time
        self._clock = clock
        self._slots = asyncio.Semaphore(CONCURRENCY)
        self._in_hand: dict[Function, int] = {}
        self._short: dict[Function, None] = {}
        """Functions that were short when they were last called."""
        self._avoided: dict[Function, tuple[float, float]] = {}
        """Until when, and for how many seconds."""

    @property
    def in_hand(self) -> int:
        """How many calls have begun and not ended."""
        return sum(self._in_hand.values())

    def deadline(self) -> float:
        """The moment until which a batch that begins now waits for its calls."""
        return self._clock() + self.patience

    def expects(self, function: Function) -> bool:
        """Whether a call of `function` is expected to be short. One that nothing is known of is tried once at a time."""
        until, _ = self._avoided.get(function, (0.0, 0.0))
        return until <= self._clock() and (function in self._short or function not in self._in_hand)

    async def have_answer(self, function: Function, call: Call) -> bool:
        """Has the component of an agent answer; False if it is not asked, fails, or has not ended in time."""
        return await self.make([(function, call)], self._clock() + self.of_agents)

    async def make(self, calls: Sequence[tuple[Function, Call]], until: float) -> bool:
        """Makes `calls` side by side; False if one is not made, fails, or has not ended in time.

        Args:
            calls: what to call.
            until: the batch's :meth:`deadline`.
        """
        tasks = [asyncio.create_task(self._make(function, call, until)) for function, call in calls]
        # A call cannot be interrupted: one that takes too long goes on to its end, and nobody listens.
        done, _ = await asyncio.wait(tasks, timeout=max(0.0, until - self._clock()))
        return len(done) == len(tasks) and all(task.result() for task in tasks)

    async def _make(self, function: Function, call: Call, until: float) -> bool:
        async with self._slots:
            if self._clock() > until or not self.expects(function):
                return False
            with self.timing(function) as timed:
                try:
                    timed.seconds = await call()
                except Exception:
                    # Who makes the call again will meet it, and tell it. What that costs is spent twice, however soon it failed:
                    # a fast machine burns all of the fuel within a short call's time.
                    timed.seconds = math.inf
                    return False
        return True

    @contextmanager
    def timing(self, function: Function) -> Generator[Timed]:
        """Learns from a call of `function`, made inside, how long it takes."""
        began, timed = self._clock(), Timed()
        self._in_hand[function] = self._in_hand.get(function, 0) + 1
        try:
            yield timed
        finally:
            self._end(function)
            self._note(function, self._clock() - began if timed.seconds is None else timed.seconds)

    def _end(self, function: Function) -> None:
        self._in_hand[function] -= 1
        if not self._in_hand[function]:
            del self._in_hand[function]

    def _note(self, function: Function, took: float) -> None:
        now = self._clock()
        until, avoided_for = self._avoided.get(function, (0.0, AVOIDED_FOR / 2))
        if took <= self.patience:
            self._avoided.pop(function, None)
            _remember(self._short, function, None)
        elif until <= now:  # else another call of the same burst has told already
            self._short.pop(function, None)
            avoided_for = min(LONGEST, 2 * avoided_for)
            _remember(self._avoided, function, (now + avoided_for, avoided_for))


def _remember(known: dict[Function, Known], function: Function, what: Known) -> None:
    known.pop(function, None)
    if len(known) >= MOST_REMEMBERED:
        known.pop(next(iter(known)))
    known[function] = what
