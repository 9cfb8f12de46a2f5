"""A question of a tool's MCP server outlives a server that is killed, before and after somebody answers it."""

import json
import os
import signal
from pathlib import Path

import pytest

from tests.api.test_mcp_questions import PLACE, begin, deploy, reply, waiting
from tests.conftest import start_server, stop_server
from tests.support.deploying import write_files
from tests.support.mcp_tools import ServerFolder
from tests.support.ports import free_port


@pytest.mark.slow
@pytest.mark.requirement("TOL-11")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mood", ["new", "old"])
def test_a_question_outlives_a_killed_server(tmp_path: Path, mood: str) -> None:
    folder = ServerFolder(tmp_path / "server")
    folder.path.mkdir()
    folder.say("mood", mood)
    data, port = tmp_path / "data", str(free_port())
    write_files(data, {"caxton.toml": f"[tools]\nallowed_commands = {json.dumps([folder.line])}\n"})
    process, server = start_server(data, "--port", port)
    try:
        with server.client() as api:
            asks = [{"message": f"Where to, {number}?", "requestedSchema": PLACE} for number in (1, 2)]
            deploy(api, tmp_path, folder, *asks)
            execution = begin(api)
            first = waiting(api)
        os.kill(server.pid, signal.SIGKILL)
        process.wait(30)
        process, server = start_server(data, "--port", port)
        with server.client() as api:
            assert waiting(api)["id"] == first["id"]
            granted = api.post(f"/v1/approvals/{first['id']}/grant", json={"arguments": {"place": "Lviv"}})
            assert granted.status_code == 200, granted.text
        os.kill(server.pid, signal.SIGKILL)
        process.wait(30)
        process, server = start_server(data, "--port", port)
        with server.client() as api:
            second = waiting(api)
            assert second["id"] != first["id"]
            api.post(f"/v1/approvals/{second['id']}/grant", json={"arguments": {"place": "Odesa"}}).raise_for_status()
            assert reply(api, execution) == [["accept", {"place": "Lviv"}], ["accept", {"place": "Odesa"}]]
            events = [each["event_type"] for each in api.get("/v1/events", params={"limit": 200}).json()["events"]]
            assert (events.count("approval_requested"), events.count("tool_executed")) == (2, 1)
            assert api.get("/v1/events/verify").json()["ok"] is True
    finally:
        stop_server(process)
