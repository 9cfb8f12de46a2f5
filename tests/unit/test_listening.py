"""Listening costs one look a change, however many listen."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from caxton.adapters.streams import LocalStream
from caxton.domain.executions import Execution, ExecutionState
from caxton.domain.ids import ConversationId, ExecutionId, MessageId, Scope
from caxton.domain.records import ExecutionRecord, Records, Transaction
from caxton.service.listening import Listening, Seen
from caxton.service.timeline import Entry

TURN = ExecutionId("x_1")
STARTED = datetime(2026, 1, 1, tzinfo=UTC)


def execution(state: ExecutionState) -> Execution:
    return Execution(
        id=TURN,
        root_id=TURN,
        conversation_id=ConversationId("c_1"),
        message_id=MessageId("m_1"),
        state=state,
        started_at=STARTED,
    )


class Ended:
    """A transaction that finds the turn at its end."""

    def executions_of_turn(self, _scope: Scope, _root: ExecutionId) -> list[ExecutionRecord]:
        return [ExecutionRecord(execution(ExecutionState.COMPLETED), "", None, {})]


class Counted:
    """Records that count how often somebody looks."""

    looks = 0

    async def read(self, work: Callable[[Any], Any]) -> Any:
        self.looks += 1
        await asyncio.sleep(0.01)
        return work(Ended())


class Told(Listening):
    """A turn whose steps the test tells."""

    steps = 0
    state = ExecutionState.RUNNING

    def look(self, transaction: Transaction, scope: Scope, execution_id: ExecutionId, before: Seen) -> Seen:
        root = execution(self.state)
        return Seen(
            root,
            [Entry(f"{TURN}.{number}.0", STARTED, {"kind": "tool", "step": number}) for number in range(self.steps)],
        )


@pytest.mark.requirement("PRF-4")
async def test_fifty_listeners_cost_one_look_a_change() -> None:
    records, stream = Counted(), LocalStream()
    stream.poll = 60.0
    listening = Told(cast("Records", records), stream)
    heard: list[list[str]] = []

    async def listen() -> None:
        kinds: list[str] = []
        heard.append(kinds)
        async for event in listening.watch(Scope(), TURN, None):
            assert event is not None
            kinds.append(event.kind)

    listeners = [asyncio.create_task(listen()) for _ in range(50)]
    await asyncio.sleep(0.1)
    assert records.looks == 1
    for number in range(1, 4):
        for _ in range(20):
            stream.publish(TURN, "delta", {"text": "a word "})
            await asyncio.sleep(0)
        listening.steps = number
        stream.publish(TURN, "step", {})
        await asyncio.sleep(0.1)
        assert records.looks == 1 + number
    listening.state = ExecutionState.COMPLETED
    stream.publish(TURN, "end", {})
    await asyncio.gather(*listeners)
    assert records.looks == 5
    assert all(kinds == (["delta"] * 20 + ["step"]) * 3 + ["reply"] for kinds in heard)
    assert not stream.has_listeners(TURN)


async def test_silence_is_told_and_a_lost_event_is_found_out() -> None:
    records, stream = Counted(), LocalStream()
    stream.poll = 0.05
    listening = Told(cast("Records", records), stream)
    events = listening.watch(Scope(), TURN, None, silence=0.05)
    assert await anext(events) is None
    listening.state = ExecutionState.COMPLETED
    found = [event async for event in events]
    assert found[-1] is not None
    assert found[-1].kind == "reply"
