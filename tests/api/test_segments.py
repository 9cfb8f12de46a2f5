"""Events that leave the database, over HTTP and on the command line, on a server of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.api.test_deletion import eventually
from tests.conftest import RunningServer, start_server, stop_server
from tests.support.agents import agent, replies
from tests.support.deploying import deploy_files


def caxton(server: RunningServer, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "caxton", *arguments]
    environment = {
        **os.environ,
        "CAXTON_URL": server.url,
        "CAXTON_API_KEY": server.api_key,
        "HOME": str(server.data_dir),
    }
    return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=server.data_dir, timeout=60)


@pytest.mark.slow
@pytest.mark.requirement("EVT-9")
def test_events_leave_the_database_and_still_verify(tmp_path: Path) -> None:
    process, server = start_server(tmp_path / "data")
    try:
        with server.client("default") as api:
            deploy_files(api, tmp_path / "workspace", agent("echo", rules=replies("yes")))
            api.put("/v1/metrics/turns", json={"count": {"type": "execution_completed"}}).raise_for_status()
            turn = api.post("/v1/messages", json={"capability": "echo", "content": "hello"}).json()
            whole = api.get("/v1/events/verify").json()
            assert whole["ok"]
            assert "whole log is in the database" in caxton(server, "events", "segments").stdout
            done = caxton(server, "retention", "set", "--events", "1s")
            assert done.returncode == 0, done.stderr
            eventually(lambda: api.get("/v1/event-segments").json()["segments"] != [], seconds=90)
            expect = f"{whole['head_sequence']}:{whole['head_hash']}"
            (first, *_) = found = api.get("/v1/event-segments").json()["segments"]
            assert first["is_here"]
            eventually(lambda: api.get("/v1/events/verify").json()["ok"])
            verified = caxton(server, "events", "verify")
            assert verified.returncode == 0, verified.stdout + verified.stderr
            assert "has left the database in segments" in verified.stdout
            files = [str(server.data_dir / "archive" / "local" / each["file"]) for each in found]
            checked = caxton(server, "events", "verify", "--archive", *files)
            assert checked.returncode == 0, checked.stdout + checked.stderr
            assert f"the log ends at {found[-1]['last']}:{found[-1]['root_hash']}" in checked.stdout
            if found[-1]["last"] >= whole["head_sequence"]:
                held = caxton(server, "events", "verify", "--archive", *files, "--expect", expect)
                assert held.returncode == 0, held.stderr
            for part in ("events", "replay"):
                gone = api.get(f"/v1/executions/{turn['execution_id']}/{part}")
                assert (gone.status_code, gone.json()["code"]) == (410, "events_detached"), gone.text
                assert first["file"] in gone.json()["detail"]
                assert str(tmp_path) not in gone.text
            assert api.get("/v1/event-segments").json()["archive"] == str(server.data_dir / "archive" / "local")
            body = {"name": "boss", "role": "admin", "customer": "another"}
            with server.client("here", key=api.post("/v1/keys", json=body).json()["key"]) as another:
                for path, methods in another.get("/openapi.json").json()["paths"].items():
                    if "get" in methods and "{" not in path and path != "/v1/events/tail":
                        assert str(tmp_path) not in another.get(path).text, (
                            f"{path} tells where the server keeps things"
                        )
            said = api.get(f"/v1/executions/{turn['execution_id']}").json()["reply"]
            assert said["content"]["text"] == "yes", "what was said stays"
            names = [metric["name"] for metric in api.get("/v1/metrics").json()["metrics"]]
            assert "turns" in names, "what people defined stays"
            lines = Path(files[0]).read_text().splitlines()
            Path(files[0]).write_text("\n".join([lines[0], *lines[2:]]))
            assert caxton(server, "events", "verify", "--archive", files[0]).returncode == 3
            told = api.get("/v1/events", params={"type": "segment_detached"}).json()["events"]
            assert told[0]["payload"]["root_hash"] == first["root_hash"]
            assert json.loads(lines[0])["segment"]["root_hash"] == first["root_hash"]
    finally:
        assert stop_server(process) == 0
    assert caxton(server, "events", "verify", "--archive").returncode == 2
