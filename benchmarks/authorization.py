"""What it costs a message to be authenticated and authorized: `python -m benchmarks.authorization`.

Everything that stands between the key of a request and its route, on SQLite while another connection writes: the hash of the key,
the question whether a key or role was changed by any process, the remembered caller, its rate, its permission. A thousand
messages a second may spend 2 % of one core on it: 20 µs each.
"""

import asyncio
import contextlib
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.report import Figure, print_figures, print_machine
from caxton.adapters.store.database import Database, sqlite_url
from caxton.adapters.store.migrate import migrate
from caxton.api.guard import Access, check
from caxton.domain.permissions import KeyGrant, Permission
from caxton.service.authentication import Authentication
from caxton.service.keys import Keys
from caxton.service.rates import Rates
from caxton.service.refusals import Refusals

ROUNDS = 20_000


def figures(rounds: int = ROUNDS) -> list[Figure]:
    """Microseconds of CPU a request."""
    return asyncio.run(_figures(rounds))


async def _figures(rounds: int) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        database = Database(sqlite_url(Path(folder) / "caxton.db"))
        migrate(database)
        keys = Keys(database, home_customer="local")
        authentication = Authentication(
            database, database.access_changes, Refusals(database, "local"), home_customer="local"
        )
        _, text = await keys.create_for("local", "bench", [KeyGrant(role="developer", workspaces=("here",))])
        rates, access = Rates(1e6, None), Access(Permission.MESSAGES_SEND, {})

        async def authorize() -> None:
            caller = await authentication.authenticate(text, "here", "api", "127.0.0.1")
            rates.take(caller)
            check(access, {"type": "http", "state": {"caller": caller}})

        await authorize()
        with _writing(database):
            whole = await _timed(authorize, rounds)
        changes = database.access_changes
        started = time.thread_time()
        for _ in range(rounds):
            changes.generation()
        asked = (time.thread_time() - started) / rounds * 1e6
        database.close()
    return [
        Figure("authentication and authorization a message", round(whole, 2), "µs", 20.0),
        Figure("of these: whether a key or role was changed", round(asked, 2), "µs", 10.0),
    ]


async def _timed(authorize: Callable[[], Awaitable[None]], rounds: int) -> float:
    """Microseconds of this thread's CPU a call: waiting for others is not ours."""
    started = time.thread_time()
    for _ in range(rounds):
        await authorize()
    return (time.thread_time() - started) / rounds * 1e6


@contextlib.contextmanager
def _writing(database: Database) -> Iterator[None]:
    """Commits a hundred times a second, as a busy server does."""
    stop, moment = threading.Event(), datetime.now(UTC)

    def write() -> None:
        while not stop.wait(0.01):
            database.write_now(lambda transaction: transaction.use_keys(["k_nobody"], moment))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


if __name__ == "__main__":
    print_machine()
    print_figures("Authorization", figures())
