"""The log keeps its promises over SQLite and over PostgreSQL: append-only, chained, gapless, in order."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from caxton.adapters.store import events as store_events
from caxton.adapters.store.database import Database, sqlite_url
from caxton.adapters.store.migrate import migrate
from caxton.adapters.store.schema import events as events_table
from caxton.adapters.store.transaction import SqlTransaction
from caxton.domain.errors import CaxtonError
from caxton.domain.events import Event
from caxton.domain.events.chain import GENESIS, ChainCheck, EventHead
from caxton.domain.events.system import KeyCreated, KeyRevoked
from caxton.domain.ids import DeploymentId, Scope, new_id
from caxton.domain.permissions import BUILT_IN, Role
from caxton.domain.records import EventFilter
from caxton.recording.journal import note
from caxton.service.context import Caller
from caxton.service.event_log import EventLog

HERE = Scope(customer="acme", workspace="here")
THERE = Scope(customer="acme", workspace="there")
OTHER = Scope(customer="other", workspace="here")


def event(name: str = "key", scope: Scope = HERE, **envelope: Any) -> Event:
    payload = KeyCreated(key_id=new_id("k"), name=name, role="admin")
    return note(scope, payload, new_id("fact"), **envelope)


def append(database: Database, *events: Event, scope: Scope = HERE) -> None:
    database.write_now(lambda transaction: transaction.add_events(scope, events))


def log(database: Database, customer: str = "acme") -> list[Event]:
    return database.read_now(lambda transaction: transaction.log(customer, limit=100_000))


def verify(database: Database, customer: str = "acme", expected: EventHead | None = None) -> ChainCheck:
    check = ChainCheck(customer, expected)
    for found in log(database, customer):
        check.read(found)
    check.end(database.read_now(lambda transaction: transaction.event_head(customer)))
    return check


@pytest.mark.requirement("EVT-1")
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET actor = 'nobody'",
        "UPDATE events SET actor = 'nobody' WHERE sequence = 999",
        "DELETE FROM events WHERE sequence = 1",
        "DELETE FROM events",
        "DELETE FROM event_heads",
        "DELETE FROM event_blocks",
        "UPDATE event_blocks SET block = 7",
        "UPDATE event_heads SET sequence = 1",
        "UPDATE event_heads SET hash = 'x'",
        "INSERT OR REPLACE INTO events SELECT * FROM events WHERE sequence = 1",
        "INSERT OR REPLACE INTO event_heads SELECT customer, 1, timestamp, hash FROM event_heads",
        "INSERT INTO events SELECT * FROM events WHERE sequence = 1",
        "TRUNCATE events",
        "TRUNCATE event_heads",
        "TRUNCATE event_blocks",
    ],
)
def test_the_database_itself_refuses_to_change_the_log(database: Database, statement: str) -> None:
    append(database, event(), event())
    before = log(database)
    if not database.is_sqlite and "OR REPLACE" in statement:
        keys = "(customer)" if "event_heads" in statement else "(customer, sequence)"
        statement = statement.replace(" OR REPLACE", "") + f" ON CONFLICT {keys} DO UPDATE SET sequence = 1"
    if "999" in statement and database.is_sqlite:
        pytest.skip("SQLite's triggers run for rows: a statement that touches none has nothing to refuse")
    with pytest.raises(DBAPIError) as caught, database.engine.begin() as connection:
        connection.exec_driver_sql(statement)
    keys = statement.startswith("INSERT") and "unique constraint" in str(caught.value)
    assert "append-only" in str(caught.value) or keys or (database.is_sqlite and "TRUNCATE" in statement)
    assert log(database) == before


def insert(database: Database, head: int, *sequences: int) -> None:
    """Moves the head, and inserts copies of the first event, in one statement."""
    names = [column.name for column in events_table.columns]
    copies = [
        "SELECT " + ", ".join({"sequence": str(each), "event_id": f"'e_{each}'"}.get(name, name) for name in names)
        for each in sequences
    ]
    rows = " UNION ALL ".join(f"{copy} FROM events WHERE sequence = 1" for copy in copies)
    with database.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE event_heads SET sequence = {head}")
        connection.exec_driver_sql(f"INSERT INTO events ({', '.join(names)}) {rows}")


@pytest.mark.requirement("EVT-1")
@pytest.mark.parametrize(
    ("head", "sequences"),
    [(3, (4,)), (9, (4,)), (9, (3, 5)), (9, (4, 5)), (3, (3, 4)), (9, (0,)), (9, (-1,)), (9, (2, 3)), (9, (1,))],
)
def test_the_database_itself_refuses_events_that_do_not_follow_the_last_one(
    database: Database, head: int, sequences: tuple[int, ...]
) -> None:
    append(database, event(), event())
    before = log(database)
    with pytest.raises(DBAPIError) as caught:
        insert(database, head, *sequences)
    assert "append-only" in str(caught.value) or "unique constraint" in str(caught.value)
    assert log(database) == before


def test_the_database_takes_events_that_follow_the_last_one(database: Database) -> None:
    append(database, event(), event())
    insert(database, 4, 3, 4)
    insert(database, 9, 5)
    assert len(log(database)) == 5


@pytest.mark.requirement("EVT-7")
@pytest.mark.parametrize(
    ("tamper", "problem"),
    [
        ("UPDATE events SET actor = 'nobody' WHERE sequence = 3", "event 3 (key_created) is not what was written"),
        ("UPDATE events SET payload = '{}' WHERE sequence = 4", "event 4 (key_created) is not what was written"),
        (
            "UPDATE events SET timestamp = timestamp + 1 WHERE sequence = 1",
            "event 1 (key_created) is not what was written",
        ),
        ("DELETE FROM events WHERE sequence = 2", "event 2 is missing: 3 follows"),
        ("DELETE FROM events WHERE sequence = 1", "event 1 is missing: 2 follows"),
        ("DELETE FROM events WHERE sequence = 5", "event 5 is missing: the log should end at 5"),
    ],
)
def test_who_takes_the_triggers_away_is_still_found_out(database: Database, tamper: str, problem: str) -> None:
    append(database, *(event(f"k{number}") for number in range(5)))
    assert verify(database).problem is None
    with database.engine.begin() as connection:
        if database.is_sqlite:
            for trigger in ("events_never_change", "events_never_go"):
                connection.exec_driver_sql(f"DROP TRIGGER {trigger}")
        else:
            connection.exec_driver_sql("ALTER TABLE events DISABLE TRIGGER ALL")
        connection.exec_driver_sql(tamper)
    found = verify(database)
    assert found.problem == problem
    assert found.broken_at == int("".join(filter(str.isdigit, problem.partition("(")[0].partition(":")[0])))


@pytest.mark.requirement("EVT-7")
def test_a_log_that_was_rewritten_whole_does_not_hold_against_a_head_that_was_written_down(database: Database) -> None:
    append(database, event("true"), event("true"))
    written_down = database.read_now(lambda transaction: transaction.event_head("acme"))
    assert verify(database, expected=written_down).problem is None
    with database.engine.begin() as connection:
        if database.is_sqlite:
            for name in ("events_never_go", "event_heads_never_go"):
                connection.exec_driver_sql(f"DROP TRIGGER {name}")
        else:
            connection.exec_driver_sql("ALTER TABLE events DISABLE TRIGGER ALL")
            connection.exec_driver_sql("ALTER TABLE event_heads DISABLE TRIGGER ALL")
        connection.exec_driver_sql("DELETE FROM events")
        connection.exec_driver_sql("DELETE FROM event_heads")
    append(database, event("false"), event("false"), event("false"))
    assert verify(database).problem is None
    assert "rewritten" in (verify(database, expected=written_down).problem or "")
    far = EventHead(99, "0" * 64)
    assert "cut off" in (verify(database, expected=far).problem or "")


def test_writers_at_the_same_time_leave_no_gap_and_one_chain(database: Database) -> None:
    """Also writers of another process: a second connection pool."""
    second = Database(database.url)
    try:

        def write(number: int) -> None:
            writer = (database, second)[number % 2]
            scope = (HERE, THERE, OTHER)[number % 3]
            append(writer, *(event(f"{number}.{each}", scope) for each in range(3)), scope=scope)

        with ThreadPoolExecutor(8) as workers:
            list(workers.map(write, range(60)))
    finally:
        second.close()
    for customer, count in (("acme", 120), ("other", 60)):
        events = log(database, customer)
        assert [found.sequence for found in events] == list(range(1, count + 1))
        assert verify(database, customer).problem is None
        # What one transaction wrote lies together.
        numbers = [found.payload["name"].partition(".")[0] for found in events]
        assert all(len(set(numbers[place : place + 3])) == 1 for place in range(0, count, 3))


def test_a_clock_that_goes_back_does_not_take_the_log_with_it(database: Database) -> None:
    now = datetime.now(UTC)
    for hours in (0, -5, 1, -2):
        append(database, event().model_copy(update={"timestamp": now + timedelta(hours=hours)}))
    times = [found.timestamp for found in log(database)]
    assert times == sorted(times)
    assert times[1] == times[0]
    assert verify(database).problem is None

    def since(moment: datetime) -> int:
        return len(database.read_now(lambda t: t.events(HERE, EventFilter(since=moment), limit=10)))

    assert since(now) == 4
    assert since(now + timedelta(minutes=30)) == 2
    assert since(now + timedelta(hours=2)) == 0


def test_times_are_found_whatever_the_length_of_the_log(database: Database) -> None:
    first = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(40):
        # Each time stands three times, so that the first of several has to be found.
        append(database, event().model_copy(update={"timestamp": first + timedelta(minutes=number // 3)}))

        def between(since: datetime, until: datetime) -> list[int]:
            wanted = EventFilter(since=since, until=until)
            found = database.read_now(lambda t, wanted=wanted: t.events(HERE, wanted, limit=100))
            return [each.sequence or 0 for each in found]

        places = range(1, number + 2)
        for minute in (-1, 0, 5, number // 3, number // 3 + 1):
            since, until = first + timedelta(minutes=minute), first + timedelta(minutes=minute + 2)
            assert between(since, until) == [place for place in places if minute <= (place - 1) // 3 < minute + 2]


def test_rare_values_are_found_in_their_index(database: Database) -> None:
    if not database.is_sqlite:
        pytest.skip("PostgreSQL's planner goes by statistics, and a small table is read whole")
    for table, column, index in (("events", "error_code", "events_by_error"), ("steps", "tool", "steps_by_tool")):
        query = f"EXPLAIN QUERY PLAN SELECT * FROM {table} WHERE customer = ? AND workspace = ? AND {column} = ?"
        with database.engine.connect() as connection:
            plan = connection.exec_driver_sql(query, ("a", "b", "c")).all()
        assert index in str(plan)


def test_the_same_fact_is_told_once(database: Database) -> None:
    told = note(HERE, KeyRevoked(key_id="k_1"), "k_1")
    again = note(HERE, KeyRevoked(key_id="k_1"), "k_1")
    assert told.event_id == again.event_id
    assert note(THERE, KeyRevoked(key_id="k_1"), "k_1").event_id != told.event_id

    def once(*events: Event) -> list[str]:
        found: list[Event] = database.write_now(lambda transaction: transaction.add_events_once(HERE, events))
        return [each.event_id for each in found]

    assert once(told) == [told.event_id]
    assert once(again) == []
    other = event()
    assert once(again, other, told) == [other.event_id]
    # Written without looking, it fails the transaction, with everything in it.
    before = log(database)
    with pytest.raises(CaxtonError):
        append(database, event(), told)
    assert log(database) == before


def test_an_event_comes_back_as_it_was_written(database: Database) -> None:
    written = event(
        "Zoë 🦉",
        actor="operator:anna",
        agent="analyst",
        skill_id="analyze",
        execution_id="x_1",
        correlation_id="x_1",
        conversation_id="c_1",
        error_code="oops",
        latency_ms=0.1 + 0.2,
        channel_type="cli",
        risk_level="high",
        approval_mode="founder",
    )
    append(database, written)
    (found,) = log(database)
    assert found.model_copy(update={"sequence": None, "hash": None}) == written.model_copy(
        update={"sequence": None, "hash": None, "trace_id": found.trace_id}
    )
    assert found.sequence == 1
    assert verify(database).last.hash == found.hash
    by_id = database.read_now(lambda transaction: transaction.event("acme", written.event_id))
    assert by_id == found
    assert database.read_now(lambda transaction: transaction.event("other", written.event_id)) is None


@pytest.mark.requirement("EVT-3")
def test_every_filter_narrows_and_pages_meet(database: Database) -> None:
    for number in range(30):
        append(
            database,
            event(
                f"k{number}",
                agent=f"a{number % 2}",
                actor=f"operator:{number % 3}",
                skill_id=f"s{number % 5}",
                error_code="oops" if number % 10 == 0 else None,
                correlation_id=f"x_{number // 3}",
                conversation_id=f"c_{number // 6}",
                deployment_id=f"d_{number // 15}",
            ),
        )

    def names(wanted: EventFilter, **options: Any) -> list[int]:
        found = database.read_now(lambda t: t.events(HERE, wanted, **{"limit": 100, **options}))
        return [int(each.payload["name"][1:]) for each in found]

    checks: list[tuple[EventFilter, Callable[[int], bool]]] = [
        (EventFilter(), lambda n: True),
        (EventFilter(agent="a1"), lambda n: n % 2 == 1),
        (EventFilter(actor="operator:2", skill_id="s1"), lambda n: n % 3 == 2 and n % 5 == 1),
        (EventFilter(error_code="oops"), lambda n: n % 10 == 0),
        (EventFilter(correlation_id="x_4"), lambda n: n // 3 == 4),
        (EventFilter(conversation_id="c_2", agent="a0"), lambda n: n // 6 == 2 and n % 2 == 0),
        (EventFilter(deployment_id="d_1"), lambda n: n // 15 == 1),
        (EventFilter(types=frozenset({"key_created", "key_revoked"})), lambda n: True),
        (EventFilter(types=frozenset({"key_revoked"})), lambda n: False),
    ]
    for wanted, holds in checks:
        expected = [number for number in range(30) if holds(number)]
        assert names(wanted) == expected
        assert names(wanted, newest=True) == expected[::-1]
        assert names(wanted, after=10, before=21) == [n for n in expected if 10 <= n < 20]
    assert names(EventFilter(), limit=7, after=5) == list(range(5, 12))
    assert database.read_now(lambda t: t.events(OTHER, EventFilter(), limit=10)) == []
    assert database.read_now(lambda t: t.events(THERE, EventFilter(), limit=10)) == []


async def test_an_event_that_filters_do_not_find_is_named(database: Database) -> None:
    append(database, *(event(agent=f"a{number}") for number in range(4)))
    auditor = Caller(HERE, Role.OPERATOR, "k", "auditor", permissions=BUILT_IN[Role.OPERATOR])
    assert (await EventLog(database).verify(auditor, None)).ok
    with database.engine.begin() as connection:
        if database.is_sqlite:
            connection.exec_driver_sql("DROP TRIGGER event_blocks_never_go")
        else:
            connection.exec_driver_sql("ALTER TABLE event_blocks DISABLE TRIGGER ALL")
        connection.exec_driver_sql("DELETE FROM event_blocks WHERE value = 'a2'")
    found = await EventLog(database).verify(auditor, None)
    assert not found.ok
    assert found.problem == "event 3 is missing in the index of the log: a filter by agent does not find it"
    assert found.checked == 5


@pytest.mark.parametrize("first_step", [1, 8])
def test_what_is_found_by_blocks_is_what_is_there(
    database: Database, first_step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_events, "FIRST_STEP", first_step)
    monkeypatch.setattr(store_events, "STEP_GROWS", 2)
    some = random.Random(5)
    written: list[Event] = []
    for _ in range(8):  # several blocks, of which each write but the first goes on with one
        batch = [_any_event(some, number) for number in range(some.randrange(1, 120))]
        for scope, own in groupby(batch, lambda each: each.workspace):
            append(database, *own, scope=Scope(customer="acme", workspace=scope))
        written += batch
    for number, each in enumerate(written, start=1):
        each.sequence = number

    for _ in range(150):
        wanted = EventFilter(
            types=frozenset(some.sample(["key_created", "key_revoked", "unheard_of"], some.randrange(3))),
            agent=some.choice([None, None, "a0", "a1", "rare", "nobody"]),
            actor=some.choice([None, None, "operator:0", "operator:1"]),
            skill_id=some.choice([None, None, "s0", "rare"]),
            deployment_id=some.choice([None, None, "d_0"]),
            correlation_id=some.choice([None, None, None, None, "x_1"]),
        )
        after, limit, newest = some.randrange(len(written)), some.choice([1, 7, 1000]), some.random() < 0.5
        before = some.choice([None, some.randrange(len(written) + 9)])
        expected = [
            each.sequence
            for each in written
            if each.workspace == HERE.workspace
            and (each.sequence or 0) > after
            and (before is None or (each.sequence or 0) < before)
            and (not wanted.types or each.event_type in wanted.types)
            and all(getattr(wanted, name) in (None, getattr(each, name)) for name in EventFilter.EQUALITIES)
        ]
        expected = expected[::-1][:limit] if newest else expected[:limit]
        read = partial(_read, wanted=wanted, after=after, before=before, newest=newest, limit=limit)
        found = database.read_now(read)
        assert [each.sequence for each in found] == expected


def _read(transaction: SqlTransaction, **asked: Any) -> list[Event]:
    return transaction.events(HERE, **asked)


def _any_event(some: random.Random, number: int) -> Event:
    scope = some.choice([HERE, HERE, THERE])
    payload = KeyRevoked(key_id="k") if some.random() < 0.2 else KeyCreated(key_id="k", name="n", role="admin")
    return note(
        scope,
        payload,
        new_id("fact"),
        agent="rare" if some.random() < 0.01 else some.choice([None, "a0", "a1"]),
        actor=f"operator:{some.randrange(2)}",
        skill_id="rare" if some.random() < 0.01 else some.choice([None, "s0", "s1"]),
        deployment_id=some.choice([None, DeploymentId("d_0")]),
        correlation_id=f"x_{number % 9}",
    )


@pytest.mark.requirement("EVT-7")
def test_an_event_cannot_be_put_behind_the_end(database: Database) -> None:
    append(database, event(), event())
    columns = ", ".join(column.name for column in events_table.columns if column.name not in ("sequence", "event_id"))
    forged = f"INSERT INTO events (sequence, event_id, {columns}) SELECT {{}}, 'forged', {columns} FROM events WHERE sequence = 2"
    for sequence in (3, 1000):
        with pytest.raises(DBAPIError, match="append-only"), database.engine.begin() as connection:
            connection.exec_driver_sql(forged.format(sequence))
    with database.engine.begin() as connection:  # with the guard taken away it is written, and still not believed
        trigger = "DROP TRIGGER events_only_follow"
        connection.exec_driver_sql(trigger if database.is_sqlite else f"{trigger} ON events")
        connection.exec_driver_sql(forged.format(1000))
    assert len(log(database)) == 2
    assert database.read_now(lambda t: t.event("acme", "forged")) is None
    assert len(database.read_now(lambda t: t.events(HERE, limit=10))) == 2
    assert database.read_now(lambda t: t.event_beyond_head("acme")) == 1000
    append(database, event())
    assert verify(database).problem is None


def test_what_is_damaged_is_named_and_no_reason_to_fail(database: Database) -> None:
    append(database, event(), event(), event())
    with database.engine.begin() as connection:
        if database.is_sqlite:
            connection.exec_driver_sql("DROP TRIGGER events_never_change")
            connection.exec_driver_sql("UPDATE events SET timestamp = 'garbage' WHERE sequence = 3")
        else:
            connection.exec_driver_sql("ALTER TABLE events DISABLE TRIGGER ALL")
        connection.exec_driver_sql("UPDATE events SET payload = '{x' WHERE sequence = 2")
    assert verify(database).problem == "event 2 (key_created) is not what was written"
    assert len(log(database)) == 3


def test_an_empty_log_is_one_too(database: Database) -> None:
    assert verify(database).last == EventHead(0, GENESIS)
    assert log(database) == []


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_events_of_the_first_version_are_chained_when_they_are_taken_over(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    from alembic import command
    from alembic.config import Config

    import caxton.adapters.store as store

    on_sqlite = kind == "sqlite"
    url = sqlite_url(tmp_path / "old.db") if on_sqlite else request.getfixturevalue("postgres").new_database()
    database = Database(url)
    config = Config()
    config.set_main_option("script_location", str(Path(store.__file__).parent / "migrations"))
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for number in range(1, 7):
            customer = "acme" if number % 2 else "other"
            connection.execute(
                text(
                    "INSERT INTO events (customer, workspace, event_id, event_type, timestamp, actor, payload)"
                    " VALUES (:customer, 'here', :id, 'execution_completed', :time, 'system', :payload)"
                ),
                {
                    "customer": customer,
                    "id": f"e{number}",
                    "time": 1_000_000 * (10 - number),
                    "payload": '{"b": "ü", "a": 1}',
                },
            )
    migrate(database)
    for customer in ("acme", "other"):
        events = log(database, customer)
        assert [found.sequence for found in events] == [1, 2, 3]
        assert events[0].payload == {"a": 1, "b": "ü"}
        assert verify(database, customer).problem is None
        finished = EventFilter(types=frozenset({"execution_completed"}))
        scope = Scope(customer=customer, workspace="here")
        assert database.read_now(lambda t, scope=scope, wanted=finished: t.events(scope, wanted, limit=10)) == events
    append(database, event())
    assert verify(database).last.sequence == 4
    database.close()
