"""Rollouts and outcomes over both stores."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from caxton.adapters.store.database import Database
from caxton.domain.executions import ExecutionState
from caxton.domain.gates import Rehearsal
from caxton.domain.ids import ConversationId, DeploymentId, Digest, ExecutionId, Scope
from caxton.domain.records import ExecutionRecord
from caxton.domain.rollouts import Outcome, Rollout, RolloutPlan, RolloutState
from tests.conformance.test_records import BEGIN, execution

HERE = Scope(customer="acme", workspace="here")
THERE = Scope(customer="other", workspace="here")
START = datetime(2026, 11, 30, 7, tzinfo=UTC)


def rollout(number: int, *, agent: str = "clerk", scope: Scope = HERE) -> Rollout:
    began = START + timedelta(minutes=number)
    return Rollout(
        id=f"r{number}",
        scope=scope,
        agent=agent,
        deployment_id=DeploymentId("d1"),
        plan=RolloutPlan(),
        stable=Digest("a" * 64),
        stable_version="1.0.0",
        candidate=Digest("b" * 64),
        candidate_version="2.0.0",
        began_at=began,
        stage_began_at=began,
    )


@pytest.mark.requirement("DEP-6", "SEC-2")
async def test_rollouts_are_kept_by_agent_and_state(database: Database) -> None:
    for each in (rollout(1), rollout(2), rollout(3, agent="other"), rollout(4, scope=THERE)):
        await database.write(lambda tx, each=each: tx.put_rollout(each))
    ended = rollout(1).changed(RolloutState.ROLLED_BACK, "no good", START)
    await database.write(lambda tx: tx.put_rollout(ended))

    async def ids(**wanted: object) -> list[str]:
        found = await database.read(lambda tx: tx.rollouts(HERE, **wanted))  # pyright: ignore[reportArgumentType]
        return [each.id for each in found]

    assert await ids() == ["r3", "r2", "r1"]
    assert await ids(agent="clerk") == ["r2", "r1"]
    assert await ids(live=True) == ["r3", "r2"]
    assert await ids(live=False) == ["r1"]
    assert await ids(limit=1) == ["r3"]
    assert await database.write(lambda tx: tx.rollout(HERE, "r1", hold=True)) == ended
    assert await database.read(lambda tx: tx.rollout(HERE, "r4")) is None


@pytest.mark.requirement("DEP-9")
async def test_each_outcome_is_counted_once(database: Database) -> None:
    def outcome(number: int) -> Outcome:
        return Outcome(
            rollout_id="r1",
            digest=Digest("a" * 64),
            failed=number % 2 == 0,
            took=0.5,
            tokens=number,
            cost=number / 8,
            breached=number == 1,
            execution_id=ExecutionId(f"x{number}"),
        )

    for number in range(3):
        await database.write(lambda tx, number=number: tx.add_outcome(HERE, outcome(number)))
    await database.write(lambda tx: tx.add_outcome(THERE, outcome(7)))
    taken = await database.write(lambda tx: tx.take_outcomes(HERE, "r1"))
    assert sorted(taken, key=lambda each: each.tokens) == [outcome(number) for number in range(3)]
    assert await database.write(lambda tx: tx.take_outcomes(HERE, "r1")) == []
    assert await database.write(lambda tx: tx.take_outcomes(THERE, "r1")) == [outcome(7)]


@pytest.mark.requirement("DEP-10", "SEC-2")
async def test_recorded_turns_are_found_and_rehearsed_once(database: Database) -> None:
    old, new = Digest("a" * 64), Digest("b" * 64)
    ended = ExecutionState.COMPLETED

    def add(scope: Scope, number: int, **more: Any) -> None:
        moment = BEGIN + timedelta(seconds=number)
        values: dict[str, Any] = {"agent_digest": old, "state": ended, "finished_at": moment, **more}
        record = execution(number, **values)
        database_writes.append((scope, record))

    database_writes: list[tuple[Scope, ExecutionRecord]] = []
    for number in range(4):
        add(HERE, number)
    add(HERE, 4, agent_digest=new)
    add(HERE, 5, state=ExecutionState.FAILED)
    add(HERE, 6, agent="other")
    add(HERE, 7, conversation_id=ConversationId("c_2"))
    add(THERE, 8)
    for scope, record in database_writes:
        await database.write(lambda tx, scope=scope, record=record: tx.add_execution(scope, record))

    async def recorded(*conversations: str, limit: int = 10) -> list[str]:
        wanted = [ConversationId(each) for each in conversations]
        return [
            *await database.read(
                lambda tx: tx.recorded_turns(HERE, "analyst", without=new, conversations=wanted, limit=limit)
            )
        ]

    assert await recorded() == ["x_7", "x_3", "x_2", "x_1", "x_0"]
    assert await recorded(limit=2) == ["x_7", "x_3"]
    assert await recorded("c_2") == ["x_7"]
    since = BEGIN + timedelta(seconds=1)
    later = await database.read(lambda tx: tx.turns_ended(HERE, "analyst", old, since, 2))
    assert later == [("x_2", BEGIN + timedelta(seconds=2)), ("x_3", BEGIN + timedelta(seconds=3))]

    rehearsal = Rehearsal(rollout_id="r1", gate="g-0", source=ExecutionId("x_7"), execution_id=ExecutionId("x_3"))

    async def put(state: str) -> bool:
        changed = rehearsal.model_copy(update={"state": state})
        return await database.write(lambda tx: tx.put_rehearsal(HERE, changed))

    assert await put("waiting")
    assert await recorded() == ["x_7", "x_2", "x_1", "x_0"], "what is a rehearsal itself is none to replay"
    assert await put("started")
    [found] = await database.read(lambda tx: tx.rehearsals(HERE, "r1", "g-0"))
    assert found.state == "started"
    assert await database.read(lambda tx: tx.rehearsals(THERE, "r1", "g-0")) == []
    assert await put("done")
    assert not await put("done"), "and counted once"
    assert not await put("started")
    assert await database.read(lambda tx: tx.rehearsals(HERE, "r1", "g-0")) == []


@pytest.mark.requirement("DEP-10")
async def test_rehearsals_go_with_their_executions_and_with_a_rollout_that_never_began_them(database: Database) -> None:
    await database.write(lambda tx: tx.add_execution(HERE, execution(1, agent_digest=Digest("a" * 64))))

    def each(number: int, state: str, *, rollout_id: str = "r1") -> Rehearsal:
        facts = {"source": f"x_s{number}", "execution_id": f"x_{number}", "state": state}
        return Rehearsal.model_validate({"rollout_id": rollout_id, "gate": "g-0", **facts})

    for one in (each(1, "done"), each(3, "started"), each(4, "waiting")):
        await database.write(lambda tx, one=one: tx.put_rehearsal(HERE, one))
    await database.write(lambda tx: tx.put_rehearsal(HERE, each(5, "waiting", rollout_id="r2")))
    await database.write(lambda tx: tx.drop_rehearsals(HERE, "r1"))
    found = await database.read(lambda tx: tx.rehearsals(HERE, "r1", "g-0"))
    assert [one.execution_id for one in found] == ["x_3"], "what has begun may still come"
    assert not await database.write(lambda tx: tx.put_rehearsal(HERE, each(1, "done"))), "it marks its execution"
    assert len(await database.read(lambda tx: tx.rehearsals(HERE, "r2", "g-0"))) == 1
    await database.write(lambda tx: tx.remove_executions(HERE, ["x_1"]))
    assert await database.write(lambda tx: tx.put_rehearsal(HERE, each(1, "done"))), "the row went with the execution"
