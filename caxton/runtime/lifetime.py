"""Background work of a server's process, from start to stop."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

_logger = logging.getLogger(__name__)


class Lifetime:
    """Tasks and parts of a server, to be stopped in the reverse of the order in which they were started."""

    def __init__(self) -> None:
        """Nothing runs yet. Made in the event loop that all of it runs in."""
        self._stack = AsyncExitStack()
        self._background = set[asyncio.Task[Any]]()
        self._lasting = set[asyncio.Task[Any]]()
        """The event loop does not keep tasks, so these are kept here."""
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Has the exception of the first task that failed."""

    def background(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Runs `work` until the server begins to stop; its failure stops the server."""
        task = self.lasting(work)
        self._background.add(task)
        return task

    def lasting(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Runs `work`, which one of the stops ends: what is in progress when the server stops needs it."""
        task = asyncio.create_task(work)
        self._lasting.add(task)
        task.add_done_callback(self._ended)
        return task

    def on_stop(self, name: str, stop: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Calls `stop` when the server stops, before all that was started earlier is stopped.

        A part that cannot be stopped is told in the log under its `name`, and keeps none of the others from being stopped.
        """

        async def stop_and_tell() -> None:
            try:
                await stop()
            except Exception as error:
                _logger.exception("%s could not be stopped: %s", name, type(error).__name__)

        self._stack.push_async_callback(stop_and_tell)

    async def stop(self) -> None:
        """Stops everything, last started first."""
        for task in self._background:
            task.cancel()
        await self._stack.aclose()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        self._lasting.discard(task)
        if task.cancelled() or (error := task.exception()) is None or self.failed.done():
            return
        self.failed.set_exception(error)
