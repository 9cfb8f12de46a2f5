"""Turns of conversations are kept in their order over SQLite and over PostgreSQL."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from caxton.adapters.store.database import Database
from caxton.domain.conversations import ConversationState, EndReason
from caxton.domain.executions import ExecutionState
from caxton.domain.ids import ConversationId, Digest, ExecutionId, Scope
from caxton.domain.records import TurnsSoFar
from tests.conformance.test_records import BEGIN, HERE, conversation, execution
from tests.support.turns import turn_request


def test_a_turn_is_told_what_those_before_it_settled(database: Database) -> None:
    talk, other = ConversationId("c_1"), ConversationId("c_2")
    first, later = Digest("a" * 64), Digest("b" * 64)

    def fill(transaction: Any) -> None:
        done = ExecutionState.COMPLETED
        transaction.add_execution(HERE, execution(1, ExecutionState.FAILED, agent=None))
        transaction.add_execution(HERE, execution(2, done, agent="analyst", agent_digest=first))
        transaction.add_execution(HERE, execution(3, done, agent="helper", agent_digest=first, depth=1))
        transaction.add_execution(HERE, execution(4, done, agent="analyst", agent_digest=later))
        transaction.add_execution(HERE, execution(5, agent="analyst", agent_digest=later))
        transaction.add_execution(HERE, execution(6, agent="helper", agent_digest=later, depth=1))
        transaction.add_execution(HERE, execution(7, done, conversation_id=other, agent="other", agent_digest=later))

    database.write_now(fill)
    none = [ConversationId(f"c_{number}") for number in range(10, 150)]
    so_far = database.read_now(lambda transaction: transaction.turns_so_far(HERE, [*none, talk, other]))
    assert so_far == {
        talk: TurnsSoFar("analyst", first),
        other: TurnsSoFar("other", later),
    }
    assert database.read_now(lambda transaction: transaction.first_version(HERE, talk, "helper")) == first
    assert database.read_now(lambda transaction: transaction.first_version(HERE, talk, "other")) is None


@pytest.mark.parametrize("is_prepared", [True, False])
async def test_a_conversation_accepts_one_message_at_a_time_and_none_when_it_has_ended(
    database: Database, *, is_prepared: bool
) -> None:
    talk, new = ConversationId("c_1"), conversation(1, participants=["user"])
    database.write_now(lambda transaction: transaction.add_conversation(HERE, new, one_shot=False))

    def count(transaction: Any, *, accepted: int | None) -> bool:
        read = None if accepted is None else new.model_copy(update={"accepted": accepted})
        joins = ["analyst"] if accepted == 0 else []
        found = [
            transaction.touch_conversation(HERE, talk, messages=1, participants=names, accepted=each)
            for each, names in ((read, joins), (None, ()))
        ]
        return bool(found[0])

    async def write(*, accepted: int | None) -> bool:
        if not is_prepared:
            return await database.write(lambda transaction: count(transaction, accepted=accepted))
        prepared = database.prepare(lambda transaction: count(transaction, accepted=accepted))
        assert prepared is not None
        return await database.commit(prepared)

    assert await write(accepted=0)
    begun = database.read_now(lambda transaction: transaction.conversation(HERE, talk))
    assert begun is not None
    assert (begun.participants, begun.state) == (["user", "analyst"], ConversationState.IN_PROGRESS)
    assert not await write(accepted=0)  # somebody else's message was accepted meanwhile
    assert await write(accepted=1)
    database.write_now(lambda transaction: transaction.end_conversation(HERE, talk, EndReason.COMPLETED))
    assert not await write(accepted=2)
    assert await write(accepted=None)
    found = database.read_now(lambda transaction: transaction.conversation(HERE, talk))
    # Prepared writes are made together or not at all.
    assert found.message_count == (6 if is_prepared else 8)
    assert found.accepted == 2
    assert found.last_activity > BEGIN + timedelta(days=1)


def test_turns_in_hand_are_kept_in_the_order_in_which_they_were_accepted(database: Database) -> None:
    first, second, other = (
        turn_request("echo", f"text {name}", scope=HERE, conversation=talk, key=name)
        for name, talk in (("x_b", "c_1"), ("x_a", "c_1"), ("x_c", "c_2"))
    )
    ids = [each.execution_id for each in (first, second, other)]
    talk = first.conversation_id

    def accept(transaction: Any) -> None:
        for each in (first, second, other):
            transaction.add_turn(HERE, each, begun=each is first, due_at=BEGIN)

    database.write_now(accept)
    found = database.read_now(lambda transaction: transaction.turns_in_hand(HERE, [*ids, ExecutionId("x_none")]))
    assert {name: turn.request for name, turn in found.items()} == dict(zip(ids, (first, second, other), strict=True))
    assert [found[name].begun for name in ids] == [True, False, False]
    assert not any(turn.cancelled for turn in found.values())
    of_talk = database.read_now(lambda transaction: transaction.turns_of(HERE, talk))
    assert [turn.request.execution_id for turn in of_talk] == ids[:2]
    waiting = database.read_now(lambda transaction: transaction.turns_waiting(HERE, [talk, ConversationId("c_none")]))
    assert waiting == {talk: 2}
    assert database.read_now(lambda transaction: transaction.count_turns()) == 3

    database.write_now(lambda transaction: transaction.remove_turn(HERE, ids[0], talk))
    database.write_now(lambda transaction: transaction.begin_turn(HERE, ids[1]))
    assert database.write_now(lambda transaction: transaction.cancel_turn(HERE, ids[1]))
    assert not database.write_now(lambda transaction: transaction.cancel_turn(HERE, ids[0]))
    turn = database.read_now(lambda transaction: transaction.next_turn(HERE, talk))
    assert turn is not None
    assert (turn.request.execution_id, turn.begun, turn.cancelled) == (ids[1], True, True)
    elsewhere = Scope(customer="other", workspace=HERE.workspace)
    assert database.read_now(lambda transaction: transaction.next_turn(elsewhere, talk)) is None


def test_a_turn_that_is_due_is_taken_by_one(database: Database) -> None:
    requests = [turn_request("echo", scope=HERE, key=f"x_{number}") for number in range(3)]
    later = datetime.now(UTC) + timedelta(hours=1)

    def accept(transaction: Any) -> None:
        for number, request in enumerate(requests):
            due_at = later if number == 2 else BEGIN + timedelta(seconds=2 - number)
            transaction.add_turn(HERE, request, begun=True, due_at=due_at)

    def due(limit: int = 10) -> list[Any]:
        return database.read_now(lambda transaction: transaction.due_turns(datetime.now(UTC), limit))

    database.write_now(accept)
    assert [turn.execution_id for turn in due()] == ["x_1", "x_0"]  # the longest due first
    [taken] = due(1)
    assert (taken.scope, taken.conversation_id, taken.one_shot) == (HERE, requests[1].conversation_id, True)
    wait = timedelta(minutes=1)
    assert database.write_now(lambda transaction: transaction.postpone_turn(taken, wait))
    assert not database.write_now(lambda transaction: transaction.postpone_turn(taken, wait))
    assert [turn.execution_id for turn in due()] == ["x_0"]
    database.write_now(lambda transaction: transaction.all_due())
    assert len(due()) == 3
