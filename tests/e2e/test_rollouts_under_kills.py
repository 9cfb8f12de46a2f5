"""Rollouts while the server is killed: each goes on as its history says."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.api.test_rollouts import FAILS, HALF, ask, latest, live_version, shares, tell, version
from tests.api.test_schedules import events
from tests.conftest import start_server, stop_server
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
