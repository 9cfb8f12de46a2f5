"""Rollouts while the server is killed: each goes on as its history says."""

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from caxton.domain.rollouts import LEGAL
from tests.api.test_rollouts import FAILS, HALF, ask, latest, live_version, shares, tell, version
from tests.api.test_schedules import events
from tests.conftest import start_server, stop_server
from tests.e2e.test_durability import ALWAYS, kill_engine, kill_fast_path_worker, kill_writer
from tests.support.agents import agent, replies
from tests.support.deploying import deploy_files
from tests.support.ports import free_port
from tests.support.waiting import until


@pytest.mark.timeout(400)
@pytest.mark.requirement("DEP-6", "DEP-9")
def test_a_rollout_goes_on_after_every_kill(tmp_path: Path) -> None:
    flags = ("--port", str(free_port()))
    process, server = start_server(tmp_path / "data", *flags)

    def kill() -> None:
        nonlocal process, server
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process, server = start_server(tmp_path / "data", *flags)

    try:
        with server.client() as api:
            deploy_files(api, tmp_path / "w", version(1))
            deploy_files(api, tmp_path / "w", version(2, rollout=HALF, text=FAILS))
        kill()

        def over() -> dict[str, Any] | None:
            with server.client() as api:
                ask(api)
                found = latest(api)
            return found if found["state"] != "Progressing" else None

        assert until(over, seconds=120)["state"] == "RolledBack"
        with server.client() as api:
            assert shares(api, 5) == {"v1": 5}
            assert tell(api, "retry").json()["state"] == "Progressing"
            assert tell(api, "promote", full=True).json()["state"] == "Promoted"
        kill()
        with server.client() as api:
            until(lambda: live_version(api) == "2.0.0", seconds=60)
            assert tell(api, "undo").json()["state"] == "RolledBack"
        kill()
        with server.client() as api:
            assert shares(api, 5) == {"v1": 5}
            until(lambda: live_version(api) == "1.0.0", seconds=60)
    finally:
        stop_server(process)


@pytest.mark.timeout(400)
@pytest.mark.requirement("DEP-10")
def test_gates_are_passed_after_every_kill_and_each_turn_is_rehearsed_once(tmp_path: Path) -> None:
    flags = ("--port", str(free_port()))
    process, server = start_server(tmp_path / "data", *flags)
    gate = '[[rollout.gates]]\nname = "talks"\nrules = [{ rule = "no_new_errors" }]\n'
    plan = (
        f'[rollout]\nlook_every = "0.2s"\nstrategy = "direct"\n{gate}[[rollout.gates]]\nname = "p"\nkind = "person"\n'
    )

    def kill() -> None:
        nonlocal process, server
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process, server = start_server(tmp_path / "data", *flags)

    def pending() -> list[dict[str, Any]]:
        with server.client() as api:
            return api.get("/v1/approvals", params={"state": "Pending"}).json()["approvals"]

    try:
        with server.client() as api:
            deploy_files(api, tmp_path / "w", agent("clerk", rules=replies("v1: x")))
            assert shares(api, 9) == {"v1": 9}
            slow = replies("v2: x", delay=0.3)
            deploy_files(api, tmp_path / "w", agent("clerk", version="2.0.0", rules=slow, more=plan))
        kill()
        [waiting] = until(pending, seconds=120)
        kill()
        with server.client() as api:
            assert shares(api, 2) == {"v1": 2}
            api.post(f"/v1/approvals/{waiting['id']}/grant", json={}).raise_for_status()
        kill()
        with server.client() as api:
            until(lambda: live_version(api) == "2.0.0", seconds=120)
            gates = latest(api)["gates"]
            assert [(each["state"], each["compared"]) for each in gates] == [("passed", 9), ("passed", 0)]
            assert len(events(api, "execution_forked")) == 9
    finally:
        stop_server(process)


TABLE = [
    # before, command, full, after
    ("Gating", "abort", False, "RolledBack"),
    ("RolledBack", "retry", False, "Gating"),
    ("Gating", "promote", False, "Progressing"),
    ("Progressing", "pause", False, "Paused"),
    ("Paused", "resume", False, "Progressing"),
    ("Progressing", "promote", False, "Progressing"),
    ("Progressing", "pause", False, "Paused"),
    ("Paused", "promote", False, "Promoted"),
    ("Promoted", "undo", False, "RolledBack"),
    ("RolledBack", "retry", False, "Gating"),
    ("Gating", "promote", False, "Progressing"),
    ("Progressing", "abort", False, "RolledBack"),
    ("RolledBack", "retry", False, "Gating"),
    ("Gating", "promote", False, "Progressing"),
    ("Progressing", "pause", False, "Paused"),
    ("Paused", "abort", False, "RolledBack"),
    ("RolledBack", "retry", False, "Gating"),
    ("Gating", "promote", True, "Promoted"),
    ("Promoted", "undo", False, "RolledBack"),
]
"""Every command in every state in which it is legal, as one way through all of them."""

STAGES = "stages = [{ percent = 30, sample = 100000 }, { percent = 60, sample = 100000 }]"


def test_the_way_takes_every_command_that_is_legal() -> None:
    taken = {(command, before) for before, command, _, _ in TABLE}
    assert taken == {(command, str(state)) for command, states in LEGAL.items() for state in states}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.requirement("DEP-6", "DEP-7")
def test_every_command_in_every_state_survives_a_kill_in_the_middle_of_it(tmp_path: Path) -> None:
    flags = ("--port", str(free_port()))
    process, server = start_server(tmp_path / "data", *flags, env=ALWAYS)
    person = '[[rollout.gates]]\nname = "owner"\nkind = "person"\n'
    dice = Random(23)

    def kill_server() -> None:
        nonlocal process, server
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process, server = start_server(tmp_path / "data", *flags, env=ALWAYS)

    def send(command: str, *, full: bool) -> None:
        with suppress(httpx.HTTPError, ValueError, KeyError), server.client() as api:
            tell(api, command, **({"full": full} if command == "promote" else {}))

    def state() -> tuple[str, int, str]:
        with server.client() as api:
            found = latest(api)
            return found["state"], found["stage"], live_version(api)

    def go_all_the_way(*kills: Callable[[], object]) -> None:
        for (before, command, full, after), kill in zip(TABLE, cycle(kills), strict=False):
            was = state()
            assert was[0] == before, (before, command)
            sending = threading.Thread(target=send, args=(command,), kwargs={"full": full})
            sending.start()
            time.sleep(dice.uniform(0, 0.15))
            kill()
            sending.join()
            if state() == was:  # it was killed before the command was taken: whoever sent it sends it again
                send(command, full=full)
            found, _, live = state()
            assert found == after, (before, command, found)
            assert live == ("2.0.0" if after == "Promoted" else "1.0.0")
            with server.client() as api:
                sides = set(shares(api, 12))
            assert sides <= {"Promoted": {"v2"}, "Progressing": {"v1", "v2"}, "Paused": {"v1", "v2"}}.get(after, {"v1"})

    try:
        with server.client() as api:
            deploy_files(api, tmp_path / "w", version(1))
            deploy_files(api, tmp_path / "w", version(2, rollout=f"{STAGES}\n{person}"))
        go_all_the_way(kill_server)
        send("retry", full=False)
        helpers = (kill_engine, kill_fast_path_worker, kill_writer)
        go_all_the_way(*(lambda kill=kill: kill(process, server.data_dir) for kill in helpers))
    finally:
        stop_server(process)
