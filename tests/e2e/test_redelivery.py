"""What a process accepted that died before it told anybody: whoever finds it due has it gone on with."""

import asyncio
import time
from pathlib import Path

import httpx
import pytest

from caxton.domain.ids import Scope
from caxton.runtime.fast_path_ports import build_fast_path_ports
from caxton.runtime.settings import Settings
from caxton.turns.accept import accept
from tests.api.test_conversation_order import texts
from tests.conftest import RunningServer
from tests.support.agents import agent, replies
from tests.support.deploying import deploy_files
from tests.support.turns import turn_request


def ended(api: httpx.Client, execution: str) -> bool:
    return api.get(f"/v1/executions/{execution}").json()["state"] != "running"


@pytest.mark.requirement("MSG-8")
async def test_what_nobody_was_told_of_is_answered_once_and_in_order(
    caxton_server: RunningServer, workspace: str, tmp_path: Path
) -> None:
    with caxton_server.client(workspace) as api:
        deploy_files(api, tmp_path / "w", agent("slow", rules=replies("re: {{ request }}", delay=0.1)))
        talk = api.post("/v1/conversations", json={"capability": "slow"}).json()["id"]
        scope = Scope(workspace=workspace)
        alone = turn_request("slow", "alone", scope=scope)
        said = [turn_request("slow", text, scope=scope, conversation=talk) for text in ("one", "two", "three")]
        ports, close = build_fast_path_ports(Settings(data_dir=caxton_server.data_dir))
        try:
            for request in (alone, *said):
                [accepted] = await accept(ports, [request])
                assert accepted.state == "running"
                assert not ended(api, request.execution_id)
        finally:
            close()
        deadline = time.monotonic() + 60
        while not all(ended(api, request.execution_id) for request in (alone, *said)):
            assert time.monotonic() < deadline, "it is not gone on with"
            await asyncio.sleep(0.1)
        assert texts(api, talk, 6) == ["one", "re: one", "two", "re: two", "three", "re: three"]
        reply = api.get(f"/v1/executions/{alone.execution_id}").json()["reply"]
        assert reply["content"]["text"] == "re: alone"
        for request in (alone, *said):
            path = f"/v1/executions/{request.execution_id}"
            types = [event["event_type"] for event in api.get(f"{path}/events").json()["events"]]
            assert types.count("execution_triggered") == types.count("execution_completed") == 1
            assert api.get(f"{path}/replay").json()["differences"] == []
        # What has ended is told to nobody any more.
        assert api.post(f"/v1/conversations/{talk}/end", json={}).json()["state"] == "Completed"
