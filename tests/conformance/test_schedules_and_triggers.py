"""Schedules, their runs and triggers over both stores."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest

from caxton.adapters.store.database import Database
from caxton.adapters.store.schedules import KEPT_RUNS
from caxton.deploying.schedules import check_times, set_schedules, times_per_second
from caxton.deploying.triggers import set_triggers
from caxton.domain.agents import AgentSpec, AgentVersion
from caxton.domain.errors import InvalidDefinitions
from caxton.domain.events.system import KeyRevoked
from caxton.domain.ids import ConversationId, Digest, ExecutionId, Scope
from caxton.domain.records import Deadline, Transaction
from caxton.domain.schedules import Schedule, ScheduleRun
from caxton.domain.triggers import Trigger
from caxton.recording import journal

HERE = Scope(customer="acme", workspace="here")
THERE = Scope(customer="other", workspace="here")
START = datetime(2026, 11, 30, 7, tzinfo=UTC)


def version(*schedules: Schedule, triggers: tuple[Trigger, ...] = ()) -> AgentVersion:
    spec = AgentSpec.model_validate(
        {
            "name": "clock",
            "version": "1.0.0",
            "capabilities": ["tell"],
            "schedules": schedules,
            "triggers": triggers,
        }
    )
    return AgentVersion(spec=spec, digest=Digest("0" * 64))


def schedule(name: str, **more: object) -> Schedule:
    return Schedule.model_validate({"name": name, "interval": 60, "content": "x", **more})


async def deploy(database: Database, after: AgentVersion | None, scope: Scope = HERE) -> tuple[list[str], list[str]]:
    changed, gone = await database.write(lambda tx: set_schedules(tx, scope, "clock", after, START))
    return [each.name for each in changed], gone


@pytest.mark.requirement("AGT-9")
async def test_the_engine_is_told_of_each_change_until_it_knows_it(database: Database) -> None:
    assert await deploy(database, version(schedule("a"), schedule("b"))) == (["a", "b"], [])
    assert await deploy(database, version(schedule("a")), THERE) == (["a"], [])
    assert len(await database.read(lambda tx: tx.unapplied_schedules(10))) == 3
    here = await database.read(lambda tx: tx.unapplied_schedules(10, HERE))
    assert [each.name for each in here] == ["a", "b"]
    for each in here:
        await database.write(lambda tx, each=each: tx.set_schedule_applied(each, each.revision))
    assert await database.read(lambda tx: tx.unapplied_schedules(10, HERE)) == []

    assert await deploy(database, version(schedule("a"), schedule("b", interval=120))) == (["b"], [])
    (changed,) = await database.read(lambda tx: tx.unapplied_schedules(10, HERE))
    assert (changed.name, changed.revision, changed.applied) == ("b", 2, 1)
    assert await deploy(database, None) == ([], ["a", "b"])
    # What the engine heard of the older revision is not taken for the newer one.
    await database.write(lambda tx: tx.set_schedule_applied(changed, changed.revision))
    removed = await database.read(lambda tx: tx.unapplied_schedules(10, HERE))
    assert {(each.name, each.removed) for each in removed} == {("a", True), ("b", True)}
    # It comes back before the engine has been told that it went.
    assert await deploy(database, version(schedule("a"))) == (["a"], [])
    for each in removed:
        await database.write(lambda tx, each=each: tx.set_schedule_applied(each, each.revision))
    (back,) = await database.read(lambda tx: tx.unapplied_schedules(10, HERE))
    assert (back.name, back.removed) == ("a", False)
    assert await database.read(lambda tx: tx.schedule(HERE, "clock", "b")) is None
    assert [each.name for each in await database.read(lambda tx: tx.schedules(THERE))] == ["a"]


@pytest.mark.requirement("AGT-9")
async def test_the_latest_runs_are_kept_each_once(database: Database) -> None:
    await deploy(database, version(schedule("a")))

    def run(number: int) -> ScheduleRun:
        due = START + timedelta(minutes=number)
        return ScheduleRun(due_at=due, cause="schedule", state="begun", execution_id=ExecutionId("x_1"), at=due)

    for number in range(KEPT_RUNS + 5):
        assert await database.write(lambda tx, number=number: tx.add_schedule_run(HERE, "clock", "a", run(number)))
    last = run(KEPT_RUNS + 4)
    assert not await database.write(lambda tx: tx.add_schedule_run(HERE, "clock", "a", last))
    found = await database.read(lambda tx: tx.schedule_runs(HERE, "clock", "a", 1_000))
    assert len(found) == KEPT_RUNS
    assert found[0] == last
    assert await database.read(lambda tx: tx.schedule_run(HERE, "clock", "a", last.due_at)) == last
    assert await database.read(lambda tx: tx.schedule_runs(THERE, "clock", "a", 10)) == []


@pytest.mark.requirement("AGT-9")
async def test_who_waits_for_a_turn_is_due_when_it_ends(database: Database) -> None:
    moment = journal.now()
    waits = Deadline(HERE, ExecutionId("x_1"), "schedule", 1, moment + timedelta(minutes=10), {"workflow": "w"})
    other = Deadline(THERE, ExecutionId("x_1"), "schedule", 1, moment + timedelta(minutes=10), {"workflow": "v"})
    await database.write(lambda tx: tx.wait_for_turn(waits))
    await database.write(lambda tx: tx.wait_for_turn(waits))
    await database.write(lambda tx: tx.wait_for_turn(other))
    later = moment + timedelta(seconds=5)
    assert not await database.read(lambda tx: tx.any_deadline_due(later))
    await database.write(lambda tx: tx.clear_deadlines(HERE, ExecutionId("x_1")))
    await database.write(lambda tx: tx.remove_turn(HERE, ExecutionId("x_1"), ConversationId("c_1")))
    (due,) = await database.write(lambda tx: tx.take_deadlines(later, later + timedelta(seconds=30), 10))
    assert (due.scope, due.kind, due.details) == (HERE, "schedule", {"workflow": "w"})


@pytest.mark.requirement("AGT-10")
async def test_a_trigger_keeps_its_address(database: Database) -> None:
    first = Trigger(name="orders", secret="env:HOOK_X", content="x")
    with_trigger = version(triggers=(first,))
    await database.write(lambda tx: set_triggers(tx, HERE, "clock", with_trigger, START))
    await database.write(lambda tx: set_triggers(tx, THERE, "clock", with_trigger, START))
    (made,) = await database.read(lambda tx: tx.triggers(HERE))
    (theirs,) = await database.read(lambda tx: tx.triggers(THERE))
    assert made.hook_id != theirs.hook_id
    assert await database.read(lambda tx: tx.trigger_of_hook(made.hook_id)) == made
    assert await database.write(lambda tx: set_triggers(tx, HERE, "clock", with_trigger, START)) == ([], [])
    assert await database.write(lambda tx: set_triggers(tx, HERE, "clock", None, START)) == ([], ["orders"])
    assert await database.read(lambda tx: tx.trigger_of_hook(made.hook_id)) is None
    assert await database.read(lambda tx: tx.triggers(HERE)) == []
    await database.write(lambda tx: set_triggers(tx, HERE, "clock", with_trigger, START))
    found = await database.read(lambda tx: tx.trigger_of_hook(made.hook_id))
    assert found is not None
    assert (found.scope, found.agent, found.name) == (HERE, "clock", "orders")


@pytest.mark.requirement("SEC-3")
async def test_deployments_of_several_workspaces_do_not_pass_a_limit_together(database: Database) -> None:
    scopes = [Scope(customer="acme", workspace=f"w{number}") for number in range(8)]
    for each in scopes:  # as what is deployed is checked and kept first
        begun = journal.note(each, KeyRevoked(key_id="k"), each.workspace)
        await database.write(lambda tx, each=each, begun=begun: tx.add_events(each, [begun]))
    often = version(schedule("a", interval=1))

    def activate(tx: Transaction, scope: Scope) -> None:
        set_schedules(tx, scope, "clock", often, START)
        time.sleep(0.02)  # the others are as far
        check_times(tx, scope, 3.0)

    found = await asyncio.gather(
        *(database.write(lambda tx, each=each: activate(tx, each)) for each in scopes), return_exceptions=True
    )
    refused = [each for each in found if each is not None]
    assert [type(each) for each in refused] == [InvalidDefinitions] * 5, refused
    assert await database.read(lambda tx: times_per_second(tx, scopes[0])) == 3.0
    live = await database.read(lambda tx: tx.schedules_of_customer("acme"))
    assert await database.read(lambda tx: times_per_second(tx, live[0].scope, elsewhere=True)) == 2.0, (
        "those of its own are left out"
    )
    assert await database.read(lambda tx: times_per_second(tx, THERE)) == 0.0
