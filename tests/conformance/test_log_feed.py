"""Those who follow a log are told when it grows: it is read once a change for all of them, and not at all while it rests."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from caxton.adapters.archive import FileArchive
from caxton.adapters.store.database import Database
from caxton.adapters.store.migrate import migrate
from caxton.adapters.streams import PostgresStream
from caxton.domain.events import Event
from caxton.domain.events.system import KeyCreated, KeyRevoked
from caxton.domain.ids import Scope, new_id
from caxton.domain.records import EventFilter
from caxton.recording.journal import note
from caxton.service import log_feed
from caxton.service.context import Caller
from caxton.service.event_log import EventLog
from caxton.service.log_feed import LogFeeds
from caxton.service.projections import Projections
from tests.support.postgres import Postgres

HERE = Scope(customer="acme", workspace="here")
THERE = Scope(customer="acme", workspace="there")
OTHER = Scope(customer="other", workspace="here")
CALLER = Caller(HERE, "admin", "key_1", "boss")

ALL = EventFilter()
MADE = EventFilter(types=frozenset({KeyCreated.event_type}))
REVOKED = EventFilter(types=frozenset({KeyRevoked.event_type}))


def made(scope: Scope = HERE) -> Event:
    return note(scope, KeyCreated(key_id=new_id("k"), name="key", role="admin"), new_id("fact"))


def revoked(scope: Scope = HERE) -> Event:
    return note(scope, KeyRevoked(key_id=new_id("k")), new_id("fact"))


async def append(database: Database, *events: Event, scope: Scope = HERE) -> None:
    await database.write(lambda transaction: transaction.add_events(scope, events))


@pytest.fixture
def reads(database: Database, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the store was read."""
    counted, read = Counter[str](), database.read

    async def count(work: Callable[[Any], Any]) -> Any:
        counted["reads"] += 1
        return await read(work)

    monkeypatch.setattr(database, "read", count)
    # Were one of them to look by itself, the tests would wait for it in vain.
    monkeypatch.setattr(log_feed, "LOOK_ANYWAY", 3_600.0)
    return counted


class Listener:
    """Follows the log beside the test."""

    def __init__(self, feeds: LogFeeds, wanted: EventFilter = ALL, position: int = 0, scope: Scope = HERE) -> None:
        self.found: list[Event] = []
        self._task = asyncio.create_task(self._run(feeds, scope, wanted, position))

    async def _run(self, feeds: LogFeeds, scope: Scope, wanted: EventFilter, position: int) -> None:
        async with aclosing(feeds.follow(scope, wanted, position)) as batches:
            async for events in batches:
                self.found += events

    async def has(self, count: int) -> list[int]:
        """Positions of the events, once there are so many."""
        async with asyncio.timeout(60):
            while len(self.found) < count:
                if self._task.done():
                    self._task.result()
                await asyncio.sleep(0.01)
        return [event.sequence or 0 for event in self.found]

    async def leave(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@asynccontextmanager
async def listening(*listeners: Listener) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        for listener in listeners:
            await listener.leave()


async def settled(reads: Counter[str]) -> None:
    """Waits until nobody reads."""
    before = -1
    while before != reads["reads"]:
        before = reads["reads"]
        await asyncio.sleep(0.3)


@pytest.mark.requirement("PRF-4")
async def test_fifty_who_follow_a_log_cost_one_read_a_change(database: Database, reads: Counter[str]) -> None:
    feeds = LogFeeds(database)
    everything = [Listener(feeds) for _ in range(30)]
    some = [Listener(feeds, MADE) for _ in range(15)]
    none = [Listener(feeds, REVOKED, scope=THERE) for _ in range(5)]
    async with listening(*everything, *some, *none):
        await settled(reads)
        reads.clear()
        for change in range(1, 21):
            await append(database, made(), revoked())
            await everything[0].has(2 * change)
        found = [await listener.has(40) for listener in everything]
        assert found == [list(range(1, 41))] * 30
        assert [await listener.has(20) for listener in some] == [list(range(1, 41, 2))] * 15
        assert not any(listener.found for listener in none)
        assert reads["reads"] <= 20
        await settled(reads)
        reads.clear()
        await append(database, made(OTHER), scope=OTHER)
        await settled(reads)
        assert reads["reads"] == 0, "a log that rests is not read because another one grows"


async def test_what_is_committed_ahead_is_heard_of_too(database: Database, reads: Counter[str]) -> None:
    listener = Listener(LogFeeds(database))
    async with listening(listener):
        await settled(reads)
        ahead = database.prepare(lambda transaction: transaction.add_events(HERE, [made()]))
        assert ahead is not None
        assert await database.commit(ahead)
        assert await listener.has(1) == [1]


async def test_who_is_behind_reads_what_is_missing_and_goes_on_with_the_others(
    database: Database, reads: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_feed, "KEPT", 20)
    monkeypatch.setattr(log_feed, "BATCH", 7)
    await append(database, *(made() for _ in range(50)))
    feeds = LogFeeds(database)
    first, late = Listener(feeds, position=40), Listener(feeds, MADE, position=3)
    async with listening(first, late):
        assert await first.has(10) == list(range(41, 51))
        assert await late.has(47) == list(range(4, 51))
        await append(database, *(made() for _ in range(70)))  # far more than is kept
        assert await first.has(80) == list(range(41, 121))
        assert await late.has(117) == list(range(4, 121))
        await append(database, made())
        assert await first.has(81) == list(range(41, 122))
        last = Listener(feeds, position=119)
        async with listening(last):
            assert await last.has(2) == [120, 121]


async def test_silence_is_told_and_a_log_of_which_nobody_told_is_read_anyway(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_feed, "SILENCE", 0.05)
    monkeypatch.setattr(log_feed, "LOOK_ANYWAY", 0.3)

    def ignore(_customers: Collection[str]) -> None:
        """Tells nobody."""

    async with asyncio.timeout(60), aclosing(LogFeeds(database).follow(HERE, ALL, 0)) as found:
        assert not await anext(found)
        monkeypatch.setattr(database.log_changes, "tell", ignore)  # as if the process had died
        await append(database, made())
        events = await anext(found)
        while not events:
            events = await anext(found)
        assert [event.sequence for event in events] == [1]


@pytest.mark.requirement("EVT-3")
async def test_the_tail_ends_with_its_reader(database: Database) -> None:
    log = EventLog(database)
    tail = await log.tail(CALLER, ALL, cursor=None, last_event_id=None)
    assert await anext(tail) is None
    await append(database, made())
    async with asyncio.timeout(60):
        cursor_and_event = await anext(tail)
    assert cursor_and_event is not None
    again = await log.tail(CALLER, ALL, cursor=None, last_event_id=cursor_and_event[0])
    assert await anext(again) is None
    await append(database, revoked())
    async with asyncio.timeout(60):
        following = await anext(again)
    assert following is not None
    assert following[1].event_type == KeyRevoked.event_type


@pytest.mark.requirement("OPS-4")
async def test_views_rest_while_the_log_does(database: Database, reads: Counter[str]) -> None:
    projections = Projections(database, FileArchive(Path("nowhere")))
    await append(database, made())
    async with asyncio.timeout(60):
        await projections.follow_growth()  # makes the views
        await projections.follow_growth()
    await settled(reads)
    reads.clear()
    following = asyncio.create_task(projections.follow_growth())
    await settled(reads)
    assert reads["reads"] == 0
    await append(database, made())
    async with asyncio.timeout(60):
        await following
    assert reads["reads"] > 0
    async with asyncio.timeout(60):
        shown = await projections.show(CALLER, "activity")
    assert shown.behind == 0


async def test_processes_on_one_postgresql_tell_each_other(two_processes: "Two") -> None:
    here, there = two_processes.databases
    listener = Listener(LogFeeds(there))
    async with listening(listener):
        for change in range(1, 6):
            await append(here, made())
            await listener.has(change)
    assert [event.sequence for event in listener.found] == [1, 2, 3, 4, 5]


class Two:
    """Two processes' databases and streams."""

    def __init__(self, url: str) -> None:
        self.databases = [Database(url), Database(url)]
        self.streams = [PostgresStream(database.engine.url) for database in self.databases]


@pytest.fixture
async def two_processes(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Two]:
    monkeypatch.setattr(log_feed, "LOOK_ANYWAY", 3_600.0)
    two = Two(postgres.new_database())
    migrate(two.databases[0])
    for database, stream in zip(two.databases, two.streams, strict=True):
        stream.carry_news(database.log_changes)
        await stream.start()
        async with asyncio.timeout(60):
            await stream.connected.wait()
    yield two
    for database, stream in zip(two.databases, two.streams, strict=True):
        await stream.aclose()
        database.close()
