"""Periods of retention over both stores, with a clock that is given."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import cast

import pytest

from caxton.adapters.archive import FileArchive
from caxton.adapters.blobs import FileBlobs
from caxton.adapters.store.database import Database
from caxton.adapters.store.transaction import SqlTransaction
from caxton.domain.conversations import ConversationState
from caxton.domain.executions import ExecutionState, Usage
from caxton.domain.ids import ConversationId, Digest, ExecutionId
from caxton.domain.records import Deadline, EventFilter, StepRecord
from caxton.domain.retention import Periods
from caxton.service import retention as module
from caxton.service.archive import Archive
from caxton.service.deletion import Deletions
from caxton.service.engine import Engine
from caxton.service.retention import Retention
from tests.conformance.test_deletion import rows
from tests.conformance.test_records import BEGIN, HERE, conversation, execution, message

HOUR = 3600.0
NIGHT = BEGIN + timedelta(hours=10)


@dataclass
class Clock:
    moment: datetime = NIGHT

    def __call__(self) -> datetime:
        return self.moment


def record(transaction: SqlTransaction, hours: int = 10) -> None:
    """A conversation an hour, each of one turn; the last two are at work."""
    for number in range(1, hours + 1):
        at = BEGIN + timedelta(hours=number - 1)
        at_work = number > hours - 2
        of = ConversationId(f"c_{number}")
        state = ConversationState.IN_PROGRESS if at_work else ConversationState.COMPLETED
        transaction.add_conversation(HERE, conversation(number, state=state, last_activity=at), one_shot=True)
        done = execution(
            number,
            ExecutionState.RUNNING if at_work else ExecutionState.COMPLETED,
            conversation_id=of,
            started_at=at,
            finished_at=None if at_work else at + timedelta(seconds=1),
        )
        transaction.add_execution(HERE, done)
        for step in range(2):
            transaction.add_step(HERE, StepRecord(ExecutionId(f"x_{number}"), step, 0, "model", ok=True, payload={}))
        transaction.add_message(HERE, message(number, of).model_copy(update={"created_at": at}))


def retention(database: Database, _clock: Clock | None = None, /, **defaults: float) -> Retention:
    deletions = Deletions(database, cast("Engine", None), cast("FileBlobs", None), None)
    archive = Archive(database, FileArchive(Path("nowhere")), None, [])
    return Retention(database, deletions, Periods(**defaults), archive, now=_clock or Clock())


DUE = Deadline(HERE, ExecutionId("retention"), "retention", 0, BEGIN, {})

COUNTED = ("conversations", "messages", "executions", "steps")


def counts(database: Database) -> list[int]:
    return [rows(database, table) for table in COUNTED]


@pytest.mark.requirement("EVT-9")
@pytest.mark.parametrize(
    ("periods", "left"),
    [
        ({}, [10, 10, 10, 20]),
        ({"steps": 5.5 * HOUR}, [10, 10, 10, 10]),
        ({"messages": 5.5 * HOUR}, [10, 5, 10, 20]),
        ({"messages": HOUR, "executions": HOUR}, [10, 2, 2, 4]),
        ({"conversations": 5.5 * HOUR}, [5, 5, 5, 10]),
        ({"conversations": 1.0, "steps": 1.0}, [2, 2, 2, 4]),
    ],
)
async def test_what_is_older_than_its_period_goes(
    database: Database, periods: dict[str, float], left: list[int]
) -> None:
    database.write_now(record)
    again = await retention(database, **periods).apply(DUE)
    assert counts(database) == left
    assert (again is None) == (not periods)
    told = database.read_now(
        lambda transaction: transaction.events(HERE, EventFilter(types=frozenset({"retention_applied"})), limit=10)
    )
    assert {event.payload["kind"] for event in told} in (set(periods), {"conversations"})
    assert {event.actor for event in told} <= {"system"}
    await retention(database, **periods).apply(DUE)
    assert counts(database) == left, "to apply it again changes nothing"


@pytest.mark.requirement("EVT-9")
async def test_much_goes_in_batches_with_an_event_each(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONVERSATIONS", 3)
    monkeypatch.setattr(module, "BATCH", 1)
    database.write_now(record)
    await retention(database, conversations=HOUR).apply(DUE)
    assert rows(database, "conversations") == 2
    told = database.read_now(lambda transaction: transaction.log("acme", limit=100))
    assert [event.payload["count"] for event in told] == [3, 3, 2]
    assert rows(database, "executions") > 2, "the rest of long conversations goes with what is left to do elsewhere"
    left = database.read_now(lambda transaction: transaction.deadline_backlog(NIGHT + timedelta(days=1)))
    assert left.due == 3


@pytest.mark.requirement("EVT-9")
async def test_steps_go_once_and_later_ones_when_their_time_comes(database: Database) -> None:
    database.write_now(record)
    clock = Clock()
    applied = retention(database, clock, steps=5.5 * HOUR)
    await applied.apply(DUE)
    clock.moment += timedelta(hours=2)
    await applied.apply(DUE)
    assert rows(database, "steps") == 6
    database.write_now(
        lambda transaction: transaction.finish_execution(
            HERE,
            ExecutionId("x_9"),
            ExecutionState.COMPLETED,
            reply_id=None,
            error=None,
            usage=Usage(),
            at=clock.moment,
        )
    )
    clock.moment += timedelta(hours=10)
    await applied.apply(DUE)
    assert rows(database, "steps") == 2


@pytest.mark.requirement("EVT-9")
async def test_uploads_of_no_version_go(database: Database) -> None:
    digest = Digest("d" * 64)
    database.write_now(lambda transaction: transaction.add_contents(HERE, [digest]))
    clock = Clock(datetime.now(NIGHT.tzinfo) + timedelta(hours=2))
    await retention(database, clock, contents=HOUR * 3).apply(DUE)
    assert rows(database, "workspace_contents") == 1
    await retention(database, clock, contents=HOUR).apply(DUE)
    assert rows(database, "workspace_contents") == 0
    assert database.read_now(lambda transaction: transaction.unused_contents("acme", [digest])) == [digest]


def test_a_workspace_is_looked_at_once_however_often_it_is_noted(database: Database) -> None:
    for seconds, sooner in ((60, False), (30, True), (90, False)):
        at = BEGIN + timedelta(seconds=seconds)
        database.write_now(partial(SqlTransaction.apply_retention_at, scope=HERE, moment=at, sooner=sooner))
    due = database.read_now(lambda transaction: transaction.deadline_backlog(NIGHT))
    assert (due.due, due.oldest) == (1, BEGIN + timedelta(seconds=30))


def test_periods_that_contradict_each_other_are_refused() -> None:
    assert Periods(executions=HOUR, messages=2 * HOUR).problem
    assert Periods(executions=HOUR).problem
    assert Periods(executions=HOUR, messages=HOUR, steps=2 * HOUR).problem
    assert Periods(executions=HOUR, messages=HOUR).problem is None
    assert Periods(messages="forever").over(Periods(messages=HOUR)).seconds("messages") is None
    assert Periods().over(Periods(messages=HOUR)).seconds("messages") == HOUR
