"""Who is let in when more is asked than can be answered."""

import pytest

from caxton.domain.errors import Overloaded
from caxton.domain.fair_queue import FairQueue
from caxton.service.admission import FEWEST, STAY, Admission


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_as_many_are_let_in_as_were_lately_answered_within_the_stay() -> None:
    clock = Clock()
    admission = Admission(10_000, clock)
    for _ in range(5_000):  # at 1,000 a second
        clock.now += 0.001
        admission.check("a")
        admission.enter("a")
        admission.leave("a")
    assert admission.limit == pytest.approx(1_000 * STAY, rel=0.05)
    for _ in range(admission.limit):
        admission.check("a")
        admission.enter("a")
    with pytest.raises(Overloaded) as refused:
        admission.check("a")
    assert refused.value.report().retry_after


def test_a_burst_finds_an_idle_server_open() -> None:
    clock = Clock()
    admission = Admission(10_000, clock)
    for _ in range(20):
        for _ in range(200):
            admission.check("a")
            admission.enter("a")
        for _ in range(200):
            clock.now += 0.001
            admission.leave("a")
        clock.now += 10
        for _ in range(100):  # little is asked, and answered at once
            clock.now += 1
            admission.check("a")
            admission.enter("a")
            admission.leave("a")


def test_fewer_are_let_in_when_they_stay_long() -> None:
    clock = Clock()
    admission = Admission(10_000, clock)
    for _ in range(FEWEST):
        admission.enter("a")
    for _ in range(300):  # 30 a second
        clock.now += 0.033
        admission.leave("a")
        admission.enter("a")
    assert admission.limit == FEWEST


def test_the_flood_of_one_customer_keeps_no_other_out() -> None:
    admission = Admission(10_000, Clock())
    most = admission.limit
    for _ in range(most):
        admission.check("flood")
        admission.enter("flood")
    for _ in range(most // 2):
        admission.check("other")
        admission.enter("other")
    with pytest.raises(Overloaded):
        admission.check("other")


def test_agents_take_turns_in_a_queue() -> None:
    queue = FairQueue[str]()
    for number in range(100):
        queue.put("busy", f"busy {number}")
    queue.put("rare", "rare 0")
    assert [queue.take() for _ in range(3)] == ["busy 0", "rare 0", "busy 1"]
    assert len(queue) == 98
    assert [queue.take() for _ in range(98)] == [f"busy {number}" for number in range(2, 100)]
    with pytest.raises(IndexError):
        queue.take()
