"""A remote agent's task is found again by its id after the server was killed: nothing is sent twice."""

import os
import signal
import uuid
from pathlib import Path

import pytest

from tests.api.test_remote_agents import Abroad, abroad, remote  # noqa: F401 - a fixture
from tests.conftest import start_server, stop_server
from tests.support.deploying import deploy_files
from tests.support.waiting import until


@pytest.mark.slow
@pytest.mark.requirement("FAC-2")
def test_a_remote_task_is_found_again_after_the_server_was_killed(tmp_path: Path, abroad: Abroad) -> None:  # noqa: F811
    process, server = start_server(tmp_path / "data")
    try:
        with server.client() as api:
            api.post("/v1/tool-grants", json={"tool": "abroad", "network": [abroad.url]}).raise_for_status()
            deploy_files(api, tmp_path / "workspace", remote(abroad))
            abroad.looks = 1_000
            sent = {"message": {"messageId": uuid.uuid4().hex, "role": "ROLE_USER", "parts": [{"text": "hello"}]}}
            body = {**sent, "configuration": {"returnImmediately": True}}
            task = api.post("/a2a/v1/translate/message:send", json=body).json()["task"]["id"]
            until(lambda: abroad.headers[2:])  # it was sent, and has been looked at
        os.kill(server.pid, signal.SIGKILL)
        process.wait(30)
        process, server = start_server(tmp_path / "data")
        for each in abroad.tasks.values():
            each["left"] = 1
        with server.client() as api:
            again = api.post("/a2a/v1/translate/message:send", json=sent).json()["task"]
            assert again["id"] == task, "the same message, the same task"
            assert again["status"]["state"] == "TASK_STATE_COMPLETED"
            assert again["artifacts"][0]["parts"][0]["text"] == "abroad: hello"
        assert len(abroad.sent) == 1
    finally:
        stop_server(process)
