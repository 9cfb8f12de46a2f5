"""An event loop of its own, on a thread of its own."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


class LoopThread:
    """Runs coroutines for other threads. It begins with the first of them."""

    def __init__(self, name: str) -> None:
        """Prepare it; no thread is there before it is needed."""
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def began(self) -> bool:
        """Whether it has run anything."""
        return self._loop is not None

    async def run(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Has the coroutine that `make` makes run there. Whoever is cancelled while waiting cancels it."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(make(), self._started()))

    def close(self, last: Callable[[], Coroutine[Any, Any, None]], patience: float) -> None:
        """Runs `last`, for so many seconds at most, and ends the thread. Blocks; nothing runs there afterwards."""
        with self._lock:
            self._closed = True
            loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        with suppress(TimeoutError, CancelledError):
            asyncio.run_coroutine_threadsafe(last(), loop).result(patience)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(patience)

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._closed:
                raise asyncio.CancelledError
            if self._loop is None:
                # Not that of uvloop: the SDK's task groups and processes are tested on asyncio's own.
                self._loop = asyncio.SelectorEventLoop()
                self._thread = threading.Thread(target=self._work, args=(self._loop,), name=self._name, daemon=True)
                self._thread.start()
            return self._loop

    @staticmethod
    def _work(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()
