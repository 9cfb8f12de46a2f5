"""A disk without room: new work is refused at once and clearly, everything else goes on."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import start_server, stop_server
from tests.support.agents import agent, replies
from tests.support.deploying import deploy_files


@pytest.mark.requirement("ERR-1")
@pytest.mark.slow
def test_work_is_refused_while_there_is_no_room_and_accepted_again_after(tmp_path: Path) -> None:
    data = tmp_path / "data"
    process, server = start_server(data)
    with server.client() as api:
        deploy_files(api, tmp_path / "w", agent("echo", rules=replies("{{ request }}")))
        api.post("/v1/memory", json={"text": "the sky is blue"}).raise_for_status()
        export = api.get("/v1/memory/export").raise_for_status().text
        removed = api.post("/v1/memory/purge", json={"scope": "workspace", "dry_run": False})
        assert removed.json()["count"] == 1
    stop_server(process)
    process, server = start_server(data, env={"CAXTON_LIMITS__FREE_DISK": "900TB"})  # no disk has that
    try:
        with server.client() as api:
            started = time.monotonic()
            work: list[tuple[str, dict[str, Any]]] = [
                ("/v1/messages", {"json": {"capability": "echo", "content": "x"}}),
                ("/v1/deployments", {"json": {"bundles": []}}),
                ("/v1/memory", {"json": {"text": "the sea is blue"}}),
                ("/v1/memory/relations", {"json": {"source": "a", "type": "knows", "target": "b"}}),
                ("/v1/memory/import", {"content": export}),
            ]
            for path, body in work:
                refused = api.post(path, **body)
                assert refused.status_code == 507, refused.text
                assert refused.json()["code"] == "disk_full"
                assert str(data) in refused.json()["detail"]
                assert "free some room" in refused.json()["hints"][0]["text"]
            assert time.monotonic() - started < 10
            ready = api.get("/ready")
            assert ready.status_code == 503
            assert ready.json()["components"]["disk"]["status"] == "failed"
            assert api.get("/v1/agents").json()["agents"][0]["name"] == "echo"
            assert api.get("/v1/memory").json()["memories"] == []
            done = subprocess.run(
                [sys.executable, "-m", "caxton", "ask", "echo", "x", "--url", server.url],
                capture_output=True,
                text=True,
                timeout=60,
                cwd=tmp_path,
                env={"CAXTON_API_KEY": server.api_key, "PATH": "/usr/bin:/bin", "CAXTON_DATA_DIR": str(data)},
            )
            assert done.returncode == 5
            assert "is full" in done.stderr
            assert "hint:" in done.stderr
    finally:
        stop_server(process)
    process, server = start_server(data)
    try:
        with server.client() as api:
            assert api.post("/v1/messages", json={"capability": "echo", "content": "x"}).status_code == 200
            assert api.post("/v1/memory/import", content=export).json()["entities"] == 1
            assert api.get("/v1/events/verify").json()["ok"]
    finally:
        stop_server(process)
