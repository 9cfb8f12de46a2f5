"""Fair shares of the threads on which tools run."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from caxton.adapters.sandbox.engine import THREAD_STACK
from caxton.adapters.sandbox.threads import SandboxThreads


@pytest.fixture
async def threads() -> AsyncIterator[SandboxThreads]:
    """Four threads, and four more for those that have not their share."""
    made = SandboxThreads(4, "test", extra=4)
    yield made
    made.close()


class Held:
    """Calls that last until they are let go."""

    def __init__(self, threads: SandboxThreads) -> None:
        self.threads = threads
        self.begun: list[str] = []
        self.go = threading.Event()
        self.tasks: list[asyncio.Task[None]] = []

    def call(self, customer: str, count: int = 1, kind: str = "") -> None:
        """Asks for calls."""

        def work() -> None:
            self.begun.append(customer)
            assert self.go.wait(60)

        self.tasks += [asyncio.create_task(self.threads.run(customer, kind, work)) for _ in range(count)]

    async def settled(self, expected: dict[str, int]) -> None:
        """Waits until so many calls of each have begun."""
        async with asyncio.timeout(30):
            while {name: self.begun.count(name) for name in expected} != expected:
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
        assert {name: self.begun.count(name) for name in set(self.begun)} == expected

    async def finish(self) -> None:
        """Lets all go."""
        self.go.set()
        await asyncio.gather(*self.tasks)


@pytest.mark.requirement("TOL-3")
async def test_who_comes_while_another_has_all_threads_does_not_wait(threads: SandboxThreads) -> None:
    held = Held(threads)
    held.call("hog", 20)
    await held.settled({"hog": 4})
    held.call("small")
    await held.settled({"hog": 4, "small": 1})
    held.call("small", 5)  # its share of four is two
    await held.settled({"hog": 4, "small": 2})
    held.call("third")
    await held.settled({"hog": 4, "small": 2, "third": 1})
    await held.finish()


async def test_one_customer_has_all_threads_and_no_more(threads: SandboxThreads) -> None:
    held = Held(threads)
    held.call("alone", 10)
    await held.settled({"alone": 4})
    await held.finish()
    assert len(held.begun) == 10


async def test_there_is_an_end_to_what_is_beyond(threads: SandboxThreads) -> None:
    held = Held(threads)
    held.call("hog", 10)
    await held.settled({"hog": 4})
    for number in range(8):
        held.call(f"c{number}")
        await asyncio.sleep(0)
    async with asyncio.timeout(30):
        while len(held.begun) < 8:
            await asyncio.sleep(0.005)
    await asyncio.sleep(0.05)
    assert len(held.begun) == 8
    await held.finish()
    assert len(held.begun) == 18


async def test_calls_that_are_given_up_leave_their_place(threads: SandboxThreads) -> None:
    held = Held(threads)
    held.call("hog", 4)
    await held.settled({"hog": 4})
    waiting = asyncio.create_task(threads.run("hog", "", lambda: held.begun.append("given up")))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await held.finish()
    assert await threads.run("hog", "", lambda: 7) == 7
    assert "given up" not in held.begun


async def test_failures_come_back_and_stacks_are_deep(threads: SandboxThreads) -> None:
    def fail() -> None:
        raise LookupError("no")

    with pytest.raises(LookupError):
        await threads.run("a", "", fail)
    before = threading.stack_size()
    await threads.run("a", "", lambda: None)
    assert threading.stack_size() == before != THREAD_STACK
