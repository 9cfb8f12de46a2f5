"""The sequential test of rollouts: how often it is wrong, and how soon it finds what is worse."""

import random

import pytest

from caxton.domain.errors import error_classes
from caxton.domain.ids import ConversationId, Digest
from caxton.domain.rollouts import NOT_ITS_OWN, gets
from caxton.domain.verdicts import MOST_AT_ONCE, Comparison, Counted, Verdict


def simulated(stable: float, candidate: float, *, messages: int, look: int, draw: random.Random) -> Verdict:
    """The verdict of a rollout at 50/50 whose messages fail with these probabilities, looked at after every `look`."""
    comparison = Comparison()
    for _ in range(messages // look):
        mine = sum(draw.random() < 0.5 for _ in range(look))
        comparison = comparison.after(
            Counted(messages=look - mine, bad=sum(draw.random() < stable for _ in range(look - mine))),
            Counted(messages=mine, bad=sum(draw.random() < candidate for _ in range(mine))),
        )
        if comparison.verdict(alpha=0.05, enough=True, tolerance=0.05) is Verdict.BAD:
            return Verdict.BAD
    return comparison.verdict(alpha=0.05, enough=True, tolerance=0.05)


@pytest.mark.requirement("DEP-9")
def test_a_candidate_that_is_the_same_is_seldom_called_bad() -> None:
    draw = random.Random(7)
    runs = [simulated(rate, rate, messages=1_000, look=10, draw=draw) for rate in (0.01, 0.05, 0.3) for _ in range(100)]
    assert sum(run is Verdict.BAD for run in runs) <= 0.05 * len(runs)
    assert sum(run is Verdict.GOOD for run in runs) >= 0.8 * len(runs)


@pytest.mark.requirement("DEP-9")
def test_ten_points_more_errors_are_found_within_four_hundred_messages() -> None:
    draw = random.Random(8)
    runs = [simulated(0.01, 0.11, messages=400, look=10, draw=draw) for _ in range(200)]
    assert sum(run is Verdict.BAD for run in runs) >= 0.95 * len(runs)


@pytest.mark.requirement("DEP-9")
def test_what_happens_to_both_sides_at_the_same_time_is_no_difference() -> None:
    draw = random.Random(9)
    comparison = Comparison()
    for hour in range(200):
        rate = 0.9 if hour % 50 > 40 else 0.01  # a provider is down now and then
        comparison = comparison.after(
            Counted(messages=20, bad=sum(draw.random() < rate for _ in range(20))),
            Counted(messages=5, bad=sum(draw.random() < rate for _ in range(5))),
        )
        assert comparison.verdict(alpha=0.05, enough=True, tolerance=0.05) is not Verdict.BAD


@pytest.mark.requirement("DEP-9")
def test_no_data_is_inconclusive() -> None:
    assert Comparison().verdict(alpha=0.05, enough=False, tolerance=1.0) is Verdict.INCONCLUSIVE
    only_one_side = Comparison().after(Counted(), Counted(messages=50, bad=50))
    assert only_one_side.e_value == pytest.approx(1.0)
    assert only_one_side.verdict(alpha=0.05, enough=False, tolerance=0.05) is Verdict.INCONCLUSIVE
    worse_but_unproven = Comparison().after(Counted(messages=3, bad=0), Counted(messages=3, bad=1))
    assert worse_but_unproven.verdict(alpha=0.05, enough=True, tolerance=0.05) is Verdict.INCONCLUSIVE


def test_very_many_messages_are_compared_in_parts() -> None:
    many = 5 * MOST_AT_ONCE
    same = Comparison().after(Counted(messages=many, bad=many // 2), Counted(messages=many, bad=many // 2))
    assert same.e_value < 1
    worse = Comparison().after(Counted(messages=many, bad=100), Counted(messages=many, bad=400))
    assert worse.verdict(alpha=0.05, enough=True, tolerance=0.05) is Verdict.BAD
    assert (worse.candidate.messages, worse.candidate.bad) == (many, 400)


@pytest.mark.requirement("DEP-6")
def test_a_share_grows_and_nobody_changes_side() -> None:
    talks = [ConversationId(f"c{number}") for number in range(4_000)]
    candidate = Digest("a" * 64)
    before = {talk for talk in talks if gets(talk, candidate, 5)}
    after = {talk for talk in talks if gets(talk, candidate, 25)}
    assert before < after
    assert 150 <= len(before) <= 250
    assert 900 <= len(after) <= 1_100
    others = {talk for talk in talks if gets(talk, Digest("b" * 64), 25)}
    assert len(after & others) < 0.5 * len(after)  # the next candidate gets others
    assert not any(gets(talk, candidate, 0) for talk in talks)
    assert all(gets(talk, candidate, 100) for talk in talks)


def test_the_errors_that_are_not_the_agents_own_exist() -> None:
    assert set(error_classes()) >= NOT_ITS_OWN
