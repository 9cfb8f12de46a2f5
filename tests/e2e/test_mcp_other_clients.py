"""Clients that others have made use agents: MCP's Inspector (strict), and its SDK for TypeScript, over HTTP and stdio."""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.test_approvals import guarded
from tests.api.test_mcp_face import PRICE
from tests.conftest import RunningServer
from tests.support.agents import agent, hands_over, replies
from tests.support.deploying import deploy_files
from tests.support.node import LOCKED, node, node_modules, program, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.requirement("FAC-1")]


@pytest.fixture
def agents(api: httpx.Client, tmp_path: Path) -> None:
    """Agents of several kinds."""
    price = agent("price", capabilities=PRICE, rules=replies('{"total": {{ input.amount * 2 }} }'))
    count = agent("count", rules=replies("{{ 1 + history | length // 2 }}"))
    slow = agent("slow", rules=replies("you said: {{ request }}", delay=0.4))
    front = agent("front", rules=hands_over("slow"), more='delegates = ["slow"]\n')
    deploy_files(api, tmp_path / "workspace", {**price, **count, **slow, **front, **guarded()})


def environment(server: RunningServer, workspace: str) -> dict[str, str]:
    return {"CAXTON_URL": server.url, "CAXTON_API_KEY": server.api_key, "CAXTON_WORKSPACE": workspace}


@pytest.mark.usefixtures("agents")
@pytest.mark.parametrize("way", ["http", "stdio"])
def test_the_inspector_finds_nothing_wrong(
    caxton_server: RunningServer, workspace: str, tmp_path: Path, way: str
) -> None:
    headers = {"Authorization": f"Bearer {caxton_server.api_key}", "X-Caxton-Workspace": workspace}
    known: dict[str, Any] = {
        "http": {"type": "streamable-http", "url": f"{caxton_server.url}/mcp", "headers": headers},
        "stdio": {
            "command": sys.executable,
            "args": ["-m", "caxton", "mcp"],
            "env": {**environment(caxton_server, workspace), "PATH": os.environ["PATH"]},
        },
    }
    config = tmp_path / "servers.json"
    config.write_text(json.dumps({"mcpServers": known}))
    inspector = [*program("mcp-inspector"), "--cli", "--config", str(config), "--server", way]

    def asked(method: str, *more: str) -> Any:
        done = run([*inspector, "--method", method, *more], env={"HOME": str(tmp_path)})
        assert done.returncode == 0, (method, done.returncode, done.stdout, done.stderr)
        return json.loads(done.stdout)

    tools = asked("tools/list", "--strict")["tools"]
    assert [tool["name"] for tool in tools] == ["count", "front", "price", "slow", "teller"]
    said = asked("tools/call", "--tool-name", "slow", "--tool-arg", "request=hello")
    assert said["content"][0]["text"] == "you said: hello"
    priced = asked("tools/call", "--tool-name", "price", "--tool-arg", "amount=4")
    assert priced["structuredContent"] == {"total": 8}
    uris = [each["uri"] for each in asked("resources/list")["resources"]]
    assert "caxton://agents/count" in uris
    read = asked("resources/read", "--uri", "caxton://agents/count")
    assert json.loads(read["contents"][0]["text"])["name"] == "count"
    assert len(asked("resources/templates/list")["resourceTemplates"]) == 3


@pytest.mark.usefixtures("agents")
@pytest.mark.parametrize("way", ["http", "stdio"])
def test_the_sdk_for_typescript_does_all_that_there_is(caxton_server: RunningServer, workspace: str, way: str) -> None:
    script = node_modules().parent / "client.mjs"  # it imports what is beside it
    shutil.copy(LOCKED / "client.mjs", script)
    where = (
        [f"{caxton_server.url}/mcp", caxton_server.api_key, workspace]
        if way == "http"
        else [sys.executable, "-m", "caxton", "mcp"]
    )
    done = run([node(), str(script), way, *where], env=environment(caxton_server, workspace))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["tools"] == ["count", "front", "price", "slow", "teller"]
    assert told["front"] == "you said: hello"
    assert "slow: begins slow" in told["progress"]
    assert told["counted"] == ["1", "2"]
    assert (told["priced"], told["refused"]) == ({"total": 42}, True)
    assert told["approved"].startswith("ok:")
    assert told["asked"] == 1
    assert told["agent"] == "count"
    assert told["templates"] == ["agent", "conversation", "trace"]
    assert told["completed"] == ["count"]
