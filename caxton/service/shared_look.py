"""One look into the store for all who wait for the same."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class SharedLook:
    """Looks once for all who have heard of a change before the look begins."""

    def __init__(self, look: Callable[[], Coroutine[Any, Any, None]], pause: float = 0.0) -> None:
        """Look by `look`; two looks begin `pause` seconds after one another at least."""
        self.changes = 1
        """How often something has changed, as far as is known here."""
        self._look = look
        self._pause = pause
        self._seen = 0
        """How many of the changes the last look has seen."""
        self.looked_at = float("-inf")
        """When the last look began, by the event loop's clock."""
        self._looking: asyncio.Task[None] | None = None

    def changed(self) -> int:
        """Counts a change; returns how many there are with it."""
        self.changes += 1
        return self.changes

    async def seen(self, changes: int) -> None:
        """Waits for a look that has seen so many changes.

        Raises:
            CaxtonError: what the look raised.
        """
        while self._seen < changes:
            if self._looking is None:
                self._looking = asyncio.create_task(self._run())
            await asyncio.shield(self._looking)  # others wait for it too

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        try:
            wait = self.looked_at + self._pause - clock()
            if wait > 0:
                await asyncio.sleep(wait)
            self.looked_at, changes = clock(), self.changes
            await self._look()
            self._seen = changes
        finally:
            self._looking = None
