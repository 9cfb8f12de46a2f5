"""Deadlines over both stores: each is dealt with once, and one that fails holds up no other one."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

import pytest

from caxton.adapters.store.database import Database
from caxton.adapters.store.transaction import SqlTransaction
from caxton.domain.errors import CaxtonError, MemoryUnavailable, NotFound
from caxton.domain.ids import ExecutionId, Scope
from caxton.domain.records import Backlog, Deadline, EventFilter
from caxton.recording import journal
from caxton.service.deadline_worker import DeadlineWorker, check_deadlines
from caxton.service.engine import Engine

HERE = Scope(customer="acme", workspace="here")
THERE = Scope(customer="other", workspace="there")


@dataclass
class Memory:
    """Stands for a memory that fails for some executions."""

    fails: Callable[[ExecutionId], Exception | None] = lambda _id: None
    pause: float = 0.0
    asked: Counter[str] = field(default_factory=Counter[str])

    async def remember(self, _scope: Scope, execution_id: ExecutionId) -> None:
        self.asked[execution_id] += 1
        await asyncio.sleep(self.pause)
        error = self.fails(execution_id)
        if error is not None:
            raise error


def memory(number: int, scope: Scope = HERE) -> Deadline:
    return Deadline(scope, ExecutionId(f"x_{number}"), "memory", 0, journal.now(), {})


def worker(database: Database, found: Memory) -> DeadlineWorker:
    return DeadlineWorker(database, cast("Engine", None), remember=found.remember)


async def add(database: Database, *found: Deadline) -> None:
    for deadline in found:
        await database.write(lambda transaction, each=deadline: transaction.add_deadlines(each.scope, [each]))


async def backlog(database: Database, after: float = 0.0) -> Backlog:
    moment = journal.now() + timedelta(seconds=after)
    return await database.read(lambda transaction: transaction.deadline_backlog(moment))


async def look_at(database: Database, deals: DeadlineWorker, moment: float) -> int:
    """Lets `deals` look as if it were so many seconds later."""
    back = timedelta(seconds=moment)

    def age(transaction: Any) -> None:
        transaction.connection.exec_driver_sql(
            f"UPDATE deadlines SET due_at = due_at - {round(back.total_seconds() * 1e6)} WHERE due_at < {1 << 61}"
        )

    await database.write(age)
    return await deals.look()


async def test_one_that_fails_holds_up_no_other_one(database: Database) -> None:
    lost = NotFound("the content is gone")
    found = Memory(fails=lambda execution_id: lost if execution_id == "x_1" else None)
    await add(database, memory(1), memory(2, THERE), memory(3))
    assert await worker(database, found).look() == 3
    assert found.asked == {"x_1": 1, "x_2": 1, "x_3": 1}
    later = await backlog(database, after=60)
    assert later.due == 1


@pytest.mark.requirement("MEM-10")
@pytest.mark.parametrize("error", [NotFound("gone"), MemoryUnavailable("away"), ZeroDivisionError()])
async def test_one_that_fails_again_and_again_is_given_up_with_an_event(database: Database, error: Exception) -> None:
    found = Memory(fails=lambda _id: error)
    await add(database, memory(1))
    deals = worker(database, found)
    assert await deals.look() == 1
    assert await deals.look() == 0  # not at once again
    for _ in range(8):
        await look_at(database, deals, 1)
    assert found.asked == {"x_1": 6}
    (told,) = await database.read(
        lambda transaction: transaction.events(HERE, EventFilter(types=frozenset({"memory_failed"})), limit=9)
    )
    assert told.payload["attempts"] == 6
    assert (await backlog(database, after=60)).due == 0


async def test_a_promise_that_cannot_be_looked_at_waits_ever_longer_and_stays_for_people(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Deadline(HERE, ExecutionId("x_1"), "breach", 0, journal.now(), {})
    sound = Deadline(THERE, ExecutionId("x_2"), "breach", 0, journal.now(), {})
    await add(database, broken, sound)
    tried: list[str] = []

    executions = SqlTransaction.executions

    def read(self: SqlTransaction, scope: Scope, ids: list[ExecutionId]) -> Any:
        tried.extend(ids)
        if "x_1" in ids:
            raise ValueError("damaged")
        return executions(self, scope, ids)

    monkeypatch.setattr(SqlTransaction, "executions", read)
    deals = worker(database, Memory())
    await deals.look()
    assert (await backlog(database, after=3600)).due == 1  # the sound one is dealt with
    for _ in range(15):
        await look_at(database, deals, 600)
    assert Counter(tried)["x_1"] == 13  # twelve attempts, and the one in which it was together with the other
    assert (await backlog(database, after=1e6)) == Backlog(due=0, oldest=None, given_up=1)
    (told,) = await database.read(
        lambda transaction: transaction.events(HERE, EventFilter(types=frozenset({"deadline_abandoned"})), limit=9)
    )
    assert told.payload == {"kind": "breach", "execution_id": "x_1", "attempts": 12, "reason": "ValueError"}
    assert await check_deadlines(database) == "0 due, 1 given up"


@pytest.mark.requirement("AGT-6")
async def test_a_few_promises_that_fail_for_ever_cost_the_others_a_few_transactions(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [Deadline(HERE, ExecutionId(f"x_{number}"), "breach", 0, journal.now(), {}) for number in range(200)]
    await database.write(lambda transaction: transaction.add_deadlines(HERE, found))
    damaged = {"x_17", "x_141"}
    executions, write, writes = SqlTransaction.executions, database.write, 0

    def read(self: SqlTransaction, scope: Scope, ids: list[ExecutionId]) -> Any:
        if damaged & set(ids):
            raise ValueError("damaged")
        return executions(self, scope, ids)

    async def count(work: Callable[[Any], Any]) -> Any:
        nonlocal writes
        writes += 1
        return await write(work)

    monkeypatch.setattr(SqlTransaction, "executions", read)
    monkeypatch.setattr(database, "write", count)
    assert await worker(database, Memory()).look() == 200
    assert writes < 40
    assert (await backlog(database, after=3600)).due == len(damaged)


async def test_several_workers_deal_with_each_once(database: Database) -> None:
    found = Memory(pause=0.05)
    await add(database, *(memory(number) for number in range(40)))
    dealt = await asyncio.gather(*(worker(database, found).look() for _ in range(4)))
    assert sum(dealt) == 40
    assert set(found.asked.values()) == {1}


async def test_what_a_dead_worker_had_taken_is_due_again(database: Database) -> None:
    await add(database, memory(1))
    moment = journal.now()
    taken = await database.write(
        lambda transaction: transaction.take_deadlines(moment, moment + timedelta(seconds=30), 10)
    )
    assert len(taken) == 1
    found = Memory()
    deals = worker(database, found)
    assert await deals.look() == 0
    assert await look_at(database, deals, 31) == 1
    assert found.asked == {"x_1": 1}


async def test_health_tells_of_a_backlog(database: Database) -> None:
    late = Deadline(HERE, ExecutionId("x_1"), "memory", 0, journal.now() - timedelta(minutes=5), {})
    await add(database, late, memory(2))
    with pytest.raises(CaxtonError, match="2 are due, the first for 5 m"):
        await check_deadlines(database)
