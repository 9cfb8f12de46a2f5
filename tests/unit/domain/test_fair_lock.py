"""Who asks often does not keep others waiting."""

import asyncio

from caxton.domain.fair_lock import FairLock


async def test_kinds_take_turns() -> None:
    lock, order = FairLock(), list[str]()

    async def work(kind: str) -> None:
        async with lock.turn(kind):
            order.append(kind)
            await asyncio.sleep(0)

    await asyncio.gather(*(work("many") for _ in range(5)), work("one"))
    assert order == ["many", "many", "one", "many", "many", "many"]


async def test_who_gives_up_waiting_takes_nobodys_turn() -> None:
    lock, done = FairLock(), list[int]()

    async def work(number: int) -> None:
        async with lock.turn("kind"):
            await asyncio.sleep(0.01)
            done.append(number)

    tasks = [asyncio.create_task(work(number)) for number in range(5)]
    await asyncio.sleep(0)
    tasks[1].cancel()  # it waits
    tasks[0].cancel()  # it holds
    await asyncio.gather(*tasks, return_exceptions=True)
    assert done == [2, 3, 4]
    await asyncio.wait_for(work(5), 1)
    assert done[-1] == 5


async def test_it_rests_after_what_took_long_only() -> None:
    lock, loop = FairLock(rest=0.3), asyncio.get_running_loop()
    began = loop.time()
    for _ in range(20):
        async with lock.turn("short"):
            pass
    assert loop.time() - began < 3
    async with lock.turn("long"):
        await asyncio.sleep(0.35)
    began = loop.time()
    async with lock.turn("short"):
        assert loop.time() - began > 0.25
