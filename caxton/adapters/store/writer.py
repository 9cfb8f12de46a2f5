"""A process that writes to SQLite: `python -m caxton.adapters.store.writer DATABASE SYNCHRONOUS`.

Half of what a message costs the store is SQLite's and the hash chain's work. In a thread it would stop and wait for the
interpreter's lock after every statement, and make everything else wait; here it has a core to itself. It takes prepared
transactions on its standard input and says on its standard output whether each is committed. It ends when its input does, so it
never outlives its server by more than one transaction.

It brings its own SQLite (APSW): the same everywhere, and a third faster than what Python is built with on many systems. That
must stay in this process: two copies of SQLite that open one file in one process undo each other's locks.
"""

import contextlib
import marshal
import struct
import sys
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from caxton.adapters.store import event_blocks
from caxton.domain.sealing import COLUMNS, GENESIS, Unplaced, seal

if TYPE_CHECKING:
    import apsw

Rows = tuple[str, tuple[str, ...], Sequence[tuple[Any, ...]]]
"""A table, names of its columns, and values."""

Count = tuple[int, int, str, str, str, int | None, str | None, str | None]
"""Messages that are new in a conversation, when, its key, and how many it had accepted before, where one more is accepted now:
then it must not have ended, nor accepted another one meanwhile. Then its participants and its state, where they change."""

Job = tuple[list[Rows], list[Count], list[tuple[str, list[Unplaced]]]]
"""Rows to insert, messages to count, and events to append by customer."""

Checkpoint = tuple[int, int, int]
"""What a checkpoint tells: whether it could not begin, pages in the write-ahead log, pages of them that are moved."""

COUNT = (
    "UPDATE conversations SET message_count = message_count + ?1, last_activity = ?2, accepted = accepted + (?6 IS NOT NULL), "
    "participants = coalesce(?7, participants), state = coalesce(?8, state) "
    "WHERE customer = ?3 AND workspace = ?4 AND id = ?5 "
    "AND (?6 IS NULL OR (accepted = ?6 AND state IN ('Initiated', 'InProgress')))"
)

DONE, NOT_DONE = b"1", b"0"
LENGTH = struct.Struct("<I")

CHECKPOINT_EVERY = 0.5
"""Seconds between checkpoints. They run beside the writing, so that no commit has to do one."""

MOST_ROUNDS = 5
"""Checkpoints one after another at most."""

BUSY_TIMEOUT = 30.0
"""Seconds that SQLite waits for another process's write to end."""

LOOK_AGAIN = 0.001
"""Seconds between two looks whether it has."""


def connect(path: str, synchronous: str) -> "apsw.Connection":
    """A connection that writes."""
    import apsw

    connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_NOMUTEX)
    connection.set_busy_handler(_wait_for_lock)
    # The triggers keep everybody else from changing the log. This process only ever appends to it, in its order, and the keys
    # of the table refuse an event that is there; to have them look at each event again would cost a third of the writing.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
    for pragma in (
        "journal_mode=wal",
        f"synchronous={synchronous}",
        "foreign_keys=on",
        "cache_size=-64000",
        "temp_store=memory",
        "wal_autocheckpoint=32000",
    ):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    return connection


def _wait_for_lock(times: int) -> bool:
    """Waits while another process writes; `times` is how often this one has already.

    The third argument of the command says for how many seconds.

    SQLite's own patience sleeps longer each time, so a lock that is held for 10 ms costs 18, and one of 60 ms 103.
    """
    time.sleep(LOOK_AGAIN)
    return times * LOOK_AGAIN < (float(sys.argv[3]) if len(sys.argv) > 3 else BUSY_TIMEOUT)


def write(connection: "apsw.Connection", job: Job) -> bool:
    """Writes `job` as one transaction. False, and nothing is written, when that did not work, for whatever reason.

    Whoever sent it tries again by the ordinary way, which tells the reasons apart.
    """
    import apsw

    inserts, counts, logs = job
    try:
        connection.execute("BEGIN IMMEDIATE")
        for table, names, rows in inserts:
            _insert(connection, table, names, rows)
        if counts and _count(connection, counts) < len(counts):
            connection.execute("ROLLBACK")  # one of them has ended meanwhile
            return False
        for customer, events in logs:
            _append(connection, customer, events)
        connection.execute("COMMIT")
    except Exception:  # also of a text that has no UTF-8: the next job has nothing to do with it
        with contextlib.suppress(apsw.Error):
            connection.execute("ROLLBACK")
        return False
    return True


def _count(connection: "apsw.Connection", counts: list[Count]) -> int:
    before = connection.total_changes()
    connection.executemany(COUNT, counts)
    return connection.total_changes() - before


def _insert(
    connection: "apsw.Connection",
    table: str,
    names: tuple[str, ...],
    rows: Sequence[tuple[Any, ...]],
    verb: str = "INSERT",
) -> None:
    columns = ", ".join(f'"{name}"' for name in names)
    connection.executemany(f'{verb} INTO "{table}" ({columns}) VALUES ({", ".join("?" * len(names))})', rows)


def _append(connection: "apsw.Connection", customer: str, events: list[Unplaced]) -> None:
    query = "SELECT sequence, timestamp, hash FROM event_heads WHERE customer = ?"
    head = connection.execute(query, (customer,)).fetchone()
    sequence, last, previous = head or (0, 0, GENESIS)
    rows, *moved = seal(customer, events, sequence, last, previous)
    if head:
        move = "UPDATE event_heads SET sequence = ?, timestamp = ?, hash = ? WHERE customer = ?"
    else:
        move = "INSERT INTO event_heads (sequence, timestamp, hash, customer) VALUES (?, ?, ?, ?)"
    connection.execute(move, (*moved, customer))
    _insert(connection, "events", COLUMNS, rows)
    _insert(connection, event_blocks.TABLE, event_blocks.COLUMNS, event_blocks.entries(rows), "INSERT OR IGNORE")


class _Checkpoints(threading.Thread):
    """Moves what the write-ahead log holds into the database, now and then, without keeping anybody from writing."""

    def __init__(self, path: str, synchronous: str) -> None:
        super().__init__(name="checkpoints")
        self._of = path, synchronous
        self._ending = threading.Event()
        self.has_news = False
        """Whether something was written since the last one."""

    def run(self) -> None:
        """Makes checkpoints until it is told to end."""
        import apsw

        connection = connect(*self._of)
        while not self._ending.wait(CHECKPOINT_EVERY):
            if self.has_news:
                self.has_news = False
                with contextlib.suppress(apsw.Error):
                    _move_all(connection)
        connection.close()

    def end(self) -> None:
        """Ends it."""
        self._ending.set()
        self.join()


def _move_all(connection: "apsw.Connection") -> None:
    """Moves pages until none is left, so that the next writer starts the log from its beginning.

    More are written meanwhile, so once is not enough. A log that never starts over grows until a commit has to move its pages.
    """
    before = -1
    for _ in range(MOST_ROUNDS):
        _, pages, _ = cast("Checkpoint", connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone())
        if pages == before:
            return
        before = pages


def serve(path: str, synchronous: str, jobs: BinaryIO, answers: BinaryIO) -> None:
    """Writes until `jobs` ends."""
    connection = connect(path, synchronous)
    checkpoints = _Checkpoints(path, synchronous)
    checkpoints.start()
    try:
        with contextlib.suppress(ConnectionError, EOFError):  # whoever sent a job was killed
            while len(head := jobs.read(LENGTH.size)) == LENGTH.size:
                (length,) = LENGTH.unpack(head)
                job: Job = marshal.loads(jobs.read(length))  # noqa: S302 - from our own parent, by a pipe
                answers.write(DONE if write(connection, job) else NOT_DONE)
                answers.flush()
                checkpoints.has_news = True
    finally:
        checkpoints.end()
        connection.close()


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], sys.stdin.buffer, sys.stdout.buffer)
