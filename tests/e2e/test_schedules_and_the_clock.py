"""Schedules under a wall clock that jumps, while the server runs, is off or is killed: exactly the due times are run.

`python -m tests.e2e.test_schedules_and_the_clock --steps 30` makes as many random steps as you like.
"""

import argparse
import random
import tempfile
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import httpx
import pytest

from tests.api.test_schedules import RUN, pause, scheduled, tick
from tests.conftest import start_server, stop_server
from tests.e2e.test_deliveries import all_events
from tests.support.deploying import deploy_files
from tests.support.shifted_clock import ShiftedClock, lacks, new_clock
from tests.support.waiting import until

INTERVAL = 30
CATCH_UP = 30 * 60
PATIENCE = 180.0
REMARKED = timedelta(seconds=15)
"""More than a clock may go back unremarked, and the time that a step takes."""


class Step(NamedTuple):
    """What happens to the server, and by how many seconds its clock jumps meanwhile."""

    server: Literal["runs", "is off", "is killed"]
    seconds: int


SMALL = (Step("is off", 3_600), Step("runs", 420), Step("runs", -3_600), Step("is killed", 4_200))


@pytest.mark.slow
@pytest.mark.requirement("AGT-9")
@pytest.mark.skipif(lacks() is not None, reason=str(lacks()))
@pytest.mark.timeout(600)
def test_a_clock_that_jumps_makes_no_run_too_many_and_none_too_few(tmp_path: Path) -> None:
    run(tmp_path, SMALL)


def run(folder: Path, steps: Sequence[Step]) -> tuple[int, int]:
    """Makes the steps; how many due times were run, and how many were too old to be."""
    clock = new_clock(folder)
    process, server = start_server(folder / "data", env=clock.environment, program=clock.program)
    try:
        with server.client() as api:
            # A turn that is in progress while the clock goes forward is older by as much.
            more = f'overlap = "buffer"\ncatch_up = "{CATCH_UP}s"\n\n[limits]\ntime = "24h"\n'
            deploy_files(api, folder / "w", scheduled(interval=f"{INTERVAL}s", more=more, delay=0.1))
            clock.jump(2 * INTERVAL)
            until(lambda: due_times(api), PATIENCE)
        latest, too_old, asked = clock.now(), list[float](), list[str]()
        for step in steps:
            with server.client() as api:
                before = due_times(api)
            if step.server == "is off":
                stop_server(process)
            elif step.server == "is killed":
                process.kill()
                process.wait()
            left = clock.now()
            clock.jump(step.seconds)
            passed = (clock.now() - latest).total_seconds()
            if step.server != "runs":
                process, server = start_server(folder / "data", env=clock.environment, program=clock.program)
            with server.client() as api:
                if clock.now() < latest:  # those times have been
                    asked.append(answer_of_a_workflow(api))
                    if clock.now() < latest - REMARKED:
                        wait_until_it_is_told(api, latest)
                        # What became due just before may have been run since.
                        assert [due for due in due_times(api) if due not in before and due > left] == []
                    continue
                wait_until_caught_up(api, clock)
            too_old.append(max(0.0, passed - CATCH_UP) // INTERVAL)
            latest = clock.now()
        with server.client() as api:
            if clock.now() < latest:
                clock.jump(int((latest - clock.now()).total_seconds()) + INTERVAL)
                wait_until_caught_up(api, clock)
            pause(api)
            return check(api, sum(too_old), sum(each > 0 for each in too_old), asked)
    finally:
        stop_server(process)


def due_times(api: httpx.Client) -> list[datetime]:
    """What was run, the earliest first."""
    return sorted(datetime.fromisoformat(event["payload"]["due_at"]) for event in all_events(api, RUN))


def wait_until_caught_up(api: httpx.Client, clock: ShiftedClock) -> None:
    """Waits until what is due has been run."""
    until(lambda: due_times(api)[-1] > clock.now() - timedelta(seconds=INTERVAL + 5), PATIENCE)


def wait_until_it_is_told(api: httpx.Client, latest: datetime) -> None:
    """Waits until operators are told that the clock went back, and until when what is due waits."""
    clock = until(lambda: _degraded(api), PATIENCE)
    assert "the clock went back" in clock["detail"]
    told = datetime.fromisoformat(all_events(api, "clock_set_back")[-1]["payload"]["until"])
    assert told > latest - timedelta(seconds=INTERVAL)


def _degraded(api: httpx.Client) -> dict[str, Any] | None:
    ready = api.get("/ready").json()
    clock: dict[str, Any] = ready["components"]["clock"]
    return clock if clock["status"] == "degraded" and all_events(api, "clock_set_back") else None


def answer_of_a_workflow(api: httpx.Client) -> str:
    """Asks for what takes a workflow, which goes on although the clock is behind what the engine has seen; the execution's id."""
    answer = api.post("/v1/messages", json={"capability": "clock", "content": "now"}, timeout=PATIENCE).json()
    assert answer["state"] == "completed", answer
    return str(answer["execution_id"])


def check(api: httpx.Client, too_old: float, jumps: int, asked: Sequence[str]) -> tuple[int, int]:
    """Each due time is one execution, or is told as missed, and only those are missed that were too old."""
    found = due_times(api)
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(found)]
    assert all(gap >= INTERVAL and gap % INTERVAL == 0 for gap in gaps), gaps
    assert sum(gap > INTERVAL for gap in gaps) == jumps, gaps
    left_out = int(sum(gap / INTERVAL - 1 for gap in gaps))
    missed = sum(event["payload"]["count"] for event in all_events(api, "schedule_runs_missed"))
    assert missed == left_out == tick(api)["missed"]
    assert abs(left_out - too_old) <= 2 * jumps  # the clock goes on while the server stops and starts
    told = [event["execution_id"] for event in all_events(api, RUN)]
    assert len(set(told)) == len(found)
    until(lambda: len(all_events(api, "execution_completed")) >= len(told) + len(asked), PATIENCE)
    for kind in ("execution_triggered", "execution_completed"):
        assert Counter(event["execution_id"] for event in all_events(api, kind)) == Counter([*told, *asked]), kind
    assert api.get("/v1/events/verify").json()["ok"]
    return len(found), left_out


def main() -> None:
    """Runs it from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--seed", type=int, default=10)
    given = parser.parse_args()
    dice = random.Random(given.seed)
    steps = list(SMALL)
    while len(steps) < given.steps:
        ways: tuple[Literal["runs", "is off", "is killed"], ...] = ("runs", "is off", "is killed")
        steps.append(Step(dice.choice(ways), dice.choice((3_600, 7_200, 900, 400, 60, 1, -1, -300, -3_600))))
    with tempfile.TemporaryDirectory() as folder:
        done, missed = run(Path(folder), steps)
    print(f"{done} due times, one execution each; {missed} were too old and are told as missed")


if __name__ == "__main__":
    main()
