"""Which shard takes a request, and when another one helps: with an engine that answers when the test says so."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import pytest

from caxton.domain.errors import CaxtonError, IdempotencyConflict
from caxton.domain.executions import TurnOutcome, TurnView
from caxton.domain.ids import new_id
from caxton.service.engine import Engine
from caxton.service.inbox import LATE_AFTER, InboxSender
from caxton.service.slow_kinds import SLOW_AFTER
from caxton.workflows.inbox import InboxBatch
from caxton.workflows.names import SLOW_FROM, inbox_shard, inbox_workflow_id
from tests.support.turns import turn_request

CANNOT_BE_SENT = "cannot be sent"


@dataclass
class Update:
    """One update that is under way."""

    shard: str
    batch: InboxBatch
    answer: asyncio.Future[list[TurnOutcome]] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def finish(self, state: Literal["completed", "running"] = "completed") -> None:
        requests = self.batch.requests
        self.answer.set_result(
            [TurnOutcome(execution_id=r.execution_id, conversation_id=r.conversation_id, state=state) for r in requests]
        )


class FakeEngine:
    """Keeps updates until they are finished by hand."""

    task_queue = "caxton"

    def __init__(self) -> None:
        self.client = self
        self.updates: list[Update] = []

    async def call(self, work: Any) -> Any:
        return await work()

    def get_workflow_handle_for(self, _workflow: object, workflow_id: str) -> Any:
        engine = self

        class Handle:
            async def execute_update(self, _name: str, batch: InboxBatch, **_options: object) -> list[TurnOutcome]:
                if any(request.content.text == CANNOT_BE_SENT for request in batch.requests):
                    raise UnicodeEncodeError("utf-8", "x", 0, 1, "surrogates not allowed")
                engine.updates.append(Update(workflow_id, batch))
                return await engine.updates[-1].answer

        return Handle()


@dataclass
class Inbox:
    engine: FakeEngine
    sender: InboxSender
    expected: list[int]
    """Sizes of the batches that were told of ahead."""
    asked: list[asyncio.Task[TurnOutcome | TurnView]] = field(default_factory=list[Any])

    async def ask(self, text: str = "hello", *, key: str | None = None) -> None:
        request = turn_request("greet", text, key=key, fingerprint=text)
        done: asyncio.Future[TurnOutcome | TurnView] = asyncio.get_running_loop().create_future()
        self.asked.append(asyncio.create_task(self.sender.submit(request, done, is_new=key is None)))
        await asyncio.sleep(0.005)

    def shards(self) -> list[tuple[str, int]]:
        return [(update.shard, len(update.batch.requests)) for update in self.engine.updates]


@pytest.fixture
def inbox() -> Inbox:
    engine = FakeEngine()
    expected: list[int] = []
    sender = InboxSender(
        cast("Engine", engine), most_waiting=100, expect=lambda requests: expected.append(len(requests))
    )
    return Inbox(engine, sender, expected)


FOR_SLOW = inbox_workflow_id("local", SLOW_FROM)
FIRST, SECOND = inbox_workflow_id("local", 0), inbox_workflow_id("local", 1)


async def test_what_comes_while_a_batch_is_under_way_travels_in_the_next(inbox: Inbox) -> None:
    for _ in range(4):
        await inbox.ask()
    assert inbox.shards() == [(FIRST, 1)]
    inbox.engine.updates[0].finish()
    await asyncio.sleep(0.02)
    assert inbox.shards() == [(FIRST, 1), (FIRST, 3)]
    inbox.engine.updates[1].finish()
    await asyncio.gather(*inbox.asked)


async def test_another_shard_helps_while_the_first_is_late_and_no_longer(inbox: Inbox) -> None:
    await inbox.ask()
    await inbox.ask()
    await asyncio.sleep(LATE_AFTER)
    assert inbox.shards() == [(FIRST, 1), (SECOND, 1)]
    for update in inbox.engine.updates:
        update.finish()
    await asyncio.gather(*inbox.asked)
    await asyncio.sleep(0.01)
    await inbox.ask()
    await inbox.ask()
    assert inbox.shards()[2:] == [(FIRST, 1)]
    inbox.engine.updates[2].finish()
    await asyncio.sleep(0.02)
    inbox.engine.updates[3].finish()
    await asyncio.gather(*inbox.asked)


async def test_a_batch_that_hangs_holds_up_nobody(inbox: Inbox) -> None:
    await inbox.ask()  # never answered
    for _ in range(3):
        await inbox.ask()
    await asyncio.sleep(LATE_AFTER)
    assert inbox.shards() == [(FIRST, 1), (SECOND, 3)]
    inbox.engine.updates[1].finish()
    await asyncio.gather(*inbox.asked[1:])
    inbox.asked[0].cancel()


async def test_a_request_with_a_key_goes_to_the_same_shard_each_time(inbox: Inbox) -> None:
    keys = [new_id("x") for _ in range(6)]
    for key in keys:
        await inbox.ask(key=key)
        await inbox.ask(key=key)
    while inbox.engine.updates:
        for update in inbox.engine.updates:
            for request in update.batch.requests:
                assert update.shard == inbox_workflow_id("local", inbox_shard(request.execution_id, None))
            update.finish()
        inbox.engine.updates.clear()
        await asyncio.sleep(0.02)
    await asyncio.gather(*inbox.asked)


async def answer(inbox: Inbox, state: Literal["completed", "running"], times: int) -> None:
    for _ in range(times):
        await inbox.ask()
        inbox.engine.updates[-1].finish(state)
        await asyncio.gather(*inbox.asked)


@pytest.mark.requirement("PRF-2")
async def test_what_always_takes_long_has_a_shard_of_its_own_until_it_is_answered_at_once(inbox: Inbox) -> None:
    await answer(inbox, "running", SLOW_AFTER)
    assert {update.shard for update in inbox.engine.updates} == {FIRST}
    await answer(inbox, "running", 1)
    await answer(inbox, "completed", 1)
    await answer(inbox, "completed", 1)
    assert [update.shard for update in inbox.engine.updates[SLOW_AFTER:]] == [FOR_SLOW, FOR_SLOW, FIRST]


async def test_a_key_that_another_request_has_at_the_moment_is_refused(inbox: Inbox) -> None:
    await inbox.ask("one", key="x_1")
    await inbox.ask("one", key="x_1")
    await inbox.ask("two", key="x_1")
    with pytest.raises(IdempotencyConflict):
        await inbox.asked[2]
    while inbox.engine.updates:
        inbox.engine.updates.pop(0).finish()
        await asyncio.sleep(0.02)
    await asyncio.gather(*inbox.asked[:2])


async def test_what_takes_long_now_and_then_goes_through_the_inbox(inbox: Inbox) -> None:
    for _ in range(3):
        await answer(inbox, "running", SLOW_AFTER - 1)
        await answer(inbox, "completed", 1)
    assert {update.shard for update in inbox.engine.updates} == {FIRST}


async def test_what_is_sent_is_told_of_ahead(inbox: Inbox) -> None:
    for key in (None, None, None, "x_1"):
        await inbox.ask(key=key)
    while inbox.engine.updates:
        for update in inbox.engine.updates:
            update.finish()
        inbox.engine.updates.clear()
        await asyncio.sleep(0.02)
    await asyncio.gather(*inbox.asked)
    assert inbox.expected == [1, 1, 2]


async def test_a_failure_to_tell_ahead_fails_no_request(inbox: Inbox) -> None:
    def fail(_requests: object) -> None:
        raise RuntimeError

    inbox.sender.expect = fail
    await inbox.ask()
    inbox.engine.updates[0].finish()
    await asyncio.gather(*inbox.asked)


async def test_a_request_that_cannot_be_sent_fails_alone(inbox: Inbox) -> None:
    await inbox.ask()
    for text in ("good", CANNOT_BE_SENT, "good"):
        await inbox.ask(text)
    inbox.engine.updates[0].finish()
    for place in (1, 2):
        await asyncio.sleep(0.02)
        inbox.engine.updates[place].finish()
    answers = await asyncio.gather(*inbox.asked, return_exceptions=True)
    assert [isinstance(answer, CaxtonError) for answer in answers] == [False, False, True, False]
