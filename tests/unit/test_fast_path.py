"""The way in: who floods it does not hold up who asks for little, and only what is full refuses."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from caxton.domain.errors import Overloaded
from caxton.domain.executions import Accepted, TurnRequest
from caxton.domain.ids import Scope
from caxton.service.fast_path import SHARED_BATCH, FastPath
from tests.support.turns import turn_request

FLOOD = Scope(customer="flood")
OTHER = Scope(customer="other")


class Store:
    """Accepts nothing of the flood until it is let."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.batches: list[list[str]] = []

    async def accept(self, requests: Sequence[TurnRequest]) -> list[Accepted]:
        self.batches.append([request.scope.customer for request in requests])
        if any(request.scope == FLOOD for request in requests):
            await self.open.wait()
        return [Accepted(state="running") for _ in requests]

    async def has(self, batches: int) -> None:
        """Waits until so many are under way, and then whether there come more."""
        async with asyncio.timeout(20):
            while len(self.batches) < batches:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)


@pytest.mark.requirement("RTE-8", "PRF-4")
async def test_a_customer_that_asks_for_little_does_not_wait_for_the_batches_of_others() -> None:
    store = Store()
    path = FastPath(store.accept, most_waiting=10_000)
    flood = [asyncio.create_task(path.submit(turn_request("echo", f"{n}", scope=FLOOD))) for n in range(1_000)]
    await store.has(4)
    assert len(store.batches) == 4  # and the others wait
    for number in range(3):
        await asyncio.wait_for(path.submit(turn_request("echo", f"{number}", scope=OTHER)), 1)
    assert store.batches[4:] == [["other"]] * 3
    store.open.set()
    await asyncio.gather(*flood)


@pytest.mark.requirement("RTE-8")
async def test_while_there_are_several_customers_none_has_more_than_a_part_of_the_way() -> None:
    store = Store()
    path = FastPath(store.accept, most_waiting=10_000)
    await path.submit(turn_request("echo", "first", scope=OTHER))
    store.batches.clear()
    flood = [asyncio.create_task(path.submit(turn_request(f"kind-{n}", f"{n}", scope=FLOOD))) for n in range(1_000)]
    await store.has(2)
    assert store.batches == [["flood"] * SHARED_BATCH] * 2
    # Many at once of one kind: they take turns with the flood, however many kinds that has.
    asked = [asyncio.create_task(path.submit(turn_request("echo", f"{n}", scope=OTHER))) for n in range(20)]
    await asyncio.sleep(0)
    store.open.set()
    await asyncio.gather(*asked)
    mixed = [Counter(batch) for batch in store.batches[2:] if "other" in batch]
    assert sum(batch["other"] for batch in mixed) == 20
    assert max(batch.total() for batch in mixed) <= SHARED_BATCH
    assert sum(batch["flood"] for batch in mixed) <= 20 + SHARED_BATCH  # the last of them had room left
    await asyncio.gather(*flood)


@pytest.mark.requirement("RTE-8", "AGT-10")
async def test_a_message_of_a_conversation_does_not_wait_for_the_batches_of_others() -> None:
    store = Store()
    path = FastPath(store.accept, most_waiting=10_000)
    flood = [asyncio.create_task(path.submit(turn_request("echo", f"{n}", scope=FLOOD))) for n in range(500)]
    await store.has(4)
    before = len(store.batches)
    message = turn_request("echo", "hello", scope=OTHER, conversation="c_1")
    await asyncio.wait_for(path.submit(message), 10)
    assert store.batches[before:] == [["other"]]
    store.open.set()
    await asyncio.gather(*flood)


@pytest.mark.requirement("RTE-8")
async def test_requests_are_refused_only_while_as_many_wait_as_may_and_not_those_of_others() -> None:
    store = Store()
    path = FastPath(store.accept, most_waiting=100)
    waiting = [asyncio.create_task(path.submit(turn_request("echo", f"{n}", scope=FLOOD))) for n in range(60)]
    await asyncio.sleep(0.05)
    path.check("flood")
    path.queued = {"flood": 40}  # calls that wait for a limit count as well
    with pytest.raises(Overloaded, match="100 requests wait, as many as may"):
        path.check("flood")
    path.check("other")
    path.queued = {}
    path.check("flood")
    store.open.set()
    await asyncio.gather(*waiting)


class Twice:
    """Can only accept what no other request of the batch shares its conversation with, as the real one."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    async def accept(self, requests: Sequence[TurnRequest]) -> list[Accepted]:
        self.seen.append(len(requests))
        assert len({request.conversation_id for request in requests}) == len(requests)
        await asyncio.sleep(0.01)
        return [Accepted(state="running") for _ in requests]


@pytest.mark.requirement("AGT-10")
async def test_the_same_request_many_times_at_once_is_never_twice_in_one_batch() -> None:
    store = Twice()
    path = FastPath(store.accept, most_waiting=100)
    same = turn_request("echo", "the same", scope=OTHER)
    assert same.one_shot
    others = [turn_request("echo", f"{n}", scope=FLOOD) for n in range(3)]
    found = await asyncio.wait_for(asyncio.gather(*(path.submit(each) for each in [same, *others] * 8)), 10)
    assert {each.state for each in found} == {"running"}
    assert sum(store.seen) == 32
