"""News that customers' event logs have grown, for whoever follows a log: nobody has to look again and again."""

import asyncio
import contextlib
from asyncio import AbstractEventLoop
from collections.abc import Callable, Collection
from dataclasses import dataclass

Heard = Callable[[Collection[str] | None], None]
"""Takes the customers whose logs have grown; None when that may be any."""


@dataclass(frozen=True, slots=True, eq=False)
class _Listener:
    loop: AbstractEventLoop
    heard: Heard
    only_here: bool


class LogChanges:
    """Tells whoever listens in this process, in the listener's own event loop. News may get lost where a process dies."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._listeners: list[_Listener] = []

    def hear(self, heard: Heard, *, only_here: bool = False) -> Callable[[], None]:
        """Calls `heard` from now on, in the running event loop. Returns a function that ends it.

        Args:
            heard: what is called.
            only_here: leave out what other processes have told.
        """
        listener = _Listener(asyncio.get_running_loop(), heard, only_here)
        self._listeners.append(listener)

        def leave() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return leave

    def tell(self, customers: Collection[str] | None, *, from_elsewhere: bool = False) -> None:
        """Says that logs have grown, once that is committed. From any thread; never blocks, never raises.

        Args:
            customers: whose; None when that may be any.
            from_elsewhere: whether another process has told so.
        """
        if customers is not None and not customers:
            return
        for listener in list(self._listeners):
            if not (from_elsewhere and listener.only_here):
                with contextlib.suppress(RuntimeError):  # its loop has ended
                    listener.loop.call_soon_threadsafe(listener.heard, customers)


class LogNews:
    """Waits until any log has grown."""

    def __init__(self, changes: LogChanges) -> None:
        """Hear of `changes` from now on."""
        self._news = asyncio.Event()
        self.leave = changes.hear(lambda _: self._news.set())
        """Ends it."""

    async def wait(self, seconds: float) -> bool:
        """Whether a log has grown since the last time, or within so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()
        heard = self._news.is_set()
        self._news.clear()
        return heard
