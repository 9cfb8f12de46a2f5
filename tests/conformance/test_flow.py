"""Limits on calls hold over several workers, over SQLite and over PostgreSQL; places are shared fairly, and none is lost."""

import asyncio
import contextlib
import random
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from caxton.adapters.store.database import Database
from caxton.adapters.streams import LocalStream
from caxton.domain.flow import CallQueued, FlowCall, Gate, PlaceLost, weight_of
from caxton.domain.ids import ConversationId, ExecutionId, Scope, new_id
from caxton.domain.records import Transaction
from caxton.governance import flow as flow_module
from caxton.governance.flow import Flow
from caxton.governance.places import Allocation

PROVIDER = "provider:mock"


@dataclass
class Provider:
    """Counts what is in flight."""

    seconds: float = 0.02
    now: int = 0
    most: int = 0
    by_customer: Counter[str] = field(default_factory=Counter[str])
    order: list[str] = field(default_factory=list[str])

    @contextlib.contextmanager
    def call(self, call: FlowCall) -> Generator[None]:
        self.now += 1
        self.most = max(self.most, self.now)
        self.by_customer[call.scope.customer] += 1
        self.order.append(call.agent)
        try:
            yield
        finally:
            self.now -= 1


class Workflows:
    """Stand for the engine: calls that queue are made again when it is their turn, by any of the workers."""

    def __init__(self, provider: Provider, *workers: Flow) -> None:
        self.provider = provider
        self.workers = deque(workers)
        self.told: dict[tuple[str, int, int], asyncio.Event] = {}
        self.queued = 0

    async def tell(self, call: FlowCall) -> bool:
        self.told.setdefault((call.execution_id, call.step, call.call), asyncio.Event()).set()
        return True

    async def make(self, call: FlowCall) -> float:
        """Makes a call, however long it takes until it is its turn. Returns the seconds that it waited."""
        told = self.told.setdefault((call.execution_id, call.step, call.call), asyncio.Event())
        while True:
            self.workers.rotate(1)
            try:
                async with self.workers[0].place(call) as waited:
                    with self.provider.call(call):
                        await asyncio.sleep(self.provider.seconds * random.uniform(0.8, 1.2))
                    return waited
            except CallQueued:
                self.queued += 1
                await told.wait()
                told.clear()
            except PlaceLost:
                continue


def call(
    customer: str = "acme",
    agent: str = "writer",
    *,
    limit: int | None = 20,
    rate: float | None = None,
    gates: tuple[Gate, ...] = (),
    priority: int = 3,
) -> FlowCall:
    return FlowCall(
        scope=Scope(customer=customer),
        execution_id=ExecutionId(new_id("x")),
        step=1,
        call=0,
        root_id=ExecutionId("x_root"),
        conversation_id=ConversationId("c_1"),
        agent=agent,
        resource=PROVIDER,
        gates=gates or (Gate(PROVIDER, limit, rate),),
        weight=weight_of(priority),
    )


@asynccontextmanager
async def working(database: Database, count: int, seconds: float = 0.02) -> AsyncGenerator[Workflows]:
    """Workers over one store."""
    stream = LocalStream()
    workers = [Flow(database, stream) for _ in range(count)]
    workflows = Workflows(Provider(seconds), *workers)
    tasks = [asyncio.create_task(worker.run(workflows.tell, restarted=False)) for worker in workers]
    try:
        yield workflows
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for worker in workers:
            await worker.aclose()


async def left(database: Database) -> int:
    return sum((await database.read(lambda transaction: transaction.count_waiting_places())).values())


@pytest.mark.requirement("RTE-8")
async def test_a_limit_holds_over_all_workers_and_no_place_stays_empty(database: Database) -> None:
    async with working(database, 2, 0.3) as workflows:
        seen: list[int] = []

        async def watch() -> None:
            while True:
                await asyncio.sleep(0.005)
                seen.append(workflows.provider.now)

        watching = asyncio.create_task(watch())
        await asyncio.gather(*(workflows.make(call(limit=8)) for _ in range(90)))
        watching.cancel()
        assert workflows.provider.most == 8
        assert workflows.queued > 30  # most of them waited in the store alone
        busy = sorted(seen[10 : int(len(seen) * 0.8)])
        assert busy[len(busy) // 2] >= 3  # on a machine that has time for it, nearly always all eight
        assert await left(database) == 0
        await asyncio.sleep(0.2)
        assert not await database.read(lambda transaction: transaction.any_places())


@pytest.mark.requirement("RTE-8")
async def test_customers_and_agents_have_equal_shares_however_much_they_ask(database: Database) -> None:
    async with working(database, 1, 0.05) as workflows:
        flood = [asyncio.create_task(workflows.make(call("flood", f"w/a{n % 2}", limit=4))) for n in range(120)]
        await asyncio.sleep(0.2)
        before = len(workflows.provider.order)
        waited = await asyncio.gather(*(workflows.make(call("small", limit=4)) for _ in range(10)))
        during = len(workflows.provider.order) - before
        assert max(waited) < 1.5
        assert during < 45  # of 120
        await asyncio.gather(*flood)
        agents = Counter(workflows.provider.order[:40])
        assert abs(agents["w/a0"] - agents["w/a1"]) < 12


@pytest.mark.requirement("RTE-8")
async def test_a_priority_is_a_share_and_starves_nobody(database: Database) -> None:
    async with working(database, 1, 0.03) as workflows:
        calls = [
            call(f"p{priority}", f"w/p{priority}", limit=6, priority=priority) for priority in (1, 3) for _ in range(60)
        ]
        await asyncio.gather(*(workflows.make(each) for each in calls))
        first = Counter(workflows.provider.order[12:60])
        assert first["w/p1"] > 1.5 * first["w/p3"] > 0


@pytest.mark.requirement("RTE-8")
async def test_a_rate_holds_over_all_workers(database: Database) -> None:
    async with working(database, 2, 0.01) as workflows:
        began = asyncio.get_running_loop().time()
        await asyncio.gather(*(workflows.make(call(limit=None, rate=20.0)) for _ in range(60)))
        took = asyncio.get_running_loop().time() - began
        assert 1.9 < took < 30  # 20 at once, 40 more at 20 a second


@pytest.mark.requirement("RTE-8", "SEC-3")
async def test_a_rate_that_is_next_to_nothing_stops_nobody_else(database: Database) -> None:
    async with working(database, 1, 0.01) as workflows:
        never = [
            asyncio.create_task(workflows.make(call("evil", gates=(Gate("agent:evil", None, rate),))))
            for rate in (5e-324, 1e-12)
            for _ in range(3)
        ]
        await asyncio.sleep(0.1)
        async with asyncio.timeout(30):
            await asyncio.gather(*(workflows.make(call("other", limit=2)) for _ in range(10)))
        for each in never:
            each.cancel()
        await asyncio.gather(*never, return_exceptions=True)


@pytest.mark.requirement("RTE-8")
async def test_a_call_passes_all_of_its_gates_and_what_waits_for_one_holds_up_no_other(database: Database) -> None:
    async with working(database, 1, 0.05) as workflows:
        provider = Gate(PROVIDER, 10)
        slow = [
            asyncio.create_task(workflows.make(call(agent="w/slow", gates=(Gate("agent:slow", 1), provider))))
            for _ in range(20)
        ]
        await asyncio.sleep(0.1)
        await asyncio.gather(*(workflows.make(call(agent="w/quick", gates=(provider,))) for _ in range(9)))
        assert not all(each.done() for each in slow)  # they take a second, one after another
        await asyncio.gather(*slow)
        assert workflows.provider.most <= 10


@pytest.mark.requirement("RTE-8")
async def test_places_of_a_worker_that_died_are_free_again(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import timedelta

    from caxton.governance import places

    monkeypatch.setattr(places, "LEASE", timedelta(seconds=2))
    monkeypatch.setattr(flow_module, "LEASE", timedelta(seconds=2))
    monkeypatch.setattr(flow_module, "RENEW_EVERY", 0.5)
    monkeypatch.setattr(flow_module, "POLL_INTERVAL", 0.2)
    dead = Flow(database, LocalStream())  # it does not run: it renews nothing
    held = [dead.place(call(limit=3)) for _ in range(3)]
    for each in held:
        await each.__aenter__()
    async with working(database, 1) as workflows:
        began = asyncio.get_running_loop().time()
        await asyncio.gather(*(workflows.make(call(limit=3)) for _ in range(6)))
        assert 1 < asyncio.get_running_loop().time() - began < 30
        assert workflows.provider.most <= 3
    with contextlib.suppress(Exception):
        for each in held:
            await each.__aexit__(None, None, None)


@pytest.mark.requirement("RTE-8")
async def test_places_of_a_worker_whose_process_is_gone_are_free_at_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_module, "POLL_INTERVAL", 0.2)
    dead, watched = Flow(database, LocalStream()), dict[str, Callable[[], None]]()

    def watch(worker: str, ended: Callable[[], None]) -> Callable[[], None]:
        watched[worker] = ended
        return lambda: None

    held = [dead.place(call(limit=3)) for _ in range(3)]
    for each in held:
        await each.__aenter__()
    living = Flow(database, LocalStream(), watch=watch)
    workflows = Workflows(Provider(), living)
    running = asyncio.create_task(living.run(workflows.tell, restarted=False))
    try:
        waiting = [asyncio.create_task(workflows.make(call(limit=3))) for _ in range(6)]
        await asyncio.sleep(1)
        assert workflows.provider.most == 0
        assert list(watched) == [dead.worker]
        watched[dead.worker]()
        # Well before its places would have been free by themselves.
        await asyncio.wait_for(asyncio.gather(*waiting), flow_module.LEASE.total_seconds() - 3)
        assert workflows.provider.most <= 3
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await living.aclose()
    with contextlib.suppress(Exception):
        for each in held:
            await each.__aexit__(None, None, None)


@pytest.mark.requirement("RTE-8")
@pytest.mark.requirement("RTE-8")
async def test_places_of_a_worker_that_died_go_first_to_calls_that_hear_of_it(database: Database) -> None:
    calls, now = [call(limit=2) for _ in range(14)], datetime.now(UTC)

    async def by(worker: str, after: float, what: Callable[[Allocation], None]) -> list[FlowCall]:
        moment = now + timedelta(seconds=after)

        def ask(transaction: Transaction) -> list[FlowCall]:
            places = Allocation(transaction, worker, moment)
            what(places)
            return places.allot().told

        return await database.write(ask)

    for number, each in enumerate(calls):
        await by("w_1", number / 1000, lambda places, each=each: places.enter(each, may_queue=True))
    found = await database.read(lambda transaction: transaction.places_of_worker("w_1"))
    had = {place.call.key for place in found}
    assert Counter(place.state for place in found) == {"running": 2, "near": 4}
    first = await by("w_2", 1, lambda places: places.take_from("w_1"))
    assert {each.key for each in first} == {each.key for each in calls[6:12]}, "the oldest but for those that it had"
    for each in calls[6:]:
        await by("w_2", 2, lambda places, each=each: places.enter(each, may_queue=True))
        await by("w_2", 3, lambda places, each=each: places.leave(each))
    others = await by("w_2", 4, Allocation.tell)
    assert len(others) == 2, "with room for them they are told all the same, should they hear"
    assert {each.key for each in others} <= had
    again = await by("w_2", 30, Allocation.sweep)
    late = await by("w_2", 60, Allocation.sweep)
    assert {each.key for each in [*others, *again, *late]} == had


async def test_a_worker_that_cannot_keep_its_places_gives_its_calls_up(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_module, "FENCE", 0.5)
    monkeypatch.setattr(flow_module, "RENEW_EVERY", 0.1)
    monkeypatch.setattr(flow_module, "POLL_INTERVAL", 0.1)
    async with working(database, 1) as workflows:

        async def away(_work: object) -> None:
            await asyncio.sleep(60)

        async def long_call() -> None:
            async with workflows.workers[0].place(call()):
                monkeypatch.setattr(database, "write", away)
                await asyncio.sleep(5)

        with pytest.raises(PlaceLost):
            await long_call()
        monkeypatch.undo()


async def test_what_waits_is_told_with_its_length_and_age(database: Database) -> None:
    async with working(database, 1, 0.5) as workflows:
        tasks = [asyncio.create_task(workflows.make(call(limit=2))) for _ in range(8)]
        await asyncio.sleep(0.3)
        [queue] = await database.read(lambda transaction: transaction.queues(None))
        assert (queue.gate.name, queue.gate.max_in_flight, queue.in_flight, queue.waiting) == (PROVIDER, 2, 2, 6)
        assert queue.oldest is not None
        assert await database.read(lambda transaction: transaction.queues(Scope(customer="other"))) == []
        await asyncio.gather(*tasks)
