"""Any replica answers any request of an MCP client: sessions, answers, states and cancellations belong to no process."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.test_approvals import guarded
from tests.support.agents import agent, hands_over, replies
from tests.support.apart import Apart, on_a_temporal_service
from tests.support.deploying import deploy_files
from tests.support.mcp_client import Raw, messages_of, result_of
from tests.support.ports import free_port
from tests.support.postgres import Postgres
from tests.support.waiting import until

NAMES = ("front", "quick", "slow", "teller")
FORMS: dict[str, Any] = {"elicitation": {}}
CALL: dict[str, Any] = {"name": "teller", "arguments": {"request": "x"}}
YES: dict[str, Any] = {"action": "accept", "content": {"decision": "approve"}}


@pytest.fixture
def apart(postgres: Postgres, tmp_path: Path) -> Iterator[Apart]:
    """A Temporal service and a PostgreSQL."""
    with on_a_temporal_service(tmp_path, postgres.new_store()) as found:
        yield found


FILES = {
    **guarded(),
    **agent("slow", rules=replies("done", delay=60)),
    **agent("quick", rules=replies("done", delay=0.5)),
    **agent("front", rules=hands_over("quick"), more='delegates = ["quick"]\n'),
}


def methods_of(answer: httpx.Response) -> list[str]:
    return [each.get("method", "answer") for each in messages_of(answer)]


def stream(raw: Raw, name: str, identity: int) -> Iterator[dict[str, Any]]:
    """The messages of a call as they come."""
    params = {"name": name, "arguments": {"request": "x"}, "_meta": {"progressToken": identity}}
    message = {"jsonrpc": "2.0", "id": identity, "method": "tools/call", "params": params}
    headers = {"Accept": "application/json, text/event-stream", "Mcp-Session-Id": str(raw.session)}
    with raw.http.stream("POST", "/mcp", json=message, headers=headers) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))


@pytest.mark.slow
@pytest.mark.requirement("FAC-1")
@pytest.mark.requirement("FAC-9")
@pytest.mark.timeout(300)
async def test_what_one_replica_began_another_one_goes_on_with(apart: Apart) -> None:
    await apart.engine.wait_until_ready()
    port = free_port()
    apart.start("api", "--port", str(apart.port))
    apart.start("worker")
    server = apart.wait_until_ready()
    apart.start("api", "--port", str(port))
    with (
        server.client() as one,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=one.headers, timeout=60, trust_env=False) as other,
    ):
        deploy_files(one, apart.folder / "workspace", FILES)

        def is_ready() -> bool:
            try:
                return other.get("/ready").status_code == 200
            except httpx.TransportError:
                return False

        until(is_ready, 150)
        here = Raw(one, FORMS).begin()
        there = Raw(other, FORMS, session=here.session)
        assert [tool["name"] for tool in result_of(there.legacy("tools/list"))["tools"]] == list(NAMES)

        told: list[dict[str, Any]] = []
        for message in stream(here, "teller", 70):
            told.append(message)
            if message.get("method") == "elicitation/create":
                answer = there.post({"jsonrpc": "2.0", "id": message["id"], "result": YES})
                assert answer.status_code == 202, answer.text
        assert told[-1]["result"]["content"][0]["text"].startswith("ok:")

        for message in stream(here, "slow", 71):
            told.append(message)
            if message.get("method") == "notifications/progress":
                params = {"requestId": 71}
                note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}
                there.post(note, {"Mcp-Session-Id": str(here.session)})
        assert told[-1]["result"]["_meta"]["caxton/error"]["code"] == "execution_cancelled"

        asked = result_of(here.modern("tools/call", **CALL))
        [identity] = asked["inputRequests"]
        state: dict[str, Any] = {"inputResponses": {identity: YES}, "requestState": asked["requestState"]}
        assert result_of(there.modern("tools/call", **CALL, **state))["content"][0]["text"].startswith("ok:")

        # The level of log messages: each request of 2026-07-28 names it, an older session has it in one process.
        level = {"io.modelcontextprotocol/logLevel": "info"}
        quick: dict[str, Any] = {"name": "front", "arguments": {"request": "x"}}
        for raw in (here, there):
            assert "notifications/message" in methods_of(raw.modern("tools/call", **quick, _meta=level))
            assert "notifications/message" not in methods_of(raw.modern("tools/call", **quick))
        assert result_of(here.legacy("logging/setLevel", level="info")) == {}
        assert "notifications/message" in methods_of(here.legacy("tools/call", **quick))
        assert "result" in messages_of(there.legacy("tools/call", **quick))[-1]

        task = result_of(here.legacy("tools/call", name="slow", arguments={"request": "x"}, task={}))["task"]["taskId"]
        assert result_of(there.legacy("tasks/cancel", taskId=task))["status"] == "cancelled"
        assert result_of(here.legacy("tasks/get", taskId=task))["status"] == "cancelled"
