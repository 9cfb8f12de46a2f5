"""Connections to servers: kept between calls of one workspace, closed when idle, opened again when their server is gone."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final
from weakref import WeakValueDictionary

from caxton.adapters.mcp.access import Access
from caxton.adapters.mcp.connection import Connection
from caxton.adapters.sandbox.addresses import Check

MOST: Final = 64
"""Connections at a time, each of which may be a child process."""

MOST_OF_ONE: Final = 32
"""Connections of one customer."""

Key = tuple[str, str, str, tuple[object, ...]]
"""Customer, workspace, digest of the tool, and what the server is given."""


class Full(Exception):
    """There are as many connections as there may be, and all are in use."""


class Pool:
    """The connections of one process. All of its methods run on the connections' loop."""

    def __init__(self, check: Check, idle: float) -> None:
        """Keep connections that nobody uses for `idle` seconds."""
        self._check = check
        self._idle = idle
        self._known: dict[Key, Connection] = {}
        self._opening = WeakValueDictionary[Key, asyncio.Lock]()
        self._closing: set[asyncio.Task[None]] = set()
        self._tidying: asyncio.Task[None] | None = None

    async def get(self, key: Key, access: Access, message_size: int) -> Connection:
        """A connection that is open, the one that there is if there is one.

        Raises:
            Full: there are too many.
            Lost: there is no such server; and what else :meth:`Connection.open` raises.
        """
        lock = self._opening.setdefault(key, asyncio.Lock())
        async with lock:
            known = self._known.get(key)
            if known is not None and known.is_open:
                known.used_at = asyncio.get_running_loop().time()
                return known
            self._drop(key)
            self._make_room(key[0])
            made = self._known[key] = Connection(access, self._check, message_size)
            try:
                await made.open()
            except BaseException:
                self._known.pop(key, None)
                raise
            self._tidying = self._tidying or asyncio.create_task(self._tidy())
            return made

    @asynccontextmanager
    async def one(self, access: Access, message_size: int) -> AsyncGenerator[Connection]:
        """A connection for one use, that nobody else gets."""
        made = Connection(access, self._check, message_size)
        try:
            await made.open()
            yield made
        finally:
            await made.close()

    async def close(self) -> None:
        """Closes all."""
        if self._tidying is not None:
            self._tidying.cancel()
        for key in list(self._known):
            self._drop(key)
        await asyncio.gather(*self._closing, return_exceptions=True)

    def _drop(self, key: Key) -> None:
        known = self._known.pop(key, None)
        if known is not None:
            task = asyncio.create_task(known.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _make_room(self, customer: str) -> None:
        own = [key for key in self._known if key[0] == customer]
        crowded = own if len(own) >= MOST_OF_ONE else list(self._known) if len(self._known) >= MOST else []
        if not crowded:
            return
        free = [key for key in crowded if not self._known[key].calls and self._known[key].is_open]
        if not free:
            raise Full
        self._drop(min(free, key=lambda key: self._known[key].used_at))

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(min(5.0, self._idle / 4))
            now = asyncio.get_running_loop().time()
            for key, known in list(self._known.items()):
                if not known.calls and (not known.is_open or now - known.used_at > self._idle):
                    self._drop(key)
