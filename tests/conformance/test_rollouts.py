"""Rollouts and outcomes over both stores."""

from datetime import UTC, datetime, timedelta

import pytest

from caxton.adapters.store.database import Database
from caxton.domain.ids import DeploymentId, Digest, ExecutionId, Scope
from caxton.domain.rollouts import Outcome, Rollout, RolloutPlan, RolloutState

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
        return Outcome(rollout_id="r1", digest=Digest("a" * 64), failed=number % 2 == 0, took=0.5, tokens=number)

    for number in range(3):
        await database.write(lambda tx, number=number: tx.add_outcome(HERE, ExecutionId(f"x{number}"), outcome(number)))
    await database.write(lambda tx: tx.add_outcome(THERE, ExecutionId("x0"), outcome(7)))
    taken = await database.write(lambda tx: tx.take_outcomes(HERE, "r1"))
    assert sorted(taken, key=lambda each: each.tokens) == [outcome(number) for number in range(3)]
    assert await database.write(lambda tx: tx.take_outcomes(HERE, "r1")) == []
    assert await database.write(lambda tx: tx.take_outcomes(THERE, "r1")) == [outcome(7)]
