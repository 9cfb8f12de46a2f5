"""Segments of the log over both stores: they leave the database as files, and nothing else does."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from caxton.adapters.archive import FileArchive
from caxton.adapters.store.database import Database
from caxton.domain.errors import CaxtonError, EventsDetached, InvalidInput
from caxton.domain.events.chain import EventHead
from caxton.domain.events.segments import LogCheck
from caxton.domain.events.system import CaxtonReady
from caxton.domain.ids import new_id
from caxton.domain.records import EventFilter
from caxton.projections.views import PROJECTIONS
from caxton.recording import journal
from caxton.recording.journal import note
from caxton.service import archive as module
from caxton.service.archive import Archive
from caxton.service.context import Caller
from caxton.service.event_log import EventLog
from caxton.service.projections import Projections
from tests.conformance.test_deletion import rows
from tests.conformance.test_event_log import HERE, OTHER, append, event, log

CALLER = Caller(HERE, "admin", "key_1", "boss")


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEGMENT", 100)
    monkeypatch.setattr(module, "BATCH", 30)
    monkeypatch.setattr(module, "SMALLEST_AFTER", timedelta(0))


def in_an_hour() -> Callable[[], datetime]:
    """A clock that stands still, an hour from now: all that there is by now is an hour old then."""
    moment = journal.now() + timedelta(hours=1)
    return lambda: moment


def archive(database: Database, folder: Path, now: Callable[[], datetime] | None = None) -> Archive:
    return Archive(database, FileArchive(folder), None, [], now=now or in_an_hour())


def fill(database: Database, count: int = 250) -> None:
    append(database, *(event(f"k{number}") for number in range(count)))
    append(database, event("other", OTHER), scope=OTHER)


async def detach_all(found: Archive) -> None:
    while await found.detach("acme", 3600):
        pass


@pytest.mark.requirement("EVT-9")
async def test_what_is_old_leaves_the_database_and_all_of_it_still_verifies(database: Database, tmp_path: Path) -> None:
    ready = note(HERE, CaxtonReady(server_id="srv_1", version="1", role="all", startup_time_ms=1.0), new_id("r"))
    append(database, ready)
    fill(database)
    written_down = database.read_now(lambda transaction: transaction.event_head("acme"))
    found = archive(database, tmp_path)
    await detach_all(found)
    files = sorted((tmp_path / "acme").iterdir())
    assert [file.name for file in files] == [
        "events-000000000001-000000000100.jsonl",
        "events-000000000101-000000000200.jsonl",
        "events-000000000201-000000000251.jsonl",
    ]
    assert [event.event_type for event in log(database)] == ["segment_detached"] * 3
    assert len(log(database, "other")) == 1
    assert rows(database, "events") == 1 + 3 + 1, "what the server looks up stays"
    standing = database.read_now(
        lambda transaction: transaction.events(HERE, EventFilter(types=frozenset({"caxton_ready"})), limit=10)
    )
    assert [event.event_id for event in standing] == [ready.event_id]
    verified = await EventLog(database).verify(CALLER, None)
    assert (verified.ok, verified.problem, verified.checked, verified.detached) == (True, None, 3, 251)
    check = LogCheck(written_down)
    for file in files:
        check.read_segment(file)
    assert check.chain
    assert check.chain.problem is None
    assert check.chain.last == written_down == EventHead(verified.detached, verified.detached_hash or "")
    append(database, event("after"))
    assert (await EventLog(database).verify(CALLER, EventHead(251, verified.detached_hash or ""))).ok
    assert "rewritten" in ((await EventLog(database).verify(CALLER, EventHead(251, "0" * 64))).problem or "")


@pytest.mark.requirement("EVT-9")
async def test_a_segment_and_what_follows_it_verify_together(database: Database, tmp_path: Path) -> None:
    fill(database)
    found = archive(database, tmp_path)
    assert await found.detach("acme", 3600)
    lines = [event.model_dump_json() for event in log(database)]
    rest = tmp_path / "rest.ndjson"
    rest.write_text("\n".join(lines))
    (file,) = (tmp_path / "acme").iterdir()
    check = LogCheck()
    check.read_segment(file)
    check.read_events(rest)
    assert check.chain
    assert (check.chain.problem, check.chain.checked) == (None, 251)
    rest.write_text("\n".join(lines[1:]))
    check = LogCheck()
    check.read_segment(file)
    check.read_events(rest)
    assert "event 101 is missing" in str(check.chain and check.chain.problem)


@pytest.mark.requirement("EVT-9")
@pytest.mark.parametrize(
    ("line", "change", "problem"),
    [
        (5, ('"k4"', '"k9"'), "event 5 (key_created) is not"),
        (5, None, "event 5 is missing"),
        (100, None, "its head says 100"),
        (0, ('"last":100', '"last":99'), "its head says 99"),
    ],
)
async def test_a_file_that_was_changed_is_found_out(
    database: Database, tmp_path: Path, line: int, change: tuple[str, str] | None, problem: str
) -> None:
    fill(database, 150)
    await archive(database, tmp_path).detach("acme", 3600)
    (file,) = (tmp_path / "acme").iterdir()
    lines = file.read_text().splitlines()
    assert '"k4"' in lines[5]
    lines[line : line + 1] = [lines[line].replace(*change)] if change else []
    file.write_text("\n".join(lines))
    check = LogCheck()
    check.read_segment(file)
    assert problem in str(check.chain and check.chain.problem)


async def test_files_that_are_no_segments_or_do_not_follow_are_refused(database: Database, tmp_path: Path) -> None:
    fill(database)
    await detach_all(archive(database, tmp_path))
    first, _, third = sorted((tmp_path / "acme").iterdir())
    check = LogCheck()
    check.read_segment(first)
    with pytest.raises(InvalidInput, match="begins behind event 200"):
        check.read_segment(third)
    other = tmp_path / "other.jsonl"
    other.write_text("hello")
    with pytest.raises(InvalidInput):
        LogCheck().read_segment(other)
    other.write_text(json.dumps({"sequence": 1}))
    with pytest.raises(InvalidInput, match="not a head"):
        LogCheck().read_segment(other)


@pytest.mark.requirement("EVT-9")
@pytest.mark.requirement("EVT-1")
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM events WHERE sequence = 1",
        "DELETE FROM events WHERE sequence = 130",
        "DELETE FROM event_blocks",
        "DELETE FROM event_segments",
        "UPDATE event_segments SET root_hash = 'x'",
        "UPDATE event_segments SET last_sequence = 200",
        "INSERT INTO event_segments SELECT customer, 200, 101, 100, root_hash, root_hash, began_at, ended_at,"
        " open_executions, file, file_hash, bytes, event_id, detached_at FROM event_segments",
        "INSERT INTO event_segments SELECT customer, 200, 150, 51, root_hash, (SELECT hash FROM events"
        " WHERE customer = 'acme' AND sequence = 200), began_at, ended_at, open_executions, file, file_hash, bytes,"
        " event_id, detached_at FROM event_segments",
        # all of it is right, but no event tells of it
        "INSERT INTO event_segments SELECT customer, 200, 101, 100, root_hash, (SELECT hash FROM events"
        " WHERE customer = 'acme' AND sequence = 200), began_at, ended_at, open_executions, file, file_hash, bytes,"
        " 'none', detached_at FROM event_segments; DELETE FROM events WHERE customer = 'acme' AND sequence = 150",
    ],
)
async def test_the_database_refuses_every_other_way(database: Database, tmp_path: Path, statement: str) -> None:
    fill(database)
    await archive(database, tmp_path).detach("acme", 3600)
    before = log(database)
    assert len(before) == 151
    if "= 1" in statement and "130" not in statement and "150" not in statement:
        statement = statement.replace("sequence = 1", "sequence = 1 AND customer = 'other'")
    first, _, second = statement.partition("; ")
    with database.engine.connect() as connection:
        if database.is_sqlite:
            connection.exec_driver_sql("BEGIN")
        if second:
            connection.exec_driver_sql(first)
        with pytest.raises(DBAPIError, match="append-only"):
            connection.exec_driver_sql(second or first)
        connection.rollback()
    assert log(database) == before


@pytest.mark.requirement("EVT-9")
async def test_a_segment_of_which_no_event_tells_is_found_out(database: Database, tmp_path: Path) -> None:
    fill(database)
    await archive(database, tmp_path).detach("acme", 3600)
    with database.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO event_segments SELECT customer, 200, 101, 100, root_hash, (SELECT hash FROM events"
            " WHERE customer = 'acme' AND sequence = 200), began_at, ended_at, open_executions, file, file_hash, bytes,"
            " 'none', detached_at FROM event_segments"
        )
    verified = await EventLog(database).verify(CALLER, None)
    assert not verified.ok
    assert "events 101 to 200 are hidden by a segment of which no event tells" in (verified.problem or "")


@pytest.mark.requirement("EVT-9")
async def test_a_log_that_is_broken_is_not_detached(database: Database, tmp_path: Path) -> None:
    fill(database)
    with database.engine.begin() as connection:
        if database.is_sqlite:
            connection.execute(text("DROP TRIGGER events_never_change"))
        else:
            connection.execute(text("ALTER TABLE events DISABLE TRIGGER ALL"))
        connection.execute(text("UPDATE events SET actor = 'nobody' WHERE customer = 'acme' AND sequence = 50"))
    with pytest.raises(CaxtonError, match=r"event 50 .* is not what was written"):
        await archive(database, tmp_path).detach("acme", 3600)
    assert rows(database, "events") == 251
    assert not (tmp_path / "acme").exists()


@pytest.mark.requirement("EVT-9")
async def test_a_crash_at_any_point_loses_nothing(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(database)

    class KilledError(Exception):
        pass

    async def die(*_arguments: object) -> None:
        raise KilledError

    for method, left in (("_record", 251), ("_take_out", 253)):
        with monkeypatch.context() as patched:
            patched.setattr(Archive, method, die)
            with pytest.raises(KilledError):
                await archive(database, tmp_path).detach("acme", 3600)
        assert rows(database, "events") == left
        assert (await EventLog(database).verify(CALLER, None)).ok
    found = archive(database, tmp_path)
    await found.set(CALLER, 3600.0)
    await found.apply(_deadline())
    assert [segment.head.last for segment in await found.segments("acme")] == [100, 200, 253]
    assert len(list((tmp_path / "acme").iterdir())) == 3


def _deadline():
    from caxton.domain.records import Deadline

    return Deadline(HERE, module.LOG, "retention", 0, journal.now(), {})


@pytest.mark.requirement("EVT-9")
async def test_few_or_young_or_unread_events_stay(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(database, 50)
    young = archive(database, tmp_path, now=journal.now)
    assert not await young.detach("acme", 3600)
    with monkeypatch.context() as patched:
        patched.setattr(module, "SMALLEST_AFTER", timedelta(days=1))
        soon = archive(database, tmp_path, now=lambda: journal.now() + timedelta(minutes=61))
        assert not await soon.detach("acme", 3600), "few wait a quarter of the period for more"
    unread = Archive(database, FileArchive(tmp_path), None, ["timeline"], now=in_an_hour())
    assert not await unread.detach("acme", 3600)
    assert await archive(database, tmp_path).detach("acme", 3600)
    assert not await archive(database, tmp_path).detach("acme", 0.001), "what tells of segments makes no segment"


@pytest.mark.requirement("EVT-9")
async def test_views_are_built_anew_from_the_archive(database: Database, tmp_path: Path) -> None:
    fill(database)
    files = FileArchive(tmp_path)
    projections = Projections(database, files)
    before = {name: (await projections.show(CALLER, name)).documents for name in PROJECTIONS}
    await detach_all(Archive(database, files, None, [*PROJECTIONS], now=in_an_hour()))
    for name in PROJECTIONS:
        rebuilt = await projections.rebuild(CALLER, name)
        assert rebuilt.behind <= 1
        for key, document in before[name].items():
            assert key in rebuilt.documents
            if "at" in key:
                assert rebuilt.documents[key] == document
    moved = next((tmp_path / "acme").iterdir()).rename(tmp_path / "elsewhere")
    with pytest.raises(EventsDetached) as caught:
        await Projections(database, FileArchive(tmp_path)).rebuild(CALLER, next(iter(PROJECTIONS)))
    assert str(tmp_path) in caught.value.message
    assert moved.exists()
    assert (await Projections(database, files).show(CALLER, next(iter(PROJECTIONS)))).behind <= 3, "the old one stays"


@pytest.mark.requirement("EVT-9")
async def test_ranges_of_time_are_found_in_what_is_left(database: Database, tmp_path: Path) -> None:
    fill(database)
    await archive(database, tmp_path).detach("acme", 3600)
    begin = log(database)[0].timestamp
    since = database.read_now(lambda transaction: transaction.events(HERE, EventFilter(since=begin), limit=1000))
    assert since[0].sequence == 101
    none = EventFilter(until=begin - timedelta(days=1))
    assert database.read_now(lambda transaction: transaction.events(HERE, none, limit=1000)) == []


async def test_a_period_that_was_set_can_be_read_in_the_log(database: Database, tmp_path: Path) -> None:
    found = archive(database, tmp_path)
    for period in (3600.0, "forever", None):
        await found.set(CALLER, period)
    told = [event.user_message for event in log(database)]
    assert told == ["period of the event log set"] * 3
    assert await found.period("acme") == (None, True)
