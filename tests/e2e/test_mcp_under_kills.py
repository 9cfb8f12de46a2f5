"""MCP clients and a server that is killed: nothing that they hold is lost."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters

from tests.api.test_approvals import guarded, pending
from tests.conftest import start_server, stop_server
from tests.support import stand_in
from tests.support.agents import agent, replies
from tests.support.deploying import deploy_files
from tests.support.mcp_client import Raw, result_of, text_of
from tests.support.ports import free_port
from tests.support.waiting import until

CALL: dict[str, Any] = {"name": "teller", "arguments": {"request": "x"}}


@pytest.mark.slow
@pytest.mark.requirement("FAC-1")
@pytest.mark.requirement("FAC-9")
def test_tasks_sessions_questions_and_calls_outlive_a_killed_server(tmp_path: Path) -> None:
    port, environment = free_port(), stand_in.as_provider(free_port())
    process, server = start_server(tmp_path / "data", "--port", str(port), env=environment)
    try:
        with server.client() as api:
            slow = agent("slow", rules=replies("you said: {{ request }}", delay=3))
            deploy_files(api, tmp_path / "workspace", {**slow, **guarded()})
            raw = Raw(api, {"elicitation": {}}).begin()
            task = result_of(raw.legacy("tools/call", name="slow", arguments={"request": "a"}, task={}))["task"]
            waiting = result_of(raw.legacy("tools/call", **CALL, task={}))["task"]["taskId"]
            asked = result_of(raw.modern("tools/call", **CALL))

        command = StdioServerParameters(
            command=sys.executable,
            args=["-m", "caxton", "mcp"],
            env={**os.environ, "CAXTON_URL": server.url, "CAXTON_API_KEY": server.api_key},
        )

        async def call_and_kill() -> str:
            nonlocal process, server
            async with Client(command) as client:
                begun = asyncio.Event()

                async def hear(progress: float, total: float | None, message: str | None) -> None:
                    begun.set()

                call = asyncio.create_task(client.call_tool("slow", {"request": "b"}, progress_callback=hear))
                await asyncio.wait_for(begun.wait(), 30)
                os.kill(server.pid, signal.SIGKILL)
                process.wait(30)
                process, server = await asyncio.to_thread(
                    start_server, tmp_path / "data", "--port", str(port), env=environment
                )
                return text_of(await asyncio.wait_for(call, 60))

        assert asyncio.run(call_and_kill()) == "you said: b"
        with server.client() as api:
            raw.http = api
            assert result_of(raw.legacy("tasks/result", taskId=task["taskId"]))["content"][0]["text"] == "you said: a"
            listed = {each["taskId"] for each in result_of(raw.legacy("tasks/list"))["tasks"]}
            assert listed == {task["taskId"], waiting}
            until(lambda: result_of(raw.legacy("tasks/get", taskId=waiting))["status"] == "input_required", 30)
            [identity] = asked["inputRequests"]
            answers = {identity: {"action": "accept", "content": {"decision": "approve"}}}
            state: dict[str, Any] = {"inputResponses": answers, "requestState": asked["requestState"]}
            done = result_of(raw.modern("tools/call", **CALL, **state))
            assert done["content"][0]["text"].startswith("ok:")
            assert len(pending(api)) == 1
            events = api.get("/v1/events", params={"type": "execution_triggered"}).json()["events"]
            executions = [event["execution_id"] for event in events]
            assert len(set(executions)) == 4, "the call over stdio was made once"
    finally:
        stop_server(process)
