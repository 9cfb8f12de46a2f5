"""Hogs of one customer do not keep another customer's calls waiting."""

import concurrent.futures
import time
import uuid
from pathlib import Path

import httpx
import pytest

from tests.api.conftest import Deploy
from tests.conftest import RunningServer
from tests.support.deploying import deploy_files
from tests.support.hostile_tool import call_tool, hostile_tool


@pytest.mark.requirement("TOL-3", "SEC-3")
def test_four_hogs_at_the_limit_do_not_make_another_customer_wait(
    api: httpx.Client, deploy: Deploy, caxton_server: RunningServer, workspace: str, tmp_path: Path
) -> None:
    customer = f"hogs-{uuid.uuid4().hex[:8]}"
    key = api.post("/v1/keys", json={"name": "boss", "role": "admin", "customer": customer}).json()["key"]
    deploy(hostile_tool())
    assert call_tool(api, "ok").status_code == 200
    with (
        caxton_server.client(workspace, key=key) as hogs,
        concurrent.futures.ThreadPoolExecutor(8) as threads,
    ):
        deploy_files(hogs, tmp_path / "hogs", hostile_tool(limits={"wall_time": "5s", "fuel": 10**12}))
        running = [threads.submit(call_tool, hogs, "spin") for _ in range(8)]
        time.sleep(0.5)
        waits: list[float] = []
        while not all(hog.done() for hog in running) and len(waits) < 5:
            began = time.monotonic()
            assert call_tool(api, "ok").status_code == 200
            waits.append(time.monotonic() - began)
        assert len(waits) == 5, "the hogs ended before"
        assert sorted(waits)[2] < 1, waits
        assert all(hog.result().json()["code"] in ("tool_timeout", "tool_fuel_exhausted") for hog in running)
