"""What a breaker becomes, whatever calls come to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton.domain.breakers import (
    LONGEST_PROBE,
    Breaker,
    BreakerKind,
    BreakerSettings,
    BreakerState,
    Calls,
)

SETTINGS = BreakerSettings(failures=3, rate=0.5, minimum=10, window=60, open_for=10, longest=40)
NEW = Breaker(kind=BreakerKind.AGENT, name="a")


def calls(*outcomes: bool | None) -> Calls:
    made = Calls()
    for number, ok in enumerate(outcomes):
        made.add(f"x{number}", ok, None if ok else "model_unavailable")
    return made


def opened(now: float = 0.0) -> Breaker:
    return NEW.after(calls(False, False, False), SETTINGS, now)


@pytest.mark.requirement("RTE-5")
def test_failures_in_a_row_open_it_also_over_several_reports_and_a_success_between_does_not() -> None:
    first = NEW.after(calls(False, False), SETTINGS, 0)
    assert first.is_closed
    assert first.after(calls(True, False, False), SETTINGS, 1).is_closed
    found = first.after(calls(None, False), SETTINGS, 1)
    assert found.state is BreakerState.OPEN
    assert found.retry_at == 11
    assert found.code == "model_unavailable"


def test_a_rate_opens_it_once_there_are_enough_calls_and_only_while_they_are_in_the_window() -> None:
    mixed = calls(False, True, False, True, False, True, False, True)
    half = NEW.after(mixed, SETTINGS, 0)
    assert half.is_closed, "eight calls are too few"
    assert half.after(calls(True, False), SETTINGS, 5).state is BreakerState.OPEN
    later = half.after(calls(True, False), SETTINGS, 70)
    assert later.is_closed
    assert (later.calls, later.failures) == (2, 1)


def test_successes_from_before_the_first_failure_count_for_the_rate() -> None:
    told = calls(False, True, False, True, False, True, False, True, False, True)
    told.earlier = 1_000
    assert NEW.after(told, SETTINGS, 0).is_closed


def test_while_it_is_open_what_began_before_says_nothing() -> None:
    assert opened().after(calls(True, True, False), SETTINGS, 5) == opened()


def test_after_its_rest_one_tries_and_each_try_that_fails_doubles_the_rest_up_to_the_longest() -> None:
    breaker, now, rests = opened(), 0.0, []
    for number in range(5):
        rests.append(breaker.retry_at - now)
        assert breaker.wait(now, "a") == rests[-1]
        now = breaker.retry_at
        assert breaker.wait(now, "a") == 0
        breaker = breaker.tried("a", now)
        assert breaker.wait(now, "a") is None
        assert (breaker.wait(now, "b") or 0) >= 1
        breaker = breaker.after(Calls(failed=1, in_a_row=1, ended={"b": True, "a": False}), SETTINGS, now)
        assert breaker.openings == number + 2
    assert rests == [10, 20, 40, 40, 40]
    healed = breaker.tried("a", breaker.retry_at).after(Calls(succeeded=1, ended={"a": True}), SETTINGS, now)
    assert healed.is_closed
    assert healed.is_forgotten(SETTINGS, now)
    assert healed.openings == 0


def test_a_try_that_says_nothing_or_comes_to_no_end_lets_another_one_try() -> None:
    trying = opened().tried("a", 10)
    assert trying.after(Calls(ended={"a": None}), SETTINGS, 11).wait(11, "b") == 0
    assert trying.wait(10 + LONGEST_PROBE, "b") == 0


def test_where_it_is_switched_off_nothing_opens_it() -> None:
    off = SETTINGS.model_copy(update={"enabled": False})
    assert NEW.after(calls(*[False] * 100), off, 0).is_closed


def test_a_success_opens_nothing_though_with_it_there_are_enough_calls_for_the_rate() -> None:
    nine = calls(False, True, False, True, False, True, False, True, False)
    told = NEW.after(nine, SETTINGS, 0).after(calls(True), SETTINGS, 1)
    assert told.is_closed
    assert told.after(calls(False), SETTINGS, 2).state is BreakerState.OPEN


@given(st.lists(st.tuples(st.lists(st.sampled_from([True, False, None]), max_size=6), st.floats(0, 30)), max_size=30))
def test_it_is_open_only_after_enough_failures_and_always_comes_to_try(
    told: list[tuple[list[bool | None], float]],
) -> None:
    breaker, now = NEW, 0.0
    for outcomes, pause in told:
        now += pause
        before = breaker
        breaker = breaker.after(calls(*outcomes), SETTINGS, now)
        if before.is_closed and not breaker.is_closed:
            assert False in outcomes
            assert breaker.failures >= SETTINGS.failures or breaker.failures * 2 >= breaker.calls
        if not breaker.is_closed:
            assert breaker.wait(breaker.retry_at, "x") == 0
        assert breaker == Breaker.model_validate_json(breaker.model_dump_json(exclude_defaults=True))
