"""The process that writes to SQLite: what it writes, and what becomes of a message when it is killed."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton.adapters.store.database import Database
from caxton.adapters.store.transaction import SqlTransaction
from caxton.domain.events import Event
from caxton.domain.events.chain import ChainCheck, fields_of, link, unplaced
from caxton.domain.ids import Scope
from caxton.domain.records import EventFilter
from caxton.domain.sealing import COLUMNS, GENESIS, seal
from tests.support.stores import new_sqlite_store

SCOPE = Scope()
text = st.text(st.characters(codec="utf-8"), max_size=30)


def event(number: int, said: str = "") -> Event:
    return Event(
        event_id=f"{number:036d}",
        event_type="message_sent",
        timestamp=datetime.now(UTC),
        customer_id=SCOPE.customer,
        workspace=SCOPE.workspace,
        agent=f"agent-{number}",
        payload={"said": said},
    )


@given(st.lists(st.tuples(text, text, st.none() | st.floats(0, 1e6)), min_size=1, max_size=5))
def test_events_are_sealed_with_the_hash_that_anybody_computes(found: list[tuple[str, str, float | None]]) -> None:
    events = [
        event(number, said).model_copy(update={"actor": actor, "latency_ms": latency})
        for number, (said, actor, latency) in enumerate(found)
    ]
    rows, sequence, _, _ = seal(SCOPE.customer, [unplaced(each) for each in events], 0, 0, GENESIS)
    assert sequence == len(events)
    previous = GENESIS
    for number, (each, row) in enumerate(zip(events, rows, strict=True), start=1):
        stored = dict(zip(COLUMNS, row, strict=True))
        expected = {**fields_of(each), "sequence": number, "timestamp": stored["timestamp"]}
        previous = link(previous, expected)
        assert stored == {**expected, "hash": previous}


@pytest.fixture
def database(tmp_path: Path):
    found = Database(new_sqlite_store(tmp_path / "caxton.db"))
    yield found
    found.close()


def add(number: int):
    def work(transaction: SqlTransaction) -> int:
        transaction.add_events(SCOPE, [event(number)])
        return number

    return work


async def test_prepared_and_ordinary_writes_make_one_chain(database: Database) -> None:
    for number in range(0, 20, 2):
        prepared = database.prepare(add(number))
        assert prepared is not None
        assert prepared.result == number
        assert await database.commit(prepared)
        await database.write(add(number + 1))
    check = ChainCheck(SCOPE.customer)
    for each in await database.read(lambda transaction: transaction.log(SCOPE.customer, limit=100)):
        check.read(each)
    assert check.problem is None
    assert check.checked == 20
    for number in range(20):
        wanted = EventFilter(agent=f"agent-{number}")
        found = database.read_now(lambda transaction, wanted=wanted: transaction.events(SCOPE, wanted, limit=100))
        assert [each.sequence for each in found] == [number + 1]


async def test_what_is_there_already_is_not_written_again(database: Database) -> None:
    first, again = database.prepare(add(1)), database.prepare(add(1))
    assert first is not None
    assert again is not None
    assert await database.commit(first)
    assert not await database.commit(again)
    assert len(await database.read(lambda transaction: transaction.log(SCOPE.customer, limit=100))) == 1


async def test_a_killed_writer_is_started_again(database: Database) -> None:
    database.start_writer()
    for child in psutil.Process().children():
        if "caxton.adapters.store.writer" in child.cmdline():
            child.kill()
            child.wait()
    for number in (1, 2):
        prepared = database.prepare(add(number))
        assert prepared is not None
        if not await database.commit(prepared):
            await database.write(add(number))
    assert len(await database.read(lambda transaction: transaction.log(SCOPE.customer, limit=100))) == 2


async def test_it_waits_while_another_process_writes(database: Database) -> None:
    prepared = database.prepare(add(1))
    assert prepared is not None
    with database.engine.connect() as other:
        other.exec_driver_sql("BEGIN IMMEDIATE")
        committed = asyncio.create_task(database.commit(prepared))
        await asyncio.sleep(0.5)
        assert not committed.done()
        other.rollback()
    assert await committed


def test_a_write_that_wants_to_read_is_not_prepared(database: Database) -> None:
    assert database.prepare(lambda transaction: transaction.generation(SCOPE)) is None
