"""Short calls of tools on the fast path: which of them are tried, and how many at a time."""

import asyncio

from caxton.domain.errors import AgentFuelExhausted
from caxton.turns.short_calls import ShortCalls


async def test_a_tool_that_took_long_is_avoided_for_longer_each_time_until_it_is_short_again() -> None:
    moment = 0.0

    async def takes(seconds: float) -> None:
        nonlocal moment
        moment += seconds

    found, function = ShortCalls(patience=0.02, clock=lambda: moment), ("sha256:1", "sum")
    for seconds in (1, 2, 4):
        await found.make([(function, lambda: takes(0.1))], found.deadline())
        moment += seconds - 0.01
        assert not found.expects(function)
        moment += 0.02
        assert found.expects(function)
    assert await found.make([(function, lambda: takes(0.01))], found.deadline())
    await found.make([(function, lambda: takes(0.1))], found.deadline())
    moment += 1.01
    assert found.expects(function)


async def test_of_a_burst_of_calls_of_an_unknown_function_one_is_tried() -> None:
    moment, made, ended = 0.0, 0, asyncio.Event()
    found, function = ShortCalls(patience=0.02, clock=lambda: moment), ("sha256:1", "sum")

    async def takes_long() -> None:
        nonlocal made
        made += 1
        await ended.wait()

    done = await asyncio.gather(*(found.make([(function, takes_long)], found.deadline()) for _ in range(60)))
    assert not any(done)
    assert (made, found.in_hand) == (1, 1)
    moment = 0.1
    ended.set()
    while found.in_hand:
        await asyncio.sleep(0)
    assert not found.expects(function)
    moment += 1.01  # one burst counts once
    assert found.expects(function)


async def test_calls_beyond_those_at_once_wait_and_what_waits_is_not_noted_as_long() -> None:
    found, made, most = ShortCalls(patience=5), 0, 0

    async def short() -> None:
        nonlocal made, most
        made, most = made + 1, max(most, found.in_hand)
        await asyncio.sleep(0.01)

    calls = [((f"sha256:{number}", "sum"), short) for number in range(20)]
    assert await found.make(calls, found.deadline())
    assert (made, most) == (20, 4)
    # Whose turn does not come in time is not called at all.
    assert not await found.make(calls, found.deadline() - 5)
    assert made == 20
    assert all(found.expects(function) for function, _ in calls)


async def test_a_function_that_fails_is_not_short_however_soon_it_fails() -> None:
    moment, made = 0.0, 0

    async def burns_its_fuel() -> None:
        nonlocal made
        made += 1
        raise AgentFuelExhausted("the component has used up its fuel")

    found, function = ShortCalls(patience=0.02, clock=lambda: moment), ("sha256:1", "handle")
    assert not await found.have_answer(function, burns_its_fuel)
    assert not found.expects(function)
    assert not await found.have_answer(function, burns_its_fuel)
    assert made == 1, "the workflow alone makes the next calls"
    moment += 1.01
    assert found.expects(function)
