"""Requests in progress: streams and waiting requests of one customer leave room for those of others.

Each holds a connection, for as long as its client likes. The more are held, the fewer one customer may have: some times what is
left, so that something is always left, and one customer alone may have most of them.
"""

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

from caxton.domain.errors import Overloaded

TIMES_WHAT_IS_LEFT = 3
"""How many a customer may have for each one that nobody has: three quarters of all where nobody else has any."""


class InProgress:
    """Counts requests of customers, from their admission to the end of their answers."""

    def __init__(self, most: int) -> None:
        """Divide `most`: as many as connections may be open."""
        self._left = most
        self._of = Counter[str]()

    @contextmanager
    def one(self, customer: str) -> Generator[None]:
        """Has one in progress within the block.

        Raises:
            Overloaded: the customer has so many that others would find no room.
        """
        if self._of[customer] >= TIMES_WHAT_IS_LEFT * self._left:
            raise Overloaded(
                "more requests of this customer are in progress than leave room for others",
                "end streams that nobody reads; an operator can raise connections in [server] of caxton.toml",
                retry_after=1.0,
            )
        self._left -= 1
        self._of[customer] += 1
        try:
            yield
        finally:
            self._left += 1
            self._of[customer] -= 1
            if not self._of[customer]:
                del self._of[customer]
