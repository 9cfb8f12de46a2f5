"""`caxton mcp`: agents as tools over standard input and output, tried with the official SDK."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp_types import ElicitResult

from tests.api.test_approvals import guarded
from tests.conftest import RunningServer
from tests.support.agents import agent, hands_over, replies
from tests.support.deploying import deploy_files
from tests.support.mcp_client import MODES, text_of
from tests.support.waiting import until


def environment(server: RunningServer, workspace: str) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("CAXTON_")},
        "CAXTON_URL": server.url,
        "CAXTON_API_KEY": server.api_key,
        "CAXTON_WORKSPACE": workspace,
    }


def test_a_request_without_a_method_is_refused_with_its_id(caxton_server: RunningServer, workspace: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "caxton", "mcp"],
        input='{"jsonrpc": "2.0", "id": 2}\n',
        env=environment(caxton_server, workspace),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    told = json.loads(done.stdout)
    assert (told["id"], told["error"]["code"]) == (2, -32600), done


@pytest.mark.requirement("FAC-1")
@pytest.mark.requirement("FAC-9")
@pytest.mark.parametrize("mode", MODES)
def test_a_client_uses_agents_over_stdio(
    api: httpx.Client, caxton_server: RunningServer, workspace: str, tmp_path: Path, mode: str
) -> None:
    more = 'delegates = ["echo"]\n'
    echo, front = (
        agent("echo", rules=replies("you said: {{ request }}")),
        agent("front", rules=hands_over("echo"), more=more),
    )
    slow = agent("slow", rules=replies("done", delay=30))
    deploy_files(api, tmp_path, {**echo, **front, **slow, **guarded()})
    command = StdioServerParameters(
        command=sys.executable, args=["-m", "caxton", "mcp"], env=environment(caxton_server, workspace)
    )
    steps: list[str | None] = []
    begun = asyncio.Event()

    async def says_yes(context: Any, params: Any) -> ElicitResult:
        return ElicitResult(action="accept", content={"decision": "approve"})

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        steps.append(message)
        begun.set()

    async def run() -> None:
        async with Client(command, mode=mode, elicitation_callback=says_yes) as client:
            assert client.protocol_version == {"legacy": "2025-11-25", "auto": "2026-07-28"}[mode]
            assert [tool.name for tool in (await client.list_tools()).tools] == ["echo", "front", "slow", "teller"]
            many = [client.call_tool("echo", {"request": str(number)}) for number in range(8)]
            assert [text_of(each) for each in await asyncio.gather(*many)] == [f"you said: {n}" for n in range(8)]
            assert (
                text_of(await client.call_tool("front", {"request": "ü\u2028"}, progress_callback=hear))
                == "you said: ü\u2028"
            )
            assert text_of(await client.call_tool("teller", {"request": "x"})).startswith("ok:")
            begun.clear()
            task = asyncio.create_task(client.call_tool("slow", {"request": "x"}, progress_callback=hear))
            await asyncio.wait_for(begun.wait(), 20)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert text_of(await client.call_tool("echo", {"request": "still"})) == "you said: still"

    asyncio.run(run())
    assert "echo: begins echo" in steps

    def ended() -> bool:
        found = api.get("/v1/events", params={"type": "execution_failed"}).json()["events"]
        return [event["error_code"] for event in found] == ["execution_cancelled"]

    until(ended, 20)


def spoken(lines: list[Any], env: dict[str, str], *arguments: str) -> list[dict[str, Any]]:
    """What the bridge answers to some lines, whereupon its input ends."""
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    done = subprocess.run(
        [sys.executable, "-m", "caxton", "mcp", *arguments],
        input=text,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.requirement("FAC-1")
def test_what_the_bridge_cannot_do_is_told_as_json_rpc(
    caxton_server: RunningServer, workspace: str, tmp_path: Path
) -> None:
    ping = {"jsonrpc": "2.0", "id": 7, "method": "ping"}
    env = environment(caxton_server, workspace)
    told = spoken(["{", "[]", {"jsonrpc": "2.0", "method": "notifications/initialized"}, ping], env)
    assert [(each["id"], each.get("error", {}).get("code")) for each in told] == [
        (None, -32700),
        (None, -32600),
        (7, None),
    ]
    (tmp_path / "key").write_text("cx_of-nobody\n")
    [refused] = spoken([ping], {**env, "CAXTON_API_KEY": ""}, "--key-file", str(tmp_path / "key"))
    assert (refused["id"], refused["error"]["code"]) == (7, 401)
    [nobody] = spoken([ping], {**env, "CAXTON_URL": "http://127.0.0.1:9"})
    assert nobody["id"] == 7
    assert "does not answer" in nobody["error"]["message"]
