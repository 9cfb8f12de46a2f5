"""Metrics of deployments move with them."""

import re
from pathlib import Path

import httpx
import pytest

from tests.support.deploying import ECHO, deploy_files, deploy_folder, write_files
from tests.support.hostile_tool import hostile_tool


def counted(api: httpx.Client, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", api.get("/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


@pytest.mark.requirement("ADM-1")
def test_deployments_are_counted_by_the_state_in_which_they_end(api: httpx.Client, tmp_path: Path) -> None:
    running, failed = 'caxton_deployments_total{state="Running"}', 'caxton_deployments_total{state="Failed"}'
    before = counted(api, running), counted(api, failed), counted(api, "caxton_deployment_seconds_count")
    deploy_files(api, tmp_path / "good", dict(ECHO))
    assert counted(api, running) >= before[0] + 1
    tool = hostile_tool()
    bad = tool | {
        path: b"\0asm\x0d\0\x01\0" for path in tool if path.endswith(".wasm")
    }  # a component without functions
    assert deploy_folder(api, write_files(tmp_path / "bad", bad)).status_code == 422
    assert counted(api, failed) >= before[1] + 1
    assert counted(api, "caxton_deployment_seconds_count") >= before[2] + 2
    assert counted(api, "caxton_deployment_seconds_sum") > 0
