"""Room that deletions leave within the database goes back to the disk, but for a reserve."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text

from caxton.adapters.store.database import Database, sqlite_url
from caxton.adapters.store.migrate import migrate
from caxton.domain.records import DatabaseSize
from caxton.service import free_room
from caxton.service.free_room import FreeRoom

MB = 1 << 20


async def size(database: Database) -> DatabaseSize:
    return await database.read(lambda transaction: transaction.database_size())


async def fill(database: Database, megabytes: int) -> None:
    """Writes so much, and takes all of it away again."""

    def write(statement: str) -> None:
        database.write_now(lambda transaction: transaction.connection.execute(text(statement)))

    write("CREATE TABLE ballast (id INTEGER PRIMARY KEY, content TEXT)")
    content = "x" * 9_000
    rows = ", ".join(f"('{content}')" for _ in range(100))
    for _ in range(megabytes * MB // 900_000):
        await asyncio.to_thread(write, f"INSERT INTO ballast (content) VALUES {rows}")
    await asyncio.to_thread(write, "DELETE FROM ballast")


@pytest.mark.requirement("EVT-9")
async def test_free_room_goes_back_to_the_disk_but_for_a_reserve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(free_room, "KEPT_FREE", 4 * MB)
    monkeypatch.setattr(free_room, "A_PART", 60.0)
    path = tmp_path / "caxton.db"
    database = Database(sqlite_url(path))
    migrate(database)
    await fill(database, 24)
    before = await size(database)
    assert before.shrinks
    assert (before.free or 0) > 20 * MB
    given = await FreeRoom(database).give_back()
    after = await size(database)
    assert given == before.bytes - after.bytes > 12 * MB
    assert 4 * MB <= (after.free or 0) < 6 * MB
    assert await FreeRoom(database).give_back() == 0, "a reserve stays"
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    assert path.stat().st_size == after.bytes
    database.close()


async def test_a_file_that_was_made_without_it_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(free_room, "KEPT_FREE", 0)
    database = Database(sqlite_url(tmp_path / "caxton.db"))
    with database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA auto_vacuum = NONE")
        connection.exec_driver_sql("VACUUM")
    migrate(database)
    await fill(database, 4)
    before = await size(database)
    assert not before.shrinks
    assert await FreeRoom(database).give_back() == 0
    assert await size(database) == before
    database.close()


async def test_where_the_database_does_it_by_itself_nothing_is_done(database: Database) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite does not")
    assert not (await size(database)).shrinks
    assert await FreeRoom(database).give_back() == 0


async def test_a_connection_is_opened_while_somebody_writes(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "caxton.db")
    first, second = Database(url), Database(url, lock_timeout=0.1)
    migrate(first)
    with first.engine.connect() as writing:
        writing.exec_driver_sql("BEGIN IMMEDIATE")
        assert (await size(second)).shrinks
    first.close()
    second.close()
