"""A lock for which whoever asks often does not keep others waiting."""

import asyncio
from collections.abc import AsyncGenerator, Hashable
from contextlib import asynccontextmanager

from caxton.domain.fair_queue import FairQueue


class FairLock:
    """One task holds it at a time. Of those that wait each kind has its turn."""

    def __init__(self, rest: float = 0.0) -> None:
        """Begin free.

        Args:
            rest: seconds after one that held it longer than that, in which the loop does what else there is to do.
        """
        self._rest = rest
        self._held = False
        self._waiting = FairQueue[asyncio.Future[None]]()

    @asynccontextmanager
    async def turn(self, kind: Hashable) -> AsyncGenerator[None]:
        """Holds it within the block, after having waited for it."""
        await self.acquire(kind)
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            yield
        finally:
            if self._rest and loop.time() - began > self._rest:
                loop.call_later(self._rest, self.release)
            else:
                self.release()

    async def acquire(self, kind: Hashable) -> None:
        """Waits for it, and holds it until :meth:`release`."""
        if not self._held:
            self._held = True
            return
        mine = asyncio.get_running_loop().create_future()
        self._waiting.put(kind, mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():  # it was this one's turn already
                self.release()
            raise

    def release(self) -> None:
        """Gives it to the next."""
        while self._waiting:
            following = self._waiting.take()
            if not following.done():
                following.set_result(None)
                return
        self._held = False
