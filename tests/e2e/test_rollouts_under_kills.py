"""Rollouts while the server is killed: each goes on as its history says."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.api.test_rollouts import FAILS, HALF, ask, latest, live_version, shares, tell, version
from tests.conftest import start_server, stop_server
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
