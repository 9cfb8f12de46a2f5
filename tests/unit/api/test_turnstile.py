"""Requests begin in turn, whoever sends many."""

import asyncio

import pytest

from caxton.api.turnstile import AT_ONCE, Turnstile


@pytest.mark.requirement("RTE-8")
async def test_a_burst_keeps_nobody_from_beginning() -> None:
    turnstile, begun = Turnstile(), list[str]()

    async def begin(customer: str) -> None:
        await turnstile.enter(customer)
        begun.append(customer)

    flood = [asyncio.create_task(begin("flood")) for _ in range(500)]
    await asyncio.sleep(0)
    assert begun == ["flood"] * AT_ONCE
    others = [asyncio.create_task(begin(f"other-{number % 2}")) for number in range(4)]
    for gone in flood[20:30]:
        gone.cancel()
    await asyncio.gather(*others)
    assert len(begun) <= 10 * AT_ONCE, "they do not wait for those of the flood that came before"
    await asyncio.gather(*flood, return_exceptions=True)
    assert begun.count("flood") == 490
    await asyncio.wait_for(begin("later"), 10)
