"""Live text of running turns, and news of logs, between all processes on one PostgreSQL, by LISTEN and NOTIFY.

Whoever has listeners says so, and gets the text of their turns from the process that makes it; nobody else's text travels. Ends
of turns are told to all, for somebody may wait for the reply. What gets lost, as while the database is away, is found in the
store.
"""

import asyncio
import contextlib
import json
import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL

from caxton.adapters.streams.local import EXPECTED_FOR, LocalStream, OnEvent
from caxton.domain.ids import ExecutionId, new_id
from caxton.domain.log_changes import LogChanges

if TYPE_CHECKING:
    from psycopg import AsyncConnection

log = logging.getLogger(__name__)

CHANNEL = "caxton_turns"

PIECE = 500
"""Characters of text in one notification: PostgreSQL takes 8,000 bytes, and JSON may make twelve of a character."""

TOGETHER = 200
"""Notifications in one statement at most."""

MOST_WAITING = 20_000
"""Notifications that wait to be sent; more get lost."""

GATHER = 0.02
"""Seconds from the news that a log has grown until others are told: what grows meanwhile is told with it."""

CUSTOMERS = 50
"""Customers in one notification."""

SAY_AGAIN = 10.0
"""Seconds after which a process says again that it listens."""

HEARD_FOR = 3 * SAY_AGAIN
"""Seconds after which a process that has not said so again is taken to listen no more."""

AGAIN = 1.0
"""Seconds until the connection is tried again."""

POLL = 5.0


class PostgresStream:
    """The DeltaStream port for processes that share a PostgreSQL."""

    poll = POLL

    def __init__(self, url: URL) -> None:
        """Connect to the database at `url` when it is needed first."""
        self.url = url
        self._conninfo = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._me = new_id("p")
        self._local = LocalStream()
        self._elsewhere: dict[ExecutionId, dict[str, float]] = {}
        """Processes that listen to a turn, each with the time until which that holds."""
        self._here: dict[ExecutionId, int] = {}
        """Listeners in this process."""
        self._pending: deque[str] = deque(maxlen=MOST_WAITING)
        self._news = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._log_changes: LogChanges | None = None
        self._grown: set[str] = set()
        """Customers whose logs have grown, of which others are to be told."""
        self.connected = asyncio.Event()
        """Whether what others say is heard."""

    async def start(self) -> None:
        """Begins to listen, and waits a moment for the connection."""
        self._run()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(AGAIN):
                await self.connected.wait()

    async def aclose(self) -> None:
        """Gives the connections up."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def carry_news(self, changes: LogChanges) -> None:
        """Tells other processes of logs that have grown by this one, and this one of those that have grown by others."""
        self._log_changes = changes
        changes.hear(self._tell_growth, only_here=True)

    def _tell_growth(self, customers: Collection[str] | None) -> None:
        if not self._grown:
            asyncio.get_running_loop().call_later(GATHER, self._send_growth)
        self._grown.update(customers or ())

    def _send_growth(self) -> None:
        grown, self._grown = sorted(self._grown), set()
        for begin in range(0, len(grown), CUSTOMERS):
            self._send("log", "", grown[begin : begin + CUSTOMERS])

    def has_listeners(self, execution_id: ExecutionId) -> bool:
        """Whether somebody wants the turn's text as it is made, in whatever process."""
        return self._local.has_listeners(execution_id) or self._is_heard_elsewhere(execution_id)

    def expect(self, execution_id: ExecutionId) -> None:
        """Counts as a listener for a moment."""
        self._local.expect(execution_id)
        self._send("listen", execution_id, EXPECTED_FOR)

    def publish(self, execution_id: ExecutionId, kind: str, data: Mapping[str, Any]) -> None:
        """Hands an event to all who listen."""
        self._local.publish(execution_id, kind, data)
        if kind in ("end", "reply"):
            self._elsewhere.pop(execution_id, None)
            self._send("event", execution_id, "end", {})
        elif self._is_heard_elsewhere(execution_id):
            if kind == "delta":
                self._send_text(execution_id, data, self._local.position(execution_id))
            else:
                self._send("event", execution_id, kind, dict(data))

    def subscribe(self, execution_id: ExecutionId, on_event: OnEvent, *, only_end: bool = False) -> Callable[[], None]:
        """Calls `on_event` from now on, wherever it happens."""
        self._run()
        leave = self._local.subscribe(execution_id, on_event, only_end=only_end)
        if only_end:
            return leave
        self._here[execution_id] = self._here.get(execution_id, 0) + 1
        if self._here[execution_id] == 1:
            self._send("listen", execution_id, HEARD_FOR)
        left = False

        def unsubscribe() -> None:
            nonlocal left
            leave()
            if left:
                return
            left = True
            self._here[execution_id] -= 1
            if not self._here[execution_id]:
                del self._here[execution_id]
                self._send("leave", execution_id)

        return unsubscribe

    # --- what others hear --------------------------------------------------------------------------------------------

    def _send_text(self, execution_id: ExecutionId, data: Mapping[str, Any], end: int) -> None:
        text = str(data["text"])
        start = end - len(text)
        for offset in range(0, len(text), PIECE):
            piece = text[offset : offset + PIECE]
            told = {**data, "text": piece, "end": start + offset + len(piece)}
            self._send("event", execution_id, "delta", told)

    def _send(self, *what: Any) -> None:
        self._run()
        self._pending.append(json.dumps([self._me, *what], separators=(",", ":")))
        self._news.set()

    def _run(self) -> None:
        if not self._tasks:
            self._tasks = [asyncio.create_task(work()) for work in (self._speak, self._hear, self._say_again)]

    async def _speak(self) -> None:
        async def work(connection: "AsyncConnection[Any]") -> None:
            while True:
                await self._news.wait()
                self._news.clear()
                while self._pending:
                    together = [self._pending.popleft() for _ in range(min(TOGETHER, len(self._pending)))]
                    await connection.execute(
                        "SELECT pg_notify(%s, told) FROM unnest(%s::text[]) told", (CHANNEL, together)
                    )

        await self._connected(work)

    async def _say_again(self) -> None:
        while True:
            await asyncio.sleep(SAY_AGAIN)
            self._announce()
            now = time.monotonic()
            for execution_id, processes in list(self._elsewhere.items()):
                if all(until < now for until in processes.values()):
                    del self._elsewhere[execution_id]

    def _announce(self) -> None:
        for execution_id in self._here:
            self._send("listen", execution_id, HEARD_FOR)

    # --- what others say ---------------------------------------------------------------------------------------------

    async def _hear(self) -> None:
        async def work(connection: "AsyncConnection[Any]") -> None:
            await connection.execute(f"LISTEN {CHANNEL}".encode())
            self.connected.set()
            self._send("hello", "")
            self._announce()  # what was said while nobody heard is lost
            self._hear_growth(None)
            async for told in connection.notifies():
                try:
                    self._take(*json.loads(told.payload))
                except (ValueError, TypeError):
                    log.warning("a notification of another version or program is ignored", extra={"channel": CHANNEL})

        try:
            await self._connected(work)
        finally:
            self.connected.clear()

    def _take(self, sender: str, what: str, execution: str, *more: Any) -> None:
        if sender == self._me:
            return
        execution_id = ExecutionId(execution)
        if what == "hello":
            self._announce()
        elif what == "log":
            self._hear_growth([str(customer) for customer in more[0]])
        elif what == "listen":
            (seconds,) = more
            is_new = not self._is_heard_elsewhere(execution_id)
            until = self._elsewhere.setdefault(execution_id, {})
            until[sender] = max(until.get(sender, 0.0), time.monotonic() + min(float(seconds), HEARD_FOR))
            said = self._local.said(execution_id) if is_new else None
            if said is not None:
                self._send_text(execution_id, *said)
        elif what == "leave":
            self._elsewhere.get(execution_id, {}).pop(sender, None)
        elif what == "event":
            kind, data = more
            if not self._local.is_known(execution_id):
                return
            if kind == "delta":
                self._local.hear_text(execution_id, data, int(data.pop("end")))
            else:
                self._local.publish(execution_id, str(kind), data)

    def _hear_growth(self, customers: Collection[str] | None) -> None:
        if self._log_changes is not None:
            self._log_changes.tell(customers, from_elsewhere=True)

    def _is_heard_elsewhere(self, execution_id: ExecutionId) -> bool:
        processes = self._elsewhere.get(execution_id)
        return bool(processes) and max(processes.values()) > time.monotonic()

    async def _connected(self, work: Callable[["AsyncConnection[Any]"], Any]) -> None:
        """Does `work` over a connection of its own, again and again while the database is away."""
        from psycopg import AsyncConnection, Error

        while True:
            try:
                async with await AsyncConnection.connect(
                    self._conninfo, autocommit=True, connect_timeout=10
                ) as connection:
                    await work(connection)
            except (Error, OSError) as error:
                log.warning("live text between processes stops: %s", type(error).__name__)
                await asyncio.sleep(AGAIN)
