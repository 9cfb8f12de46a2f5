"""Which shard takes a request, when another one helps, and what is answered at once: with an engine that answers when the test
says so, and an opener that does as it is told."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import pytest

from caxton.domain.errors import CaxtonError, IdempotencyConflict
from caxton.domain.executions import TurnOutcome, TurnRequest, TurnView
from caxton.domain.ids import new_id
from caxton.service.at_once import LATE_AFTER as LATE_AT_ONCE
from caxton.service.at_once import TRY_EVERY
from caxton.service.engine import Engine
from caxton.service.inbox import LATE_AFTER, InboxSender
from caxton.service.slow_kinds import SLOW_AFTER
from caxton.workflows.inbox import InboxBatch
from caxton.workflows.names import SLOW_FROM, inbox_shard, inbox_workflow_id
from tests.support.turns import turn_request

CANNOT_BE_SENT = "cannot be sent"
SHORT = "short"
"""What a request says that can be answered at once."""


@dataclass
class Update:
    """One update that is under way."""

    shard: str
    batch: InboxBatch
    answer: asyncio.Future[list[TurnOutcome]] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def finish(self, state: Literal["completed", "running"] = "completed") -> None:
        self.answer.set_result([outcome(request, state) for request in self.batch.requests])


def outcome(request: TurnRequest, state: Literal["completed", "running"] = "completed") -> TurnOutcome:
    return TurnOutcome(execution_id=request.execution_id, conversation_id=request.conversation_id, state=state)


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


class FakeOpener:
    """Ends what is short, when it may."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        """Sizes of the batches that it was to end."""
        self.expected: list[int] = []
        """Sizes of the batches that it was told of ahead."""
        self.fails = False
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def end_turns(self, requests: Sequence[TurnRequest]) -> list[TurnOutcome | None]:
        self.asked.append(len(requests))
        await self.may_answer.wait()
        if self.fails:
            raise OSError
        return [outcome(request) if request.content.text == SHORT else None for request in requests]

    def expect(self, requests: Sequence[TurnRequest]) -> None:
        if self.fails:
            raise OSError
        self.expected.append(len(requests))


@dataclass
class Inbox:
    engine: FakeEngine
    opener: FakeOpener
    sender: InboxSender
    asked: list[asyncio.Task[TurnOutcome | TurnView]] = field(default_factory=list[Any])

    async def ask(self, text: str = "hello", *, key: str | None = None, conversation: str | None = None) -> None:
        request = turn_request("greet", text, key=key, fingerprint=text, conversation=conversation)
        done: asyncio.Future[TurnOutcome | TurnView] = asyncio.get_running_loop().create_future()
        self.asked.append(asyncio.create_task(self.sender.submit(request, done, is_new=key is None)))
        await asyncio.sleep(0.005)

    def shards(self) -> list[tuple[str, int]]:
        return [(update.shard, len(update.batch.requests)) for update in self.engine.updates]


@pytest.fixture
async def inbox() -> Inbox:
    engine, opener = FakeEngine(), FakeOpener()
    return Inbox(engine, opener, InboxSender(cast("Engine", engine), most_waiting=100, opener=opener))


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
    assert inbox.opener.expected == [1, 1, 2]


async def test_an_opener_that_fails_fails_no_request(inbox: Inbox) -> None:
    inbox.opener.fails = True
    await inbox.ask(SHORT)
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


@pytest.mark.requirement("PRF-1")
async def test_what_is_answered_at_once_never_reaches_the_engine_and_the_rest_does(inbox: Inbox) -> None:
    for text in (SHORT, "hello", SHORT):
        await inbox.ask(text)
    assert [asked.done() for asked in inbox.asked] == [True, False, True]
    assert inbox.shards() == [(FIRST, 1)]
    inbox.engine.updates[0].finish()
    await asyncio.gather(*inbox.asked)


async def test_what_comes_while_others_are_answered_at_once_is_answered_together(inbox: Inbox) -> None:
    inbox.opener.may_answer.clear()
    asking = [asyncio.create_task(inbox.ask(SHORT)) for _ in range(4)]
    await asyncio.gather(*asking)
    assert inbox.opener.asked == [4]
    for _ in range(2):
        await inbox.ask(SHORT)
    inbox.opener.may_answer.set()
    await asyncio.gather(*inbox.asked)
    assert sum(inbox.opener.asked) == 6


async def test_a_batch_that_cannot_be_answered_soon_holds_up_no_other(inbox: Inbox) -> None:
    inbox.opener.may_answer.clear()
    for _ in range(2):
        await inbox.ask(SHORT)
        await asyncio.sleep(LATE_AT_ONCE * 2)
    assert inbox.opener.asked == [1, 1]
    inbox.opener.may_answer.set()
    await asyncio.gather(*inbox.asked)


async def test_a_request_that_comes_twice_at_a_time_is_done_once_and_answered_twice(inbox: Inbox) -> None:
    inbox.opener.may_answer.clear()
    await asyncio.gather(inbox.ask(SHORT, key="x_1"), inbox.ask(SHORT, key="x_1"))
    inbox.opener.may_answer.set()
    first, second = await asyncio.gather(*inbox.asked)
    assert first == second
    assert inbox.opener.asked == [1]
    assert not inbox.engine.updates


async def test_messages_of_conversations_go_to_their_inbox(inbox: Inbox) -> None:
    await inbox.ask(SHORT, conversation="c_1")
    assert not inbox.opener.asked
    inbox.engine.updates[0].finish()
    await asyncio.gather(*inbox.asked)


async def test_kinds_that_never_end_at_once_are_tried_now_and_then(inbox: Inbox) -> None:
    await answer(inbox, "completed", SLOW_AFTER + TRY_EVERY)
    assert sum(inbox.opener.asked) == SLOW_AFTER + 1
    await answer(inbox, "completed", TRY_EVERY - 1)
    await inbox.ask(SHORT)
    assert sum(inbox.opener.asked) == SLOW_AFTER + 2
    await asyncio.gather(*inbox.asked)
    for _ in range(3):  # it may be tried each time again
        await inbox.ask(SHORT)
    await asyncio.gather(*inbox.asked)
    assert sum(inbox.opener.asked) == SLOW_AFTER + 5


async def test_what_nobody_waits_for_any_more_is_not_asked_for(inbox: Inbox) -> None:
    inbox.opener.may_answer.clear()
    await inbox.ask(SHORT)
    await inbox.ask(SHORT)
    inbox.asked[1].cancel()
    inbox.opener.may_answer.set()
    await inbox.asked[0]
    await asyncio.sleep(LATE_AT_ONCE * 2)
    assert inbox.opener.asked == [1]
