"""Who is let in: so many requests at a time that each is answered soon, and the rest is told to come again.

By Little's law a request stays as long as it takes to answer all that are here: their number divided by the rate of answers.
So the number is held at what was lately answered in :data:`STAY` seconds. More of them would be answered no faster.
"""

import time
from collections import Counter
from collections.abc import Callable

from caxton.domain.errors import Overloaded

STAY = 0.2
"""Seconds that requests should stay at the most, when more come than can be answered."""

FEWEST = 100
"""Requests that are let in at the same time however slow it goes: fewer would make small batches, which cost more each."""

FIRST_RATE = 1_000.0
"""Answers a second that are expected of a server that has shown nothing yet: so a burst finds it open."""

INTERVAL = 0.25
"""Seconds over which answers are counted."""


def full() -> Overloaded:
    """What a request is told that is not let in: the same each time, so that it can be told quickly."""
    return Overloaded("more requests are being answered than can be answered soon", "try again", retry_after=1.0)


class Admission:
    """Counts requests that are here, by customer, and refuses new ones when there are too many."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Let in `most` at the same time at the very most."""
        self.most = most
        self.here = 0
        self._clock = clock
        self._of: Counter[str] = Counter()
        self._rate = FIRST_RATE
        self._answered = 0
        self._since = clock()

    @property
    def limit(self) -> int:
        """How many may be here now."""
        return min(self.most, max(FEWEST, int(self._rate * STAY)))

    def check(self, customer: str) -> None:
        """Lets a request in, or refuses it.

        Who has less than an equal share of the places gets one, also when others have taken them all: nobody's flood keeps
        another customer out.

        Raises:
            Overloaded: there are too many.
        """
        if self.here < self.limit:
            return
        share = self.limit / (len(self._of) + (customer not in self._of))
        if self._of[customer] < share and self.here < self.most:
            return
        raise full()

    def enter(self, customer: str) -> None:
        """A request is here."""
        if self.here == 0:  # the time in which nobody was here says nothing
            self._answered, self._since = 0, self._clock()
        self.here += 1
        self._of[customer] += 1

    def leave(self, customer: str) -> None:
        """A request was answered."""
        self.here -= 1
        self._of[customer] -= 1
        if not self._of[customer]:
            del self._of[customer]
        self._answered += 1
        passed = self._clock() - self._since
        if passed >= INTERVAL:
            # Quickly up and slowly down, and down only while requests stay too long: where few are here, few were asked, which
            # says nothing about how many could be answered.
            measured = self._answered / passed
            if self.here > measured * STAY:
                self._rate = max(measured, 0.9 * self._rate)
            self._rate = max(measured, self._rate)
            self._answered, self._since = 0, self._clock()
