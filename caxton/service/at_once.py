"""Limits of long operations per customer."""

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import contextmanager
from typing import Final

from caxton.domain.errors import Overloaded

RETRY_AFTER: Final = 5.0
"""Seconds after which it is worth asking again."""


class AtOnce:
    """Counts what each customer has in progress, and refuses more than so much."""

    def __init__(self, most: int, what: str) -> None:
        """Allow `most` of `what` (in the plural) at a time, a customer."""
        self._most = most
        self._what = what
        self._in_hand = Counter[str]()

    @contextmanager
    def one(self, customer: str) -> Generator[None]:
        """Has one in progress within the block.

        Raises:
            Overloaded: the customer has too many.
        """
        release = self._begin(customer)
        try:
            yield
        finally:
            release()

    def counted(self, customer: str, parts: AsyncGenerator[bytes]) -> AsyncIterator[bytes]:
        """`parts` of an answer, in progress until it has ended or nobody holds it.

        Raises:
            Overloaded: the customer has too many.
        """
        return _Counted(parts, self._begin(customer))

    def _begin(self, customer: str) -> Callable[[], None]:
        if self._in_hand[customer] >= self._most:
            raise Overloaded(
                f"so many {self._what} are in progress as a customer may have at a time: {self._most}",
                "wait until one of them has ended",
                retry_after=RETRY_AFTER,
            )
        self._in_hand[customer] += 1

        def release() -> None:
            self._in_hand[customer] -= 1
            if self._in_hand[customer] <= 0:
                del self._in_hand[customer]

        return release


class _Counted:
    """An iterator that says once that it has ended: by itself, by an error, or because it was dropped before it began."""

    def __init__(self, parts: AsyncGenerator[bytes], release: Callable[[], None]) -> None:
        self._parts = parts
        self._release: Callable[[], None] | None = release

    def __aiter__(self) -> "_Counted":
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._parts)
        except BaseException:
            self._end()
            raise

    async def aclose(self) -> None:
        """Ends it early."""
        self._end()
        await self._parts.aclose()

    def __del__(self) -> None:
        self._end()

    def _end(self) -> None:
        release, self._release = self._release, None
        if release is not None:
            release()
