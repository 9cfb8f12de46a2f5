"""What was used before a budget was set is counted while others write, over SQLite and over PostgreSQL."""

from collections.abc import Callable
from typing import Any

import pytest

from caxton.adapters.store.database import Database
from caxton.adapters.store.transaction import SqlTransaction
from caxton.domain.events import Event
from caxton.domain.events.executions import ModelCalled
from caxton.domain.ids import Digest, ExecutionId, Scope, new_id
from caxton.domain.permissions import BUILT_IN, Role
from caxton.domain.records import Transaction
from caxton.recording.journal import note
from caxton.service import budgets
from caxton.service.budgets import Budgets
from caxton.service.context import Caller

HERE = Scope(customer="acme", workspace="here")
THERE = Scope(customer="acme", workspace="there")
OTHER = Scope(customer="other", workspace="here")
CALLER = Caller(HERE, "admin", "k_1", "boss", permissions=BUILT_IN[Role.ADMIN], everywhere=BUILT_IN[Role.ADMIN])


def called(scope: Scope, tokens: int) -> Event:
    told = ModelCalled(model="m", step=1, input_tokens=tokens, output_tokens=0, calls=[], scripted=False)
    return note(scope, told, new_id("fact"), agent="writer", execution_id=ExecutionId(new_id("x")))


def put_agent(transaction: Transaction, scope: Scope) -> None:
    transaction.put_component(
        scope, "agent", "writer", digest=Digest("d" * 64), version="1.0.0", state="Running", deployment_id=None
    )


@pytest.mark.requirement("GOV-4")
@pytest.mark.parametrize(("batch", "few"), [(5_000, 1_000), (7, 1), (3, 20), (50, 0)])
async def test_all_use_counts_once_and_the_lock_is_held_for_few_events(
    database: Database, monkeypatch: pytest.MonkeyPatch, batch: int, few: int
) -> None:
    monkeypatch.setattr(budgets, "BATCH", batch)
    monkeypatch.setattr(budgets, "FEW", few)
    workspaces = (HERE, THERE, OTHER)
    for number in range(40):
        scope = workspaces[number % 3]
        await database.write(lambda t, scope=scope, n=number: t.add_events(scope, [called(scope, 10**n % 997)]))
    for scope in workspaces:
        await database.write(lambda t, scope=scope: put_agent(t, scope))
    read_while_locked: list[Event] = []
    write, read = database.write, SqlTransaction.events

    async def watched(work: Callable[[Transaction], Any]) -> Any:
        def noted(transaction: SqlTransaction, *wanted: Any, **place: Any) -> list[Event]:
            found = read(transaction, *wanted, **place)
            read_while_locked.extend(found)
            return found

        def watch(transaction: Transaction) -> Any:
            with monkeypatch.context() as inside:
                inside.setattr(SqlTransaction, "events", noted)
                return work(transaction)

        return await write(watch)

    monkeypatch.setattr(database, "write", watched)
    found = await Budgets(database).set(CALLER, "tokens", "total", 10**9)
    assert found.used == sum(10**number % 997 for number in range(40) if number % 3 != 2)
    assert len(read_while_locked) <= few
    only_here = await Budgets(database).set(CALLER, "tokens", "total", 10**9, workspace="here")
    assert only_here.used == sum(10**number % 997 for number in range(40) if number % 3 == 0)
    again = await Budgets(database).set(CALLER, "tokens", "total", 10**8)
    assert again.used == found.used
