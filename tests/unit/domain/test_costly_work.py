"""Each customer has its share of CPU for what takes long."""

import asyncio
import time

import pytest

from caxton.domain.costly_work import BURST, FREE, MOST_WAITING, SHARE, CostlyWork
from caxton.domain.errors import ExecutionFailed


def test_what_is_cheap_is_free():
    work = CostlyWork()
    for _ in range(10_000):
        work.charge("a", "agent", FREE)
    assert work.wait("a", "agent") == 0


def test_who_uses_too_much_waits_and_nobody_else():
    now = 0.0
    work = CostlyWork(lambda: now)
    work.charge("a", "slow", BURST + SHARE)
    assert work.wait("a", "slow") == pytest.approx(1)
    assert work.wait("a", "another") == 0
    assert work.wait("b", "slow") == 0
    now = 1.0
    assert work.wait("a", "slow") == pytest.approx(0, abs=1e-9)


async def test_what_waits_is_done_one_after_another_and_too_much_of_it_is_refused():
    spent, done = 0.0, 0
    work = CostlyWork(cpu_clock=lambda: spent)

    async def one() -> None:
        nonlocal spent, done
        async with work.lane("a", "agent"):
            spent += 0.1
            done += 1

    begun = time.monotonic()
    outcomes = await asyncio.gather(*(one() for _ in range(50)), return_exceptions=True)
    refused = [each for each in outcomes if isinstance(each, ExecutionFailed)]
    took = time.monotonic() - begun
    assert len(refused) + done == 50
    assert len(refused) >= 50 - MOST_WAITING - 4
    assert done * 0.1 <= BURST + 0.2 + took * SHARE
    assert took < 3
    assert refused[0].details == {"stopped": True}

    async with work.lane("b", "agent"):
        pass
