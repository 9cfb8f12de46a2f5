"""Schedules while the server is off, and while it is killed: each due time is one execution, or is known to be missed."""

import os
import random
import signal
import time
from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.test_schedules import RUN, events, pause, scheduled, tick
from tests.conftest import start_server, stop_server
from tests.support.deploying import deploy_files
from tests.support.waiting import until

SECOND = timedelta(seconds=1)


def due_times(api: httpx.Client) -> list[datetime]:
    return sorted(datetime.fromisoformat(event["payload"]["due_at"]) for event in events(api, RUN))


def check_each_once(api: httpx.Client) -> None:
    """Every due time that is told has one execution, and no execution belongs to none."""
    told: list[dict[str, Any]] = events(api, RUN)
    assert max(Counter(event["payload"]["due_at"] for event in told).values()) == 1
    assert max(Counter(event["execution_id"] for event in told).values()) == 1
    triggered = Counter(event["execution_id"] for event in events(api, "execution_triggered"))
    assert triggered == Counter(event["execution_id"] for event in told)
    for event in told:
        turn = until(lambda event=event: _ended(api, event["execution_id"]))
        at = datetime.fromisoformat(event["payload"]["due_at"]).isoformat(timespec="seconds")
        assert turn["reply"]["content"]["text"] == f"done: due {at}"


def _ended(api: httpx.Client, execution_id: str) -> dict[str, Any] | None:
    turn = api.get(f"/v1/executions/{execution_id}").json()
    return None if turn["state"] == "running" else turn


@pytest.mark.requirement("AGT-9")
def test_a_server_that_was_off_makes_up_for_what_is_not_too_old(tmp_path: Path) -> None:
    process, server = start_server(tmp_path / "data")
    try:
        with server.client() as api:
            deploy_files(api, tmp_path / "w", scheduled(more='catch_up = "10s"\n'))
            until(lambda: len(due_times(api)) >= 3)
        stop_server(process)
        off = datetime.now().astimezone()
        time.sleep(16)  # longer than what is made up for, by some due times
        process, server = start_server(tmp_path / "data")
        with server.client() as api:
            until(lambda: due_times(api)[-1] > datetime.now().astimezone() - 2 * SECOND)
            pause(api)
            missed = until(lambda: events(api, "schedule_runs_missed"))
            found = due_times(api)
            gaps = [(earlier, later) for earlier, later in pairwise(found) if later - earlier > SECOND]
            assert len(gaps) == 1, found
            [(before, after)] = gaps
            assert before >= off - 3 * SECOND, "what was due until it stopped was run"
            count = sum(event["payload"]["count"] for event in missed)
            assert count == (after - before) / SECOND - 1, "each due time was run, or is told as missed"
            assert 5 <= count <= 20
            late = [event["payload"]["late_s"] for event in events(api, RUN)]
            assert sum(each > 3 for each in late) >= 3, "some of it was made up for"
            check_each_once(api)
            assert tick(api)["missed"] == count
    finally:
        stop_server(process)


@pytest.mark.requirement("AGT-9")
def test_a_due_time_is_one_execution_whatever_is_killed(tmp_path: Path) -> None:
    dice = random.Random(9)
    process, server = start_server(tmp_path / "data")
    try:
        with server.client() as api:
            deploy_files(
                api, tmp_path / "w", scheduled(delay=0.2, interval="2s", more='overlap = "buffer"\ncatch_up = "5m"\n')
            )
        for _ in range(2):
            time.sleep(dice.uniform(1.0, 4.0))
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            process, server = start_server(tmp_path / "data")
        with server.client() as api:
            # One run after another takes less than the two seconds between them, so it makes up for those that it missed.
            until(lambda: due_times(api) and due_times(api)[-1] > datetime.now().astimezone() - 4 * SECOND, 90)
            pause(api)
            found = due_times(api)
            assert {later - earlier for earlier, later in pairwise(found)} == {2 * SECOND}, found
            check_each_once(api)
            assert not events(api, "schedule_runs_missed")
    finally:
        stop_server(process)


@pytest.mark.requirement("AGT-9")
def test_an_engine_that_forgot_is_told_again(tmp_path: Path) -> None:
    process, server = start_server(tmp_path / "data")
    try:
        with server.client() as api:
            deploy_files(api, tmp_path / "w", scheduled())
            until(lambda: due_times(api))
        stop_server(process)
        for file in (tmp_path / "data").glob("temporal.db*"):
            file.unlink()
        process, server = start_server(tmp_path / "data")
        with server.client() as api:
            before = len(due_times(api))
            until(lambda: len(due_times(api)) > before)
            pause(api)
            check_each_once(api)
    finally:
        stop_server(process)
