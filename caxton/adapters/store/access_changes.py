"""Notices, for hardly anything, that a key or a role was changed by whatever process.

What is remembered of keys is good as long as their generation (the table `access_changes`) is the same. SQLite is asked at every
request: one row over a connection of its own takes a few microseconds, and never waits for writers. PostgreSQL tells it: a thread
listens, and confirms every second that it still hears.
"""

import contextlib
import logging
import sqlite3
import threading
import time
from typing import Any, Protocol

log = logging.getLogger(__name__)

CHANNEL = "caxton_access"
"""Where PostgreSQL tells changes."""

CONFIRM_EVERY = 1.0
"""Seconds between confirmations that PostgreSQL is still heard."""

TRUSTED_FOR = 2.5
"""Seconds after a confirmation for which silence means that nothing was changed."""

_QUERY = "SELECT generation FROM access_changes"


class AccessChanges(Protocol):
    """Tells the generation of keys and roles."""

    def generation(self) -> int | None:
        """The generation; None when that cannot be told now, so that nothing remembered may be used."""
        ...

    def close(self) -> None:
        """Gives everything up."""
        ...


class SqliteAccessChanges:
    """Reads the row, in the calling thread."""

    def __init__(self, path: str) -> None:
        """Read from the database in `path`."""
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.Lock()

    def generation(self) -> int | None:
        """The generation; None when the database cannot be read."""
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = sqlite3.connect(
                        self._path, isolation_level=None, check_same_thread=False, timeout=0.1
                    )
                    self._connection.execute("PRAGMA query_only=1")
                return self._connection.execute(_QUERY).fetchone()[0]
            except (sqlite3.Error, TypeError):
                self._close()
                return None

    def close(self) -> None:
        """Gives the connection up."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None


class PostgresAccessChanges:
    """Listens in a thread of its own, which begins with the first question."""

    def __init__(self, url: str) -> None:
        """Listen at the database of that libpq URL."""
        self._url = url
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._generation: int | None = None
        self._confirmed = 0.0

    def generation(self) -> int | None:
        """The generation; None while PostgreSQL is not heard."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="access-changes", daemon=True)
            self._thread.start()
        return self._generation if time.monotonic() - self._confirmed < TRUSTED_FOR else None

    def close(self) -> None:
        """Stops to listen."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(2 * CONFIRM_EVERY)

    def _run(self) -> None:
        import psycopg

        while not self._stopping.is_set():
            try:
                with psycopg.connect(self._url, autocommit=True, connect_timeout=5) as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    self._listen(connection)
            except psycopg.Error as error:
                log.warning("changes of keys are not heard: %s", type(error).__name__)
                self._stopping.wait(CONFIRM_EVERY)

    def _listen(self, connection: Any) -> None:
        while not self._stopping.is_set():
            asked = time.monotonic()
            self._generation = connection.execute(_QUERY).fetchone()[0]
            self._confirmed = asked
            for _ in connection.notifies(timeout=CONFIRM_EVERY, stop_after=1):
                self._confirmed = 0.0  # until it is read again
