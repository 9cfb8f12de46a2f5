"""One approval is the same for all: seen over each protocol, decided over any of them, and closed over all of them, once."""

import json
import os
import subprocess
import sys
from typing import Any

import httpx
import openai
import pytest
from mcp.client.client import Client

from tests.api.conftest import Deploy
from tests.api.test_a2a_face import message, rpc
from tests.api.test_agui import outcome
from tests.api.test_approvals import guarded
from tests.api.test_events import events_of
from tests.api.test_openai_face import make_client
from tests.conftest import RunningServer
from tests.support.agui import run, run_input, user
from tests.support.mcp_client import Raw, Use, result_of
from tests.support.waiting import until

FORMS: dict[str, Any] = {"elicitation": {"form": {}}}
CALL: dict[str, Any] = {"name": "teller", "arguments": {"request": "x"}}


class Everywhere:
    """One approval, as the clients of all protocols see it."""

    def __init__(self, api: httpx.Client, server: RunningServer, workspace: str, use: Use, origin: str) -> None:
        """Have it opened by a request over `origin`: AG-UI and MCP ask about requests of their own only."""
        self.api, self.server, self.workspace, self.use = api, server, workspace, use
        self.raw = Raw(api, FORMS)
        self.origin = origin
        self.thread, self.asked = f"t-{workspace}", user("x")
        if origin == "mcp":
            self.question = result_of(self.raw.modern("tools/call", **CALL))
            [self.id] = self.question["inputRequests"]
        else:
            [interrupt] = outcome(run(api, "teller", run_input(self.thread, self.asked)))["interrupts"]
            self.id = interrupt["id"]
        self.execution = self.rest()["root_id"]
        self.client: openai.OpenAI = make_client(server, workspace)
        self.response = f"resp_{self.execution.removeprefix('x_')}"

    def rest(self) -> dict[str, Any]:
        return self.api.get(f"/v1/approvals/{self.id}").json()

    def cli(self, *arguments: str) -> dict[str, Any]:
        given = {"URL": self.server.url, "API_KEY": self.server.api_key, "WORKSPACE": self.workspace}
        environment = os.environ | {f"CAXTON_{name}": value for name, value in given.items()}
        command = [sys.executable, "-m", "caxton", "approvals", *arguments, "--json"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    def trace(self) -> str:
        async def read(client: Client) -> str:
            [content] = (await client.read_resource(f"caxton://traces/{self.execution}")).contents
            return content.text  # type: ignore[union-attr]

        return self.use(read)

    def answers(self, approve: bool) -> dict[str, Any]:
        answer = {"interruptId": self.id, "status": "resolved", "payload": {"approved": approve}}
        return run_input(self.thread, self.asked, resume=[answer])

    def seen(self) -> dict[str, bool]:
        """Whether it waits, by protocol."""
        waiting = [item.id for item in self.client.responses.retrieve(self.response).output]
        task = rpc(self.api, "GetTask", {"id": self.execution})["result"]
        found = {
            "rest": self.rest()["state"] == "Pending",
            "cli": self.cli("show", self.id)["state"] == "Pending",
            "openai": waiting == [self.id],
            "a2a": self.id in json.dumps(task) and task["status"]["state"] == "TASK_STATE_INPUT_REQUIRED",
        }
        if self.origin == "mcp":
            again = result_of(self.raw.modern("tools/call", **CALL, requestState=self.question["requestState"]))
            found["mcp"] = self.id in again.get("inputRequests", {})
        else:
            found["mcp"] = json.loads(self.trace())["state"] == "running" and self.id in self.trace()
            refused = run(self.api, "teller", run_input(self.thread, self.asked, user("more")))[-1]
            found["agui"] = refused["type"] == "RUN_ERROR" and self.id in json.dumps(refused)
        return found

    def decide(self, over: str, approve: bool) -> None:
        """Decides over a protocol."""
        if over == "rest":
            verdict = "grant" if approve else "reject"
            self.api.post(f"/v1/approvals/{self.id}/{verdict}", json={}).raise_for_status()
        elif over == "cli":
            self.cli("grant" if approve else "reject", self.id)
        elif over == "openai":
            answer: Any = {"type": "mcp_approval_response", "approval_request_id": self.id, "approve": approve}
            self.client.responses.create(model="teller", previous_response_id=self.response, input=[answer])
        elif over == "a2a":
            said = message("approve" if approve else "reject", taskId=self.execution)
            assert "result" in rpc(self.api, "SendMessage", said)
        elif over == "agui":
            assert outcome(run(self.api, "teller", self.answers(approve)))["type"] == "success"
        else:
            content = {"decision": "approve" if approve else "reject"}
            late: dict[str, Any] = {"inputResponses": {self.id: {"action": "accept", "content": content}}}
            result_of(self.raw.modern("tools/call", **CALL, **late, requestState=self.question["requestState"]))


@pytest.mark.requirement("FAC-9")
@pytest.mark.parametrize("over", ["cli", "rest", "mcp", "a2a", "agui", "openai"])
def test_it_is_seen_everywhere_and_decided_once(
    api: httpx.Client, deploy: Deploy, caxton_server: RunningServer, workspace: str, use: Use, over: str
) -> None:
    deploy(guarded())
    everywhere = Everywhere(api, caxton_server, workspace, use, "mcp" if over == "mcp" else "agui")
    waiting = everywhere.seen()
    assert set(waiting) >= {"rest", "cli", "openai", "a2a", "mcp"}
    assert all(waiting.values()), waiting
    everywhere.decide(over, approve=True)
    until(lambda: api.get(f"/v1/executions/{everywhere.execution}").json()["state"] == "completed")
    assert everywhere.rest()["state"] == "Granted"
    closed = everywhere.seen()
    assert not any(closed.values()), closed
    # Who comes late with another decision changes nothing.
    late = api.post(f"/v1/approvals/{everywhere.id}/reject", json={})
    assert late.status_code == 409
    answer: Any = {"type": "mcp_approval_response", "approval_request_id": everywhere.id, "approve": False}
    with pytest.raises(openai.ConflictError):
        everywhere.client.responses.create(model="teller", previous_response_id=everywhere.response, input=[answer])
    kinds = [event.event_type for event in events_of(api, everywhere.execution)]
    decided = [kind for kind in kinds if kind.startswith("approval_") and kind != "approval_requested"]
    assert decided == ["approval_granted"]
