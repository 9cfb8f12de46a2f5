"""All connections of one listener: how many there are, which are too slow, and who makes room."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Protocol

from caxton.api.transport.limits import TransportLimits
from caxton.domain.errors import CaxtonError, RequestTooSlow, TooManyConnections

POLL_INTERVAL = 1.0
"""Seconds between two looks at all connections."""


class Connection(Protocol):
    """One connection, as :class:`Connections` sees it."""

    peer: str
    since: float

    def refuse(self, error: CaxtonError) -> None:
        """Answers with `error` where an answer can still be read, and closes."""
        ...

    def drop(self) -> None:
        """Closes without an answer."""
        ...

    def look(self, now: float, elapsed: float) -> None:
        """Ends the connection if it has become too slow."""
        ...


class Connections:
    """Admits connections and ends the ones that take too long.

    A connection that waits for a request to be complete is *silent*; one between two requests is *idle*. Both make room for
    new ones when a limit is reached, silent ones first: they owe the server something, and nothing of theirs is lost.
    """

    def __init__(
        self,
        limits: TransportLimits,
        proxies: tuple[IPv4Network | IPv6Network, ...] = (),
        refused: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Keep to `limits`.

        Args:
            limits: of this listener.
            proxies: whose connections are other people's, so no limit a peer holds for them.
            refused: is told the code of each refusal.
        """
        self.limits = limits
        self.refused = refused
        self._proxies = proxies
        self.all: set[Connection] = set()
        self.silent: dict[Connection, None] = {}
        self.idle: dict[Connection, None] = {}
        self._peers: Counter[str] = Counter()

    def enter(self, connection: Connection) -> bool:
        """Counts a new connection, which is silent. False if there is no room: it has been refused then."""
        self.all.add(connection)
        self._peers[connection.peer] += 1
        if len(self.all) > self.limits.connections:
            full, of_whom = True, None
        else:
            full = self._peers[connection.peer] > self.limits.connections_per_address
            of_whom = connection.peer
        if full and not self._is_proxy(connection.peer, of_whom) and not self._make_room(of_whom):
            connection.refuse(_too_many())
            return False
        self.silent[connection] = None
        return True

    def leave(self, connection: Connection) -> None:
        """Forgets a connection that has ended."""
        if connection not in self.all:
            return
        self.all.discard(connection)
        self.silent.pop(connection, None)
        self.idle.pop(connection, None)
        self._peers[connection.peer] -= 1
        if not self._peers[connection.peer]:
            del self._peers[connection.peer]

    def begins(self, connection: Connection) -> None:
        """An idle connection has begun to send a request, and has not got far."""
        self.idle.pop(connection, None)
        self.silent[connection] = None

    def works(self, connection: Connection) -> None:
        """All headers of a request are there."""
        self.silent.pop(connection, None)
        self.idle.pop(connection, None)

    def rests(self, connection: Connection) -> None:
        """A request is answered."""
        if connection in self.all:
            self.idle[connection] = None

    async def watch(self) -> None:
        """Looks at all connections, again and again."""
        loop = asyncio.get_running_loop()
        before = loop.time()
        while True:
            await asyncio.sleep(POLL_INTERVAL)
            now = loop.time()
            # A loop that was held up itself holds nobody's silence against them.
            self.look(now, min(now - before, 2 * POLL_INTERVAL))
            before = now

    def look(self, now: float, elapsed: float) -> None:
        """Ends what has become too slow."""
        for connection in list(self.silent):
            if now - connection.since > self.limits.head_seconds:
                connection.refuse(
                    RequestTooSlow(
                        f"the headers were not complete after {self.limits.head_seconds:g} s",
                        "send the request at once when the connection is open",
                    )
                )
        for connection in list(self.all):
            connection.look(now, elapsed)

    def _is_proxy(self, peer: str, of_whom: str | None) -> bool:
        if of_whom is None or not self._proxies:
            return False
        with contextlib.suppress(ValueError):
            address = ip_address(peer)
            return any(address in network for network in self._proxies)
        return False

    def _make_room(self, peer: str | None) -> bool:
        """Ends one connection (of `peer`, if given) that waits for its client: the longest silent, or the longest idle."""
        for connection in self.silent:
            if peer is None or connection.peer == peer:
                connection.refuse(_too_many())
                return True
        for connection in self.idle:
            if peer is None or connection.peer == peer:
                connection.drop()
                return True
        return False


def _too_many() -> TooManyConnections:
    return TooManyConnections(
        "more connections are open than the server has room for",
        "use few connections, and keep them; a trusted proxy is named in proxies in [server] of caxton.toml",
        retry_after=1.0,
    )
