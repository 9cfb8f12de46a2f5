"""The database: SQLite in the data folder, or PostgreSQL by URL, behind one SQLAlchemy code path.

SQLite runs in WAL mode with `synchronous=normal`: a killed process loses nothing, a power cut may lose the last commits
(`synchronous=full` prevents that and costs a disk flush a commit).
"""

import asyncio
import contextlib
import contextvars
import sqlite3
import time
from collections.abc import AsyncGenerator, Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from pydantic import SecretStr
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError

from caxton.adapters.store.access_changes import AccessChanges, PostgresAccessChanges, SqliteAccessChanges
from caxton.adapters.store.transaction import SqlTransaction
from caxton.adapters.store.writer import BUSY_TIMEOUT
from caxton.adapters.store.writer_process import WriterProcess
from caxton.domain.errors import CaxtonError, DiskFull, Hint, InvalidInput, StoreUnavailable
from caxton.domain.extras import install_command
from caxton.domain.fair_lock import FairLock
from caxton.domain.log_changes import LogChanges
from caxton.domain.records import Prepared

T = TypeVar("T")

WRITE_ATTEMPTS = 5
"""A write is tried again when another one got in between (unique key taken, serialisation failure)."""

READERS = 4

CHECKPOINT_PAGES = 8_000
"""Pages of the write-ahead log (32 MB) after which they move into the database: the same page, written by many messages, moves
once. SQLite's own 1,000 cost a tenth of all writing."""


class Database:
    """Runs functions in transactions, off the event loop."""

    def __init__(
        self,
        url: str,
        *,
        synchronous: Literal["normal", "full"] = "normal",
        password: SecretStr | None = None,
        lock_timeout: float = BUSY_TIMEOUT,
    ) -> None:
        """Connect lazily to `url` (`sqlite:////path/caxton.db` or `postgresql+psycopg://…`).

        Args:
            url: where it is.
            synchronous: of SQLite.
            password: where the URL has none.
            lock_timeout: seconds that a write waits for others, in this process or another one, with SQLite.
        """
        self._lock_timeout = lock_timeout
        given = _parsed(url)
        if password is not None:
            given = given.set(password=password.get_secret_value())
        self.url = given.render_as_string(hide_password=True)
        """For people: without a password."""
        self.is_sqlite = url.startswith("sqlite")
        self.engine = _sqlite_engine(given, synchronous, lock_timeout) if self.is_sqlite else _postgres_engine(given)
        isolation = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        self._snapshots = self.engine.execution_options(**isolation)
        """The engine, for transactions in which all statements see the same moment."""
        self._access_changes: AccessChanges | None = None
        self.log_changes = LogChanges()
        """Tells of each commit with which a log has grown, by this process; others are to be told of there."""
        path = self.engine.url.database
        self._process = WriterProcess(path, synchronous, lock_timeout) if self.is_sqlite and path else None
        # SQLite admits one writer at a time: one thread queues writes here instead of letting them poll for the lock.
        self._writers = ThreadPoolExecutor(1 if self.is_sqlite else READERS, thread_name_prefix="store-write")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="store-read")
        # One after another, whether a thread or the process writes. Whoever commits much keeps others waiting for one commit.
        self._turn = FairLock() if self.is_sqlite else None

    async def read(self, work: Callable[[SqlTransaction], T]) -> T:
        """Runs `work` in a read-only transaction: all that it reads is of one moment.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        return await asyncio.get_running_loop().run_in_executor(self._readers, self.read_now, work)

    async def write(self, work: Callable[[SqlTransaction], T]) -> T:
        """Runs `work` in a transaction and commits. `work` may run more than once, so it must not have other effects.

        Raises:
            StoreUnavailable: the database does not answer.
            DiskFull: there is no room to write.
        """
        async with self._in_turn():
            # In the caller's context: what is told there says from where it was asked for, and in which trace.
            context = contextvars.copy_context()
            return await asyncio.get_running_loop().run_in_executor(
                self._writers, lambda: context.run(self.write_now, work)
            )

    @contextlib.asynccontextmanager
    async def _in_turn(self, kind: Hashable = ()) -> AsyncGenerator[None]:
        """Waits until it may write, as long as a write may wait; kinds of writes take turns.

        Raises:
            StoreUnavailable: those before it do not come to an end: another process holds the database.
        """
        if self._turn is None:
            yield
            return
        try:
            async with asyncio.timeout(self._lock_timeout):
                await self._turn.acquire(kind)
        except TimeoutError:
            raise StoreUnavailable("the database is locked by another process") from None
        try:
            yield
        finally:
            self._turn.release()

    def prepare(self, work: Callable[[SqlTransaction], T], behind: Prepared[Any] | None = None) -> Prepared[T] | None:
        """Runs `work` in the calling thread, without the database; None when it wants to read.

        So the computing of many writes stays in one thread, and the thread that writes does hardly anything else. What it
        adds follows what was prepared in `behind`, which becomes part of it.
        """
        if behind is not None:
            transaction = cast("SqlTransaction", behind.transaction)
        else:
            transaction = SqlTransaction(cast("Connection", _NoConnection()))
            transaction.prepared = True
        try:
            return Prepared(work(transaction), transaction)
        except _NoConnectionError:
            return None

    async def commit(self, prepared: Prepared[Any]) -> bool:
        """Writes what was prepared, and commits. False, and nothing is written, when something of it is there already.

        Raises:
            StoreUnavailable: the database does not answer.
            DiskFull: there is no room to write.
        """
        if self._process is not None:
            job = cast("SqlTransaction", prepared.transaction).job()
            customers = tuple(customer for customer, _ in job[2])
            async with self._in_turn(customers):
                try:
                    return await self._process.commit(job)
                finally:  # whoever gives up waiting does not know whether it was committed
                    self.log_changes.tell(customers)
        async with self._in_turn():
            return await asyncio.get_running_loop().run_in_executor(self._writers, self._commit_now, prepared)

    @property
    def access_changes(self) -> AccessChanges:
        """Tells whether a key or a role was changed by whatever process."""
        if self._access_changes is None:
            path = self.engine.url.database
            if self.is_sqlite and path:
                self._access_changes = SqliteAccessChanges(path)
            else:
                url = self.engine.url.set(drivername="postgresql")
                self._access_changes = PostgresAccessChanges(url.render_as_string(hide_password=False))
        return self._access_changes

    def start_writer(self) -> None:
        """Starts the process that commits prepared writes, where there is one: so the first message need not wait."""
        if self._process is not None:
            self._process.start()

    def _commit_now(self, prepared: Prepared[Any]) -> bool:
        transaction = cast("SqlTransaction", prepared.transaction)
        try:
            with self.engine.connect() as connection:
                self._begin(connection)
                transaction.connection = connection
                transaction.flush()
                if not transaction.count_prepared():
                    return False
                transaction.seal()
                connection.commit()
                self.log_changes.tell(transaction.grown)
                return True
        except DBAPIError as error:
            if _is_race(error):
                return False
            raise translate(error) from error

    def read_now(self, work: Callable[[SqlTransaction], T]) -> T:
        """Like :meth:`read`, in the calling thread."""
        try:
            with self._snapshots.connect() as connection:
                if self.is_sqlite:
                    connection.exec_driver_sql("BEGIN")  # else each statement would see what was committed by then
                return work(SqlTransaction(connection))
        except DBAPIError as error:
            raise translate(error) from error

    def write_now(self, work: Callable[[SqlTransaction], T]) -> T:
        """Like :meth:`write`, in the calling thread."""
        attempt = 1
        patient_until = (
            time.monotonic() + self._lock_timeout / 2
        )  # SQLite has waited itself: to wait again would be minutes
        while True:
            try:
                with self.engine.connect() as connection:
                    self._begin(connection)
                    transaction = SqlTransaction(connection)
                    transaction.retried = attempt > 1
                    result = work(transaction)
                    transaction.flush()
                    transaction.seal()
                    connection.commit()
                self.log_changes.tell(transaction.grown)
                return result
            except DBAPIError as error:
                if attempt >= WRITE_ATTEMPTS or not _is_race(error) or time.monotonic() > patient_until:
                    raise translate(error) from error
                time.sleep(0.01 * attempt)
                attempt += 1

    def _begin(self, connection: Connection) -> None:
        if self.is_sqlite:
            # Take the write lock now: a read that turns into a write later could not wait for it.
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    def ping(self) -> None:
        """Answers a trivial query.

        Raises:
            StoreUnavailable: the database does not answer.
        """

        def query(transaction: SqlTransaction) -> None:
            transaction.connection.exec_driver_sql("SELECT 1")

        self.read_now(query)

    def close(self) -> None:
        """Ends the threads and closes all connections."""
        self._writers.shutdown()
        if self._process is not None:
            self._process.close()
        self._readers.shutdown()
        if self._access_changes is not None:
            self._access_changes.close()
        self.engine.dispose()


class InlineReads:
    """The Records port that reads in the event loop's own thread.

    For small reads from a database in the same machine's files, or in a process that does nothing else: to hand over to a thread
    and back takes longer than what is read.
    """

    def __init__(self, database: Database) -> None:
        """Work on `database`."""
        self.prepare, self.commit, self.write = database.prepare, database.commit, database.write
        self.log_changes = database.log_changes
        self._database = database

    async def read(self, work: Callable[[SqlTransaction], T]) -> T:
        """Like :meth:`Database.read`."""
        return self._database.read_now(work)


class _NoConnectionError(Exception):
    """A transaction that is being prepared cannot read."""


class _NoConnection:
    def __getattr__(self, _name: str) -> Any:
        raise _NoConnectionError


def _parsed(url: str) -> URL:
    """The URL; what follows `sqlite:///` is a path, in which ? and % mean nothing."""
    scheme, separator, path = url.partition(":///")
    return URL.create(scheme, database=path) if separator and scheme.startswith("sqlite") else make_url(url)


def sqlite_url(path: Path) -> str:
    """The URL of the SQLite database in `path`."""
    return f"sqlite:///{path}"


def _sqlite_engine(url: URL, synchronous: str, lock_timeout: float) -> Engine:
    engine = create_engine(
        url,
        pool_size=READERS + 2,
        max_overflow=8,
        connect_args={"check_same_thread": False, "timeout": lock_timeout, "isolation_level": None},
    )

    def configure(connection: Any, _record: Any) -> None:
        assert isinstance(connection, sqlite3.Connection)
        cursor = connection.cursor()
        if cursor.execute("PRAGMA page_count").fetchone()[0] == 0:
            # Counts only before the file has anything, its journal included. Later it would want the lock of writers.
            cursor.execute("PRAGMA auto_vacuum=incremental")
        for pragma in (
            "journal_mode=wal",
            f"synchronous={synchronous}",
            "foreign_keys=on",
            "cache_size=-32000",
            f"wal_autocheckpoint={CHECKPOINT_PAGES}",
            "temp_store=memory",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    event.listen(engine, "connect", configure)
    return engine


def _postgres_engine(url: URL) -> Engine:
    try:
        engine = create_engine(url, pool_size=READERS * 2, max_overflow=8, pool_pre_ping=True, pool_timeout=10)
    except ModuleNotFoundError as error:
        raise StoreUnavailable(
            "PostgreSQL needs its driver, which is not installed",
            Hint(text="install it", command=install_command("postgres")),
        ) from error

    def configure(connection: Any, _record: Any) -> None:
        # Where it takes a query to be long it compiles it, which takes 50 times as long as any of ours.
        connection.execute("SET jit = off")
        connection.commit()

    event.listen(engine, "connect", configure)
    return engine


def _is_race(error: DBAPIError) -> bool:
    if isinstance(error, IntegrityError):
        return True
    state = getattr(error.orig, "sqlstate", None)
    return state in ("40001", "40P01") or "database is locked" in str(error.orig)


def translate(error: DBAPIError) -> CaxtonError:
    """What the database's error means."""
    reason = f"{type(error.orig).__name__}: {error.orig}".splitlines()[0]
    if "disk is full" in reason or getattr(error.orig, "sqlstate", None) == "53100":
        return DiskFull("the disk that holds the database is full", "free some room; nothing that was accepted is lost")
    if isinstance(error, OperationalError):
        return StoreUnavailable("the database does not answer", reason=reason)
    if isinstance(error, DataError):  # it would refuse it again, and again
        if "NUL" in reason:
            return InvalidInput("a text has a NUL character, which the database does not keep", "leave it out")
        return CaxtonError("what was to be recorded cannot be kept by the database", reason=reason)
    return StoreUnavailable("the database refused an operation", reason=reason)
