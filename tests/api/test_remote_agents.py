"""Agents elsewhere are called over the A2A protocol like local ones: here the server calls itself, and a stand-in."""

import json
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.conftest import Deploy
from tests.api.test_approvals import finished, send
from tests.support.agents import agent, hands_over
from tests.support.deploying import deploy_folder, write_files
from tests.support.waiting import until

REMOTE = """name = "abroad"
version = "1.0.0"
kind = "a2a"
capabilities = ["translate"]
[a2a]
url = "{url}"
timeout = "20s"
request_timeout = "2s"
"""


class Abroad:
    """A remote agent of a few lines, which does as it is told."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.cancelled: list[str] = []
        self.tasks: dict[str, dict[str, Any]] = {}
        self.state = "TASK_STATE_COMPLETED"
        self.message: dict[str, Any] | None = None
        """What it answers at once, without a task."""
        self.looks = 0
        """Looks at a task until it is over."""
        self.statuses: list[int] = []
        """HTTP statuses of the next requests, in place of answers."""
        self.headers: list[dict[str, str]] = []
        self.url = ""

    def card(self) -> dict[str, Any]:
        interface = {"url": f"{self.url}/rpc", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
        return {"name": "abroad", "supportedInterfaces": [interface]}

    def answer(self, call: dict[str, Any]) -> dict[str, Any]:
        params = call["params"]
        if call["method"] == "SendMessage":
            self.sent.append(params)
            if self.message is not None:
                return {"message": self.message}
            task = self.tasks.setdefault(params["message"]["messageId"], {"id": uuid.uuid4().hex, "left": self.looks})
            task["text"] = params["message"]["parts"][0]
            return {"task": self.told(task)}
        task = next(each for each in self.tasks.values() if each["id"] == params["id"])
        if call["method"] == "CancelTask":
            self.cancelled.append(task["id"])
            return self.told(task)
        task["left"] -= 1
        return self.told(task)

    def told(self, task: dict[str, Any]) -> dict[str, Any]:
        if task["left"] > 0:
            return {"id": task["id"], "contextId": "there", "status": {"state": "TASK_STATE_WORKING"}}
        said = {"messageId": "a", "role": "ROLE_AGENT", "parts": [{"text": "so it is"}]}
        found = {"id": task["id"], "contextId": "there", "status": {"state": self.state, "message": said}}
        if self.state == "TASK_STATE_COMPLETED":
            text = task["text"].get("text") or json.dumps(task["text"]["data"])
            found["artifacts"] = [{"artifactId": "1", "parts": [{"text": f"abroad: {text}"}]}]
        return found


@pytest.fixture
def abroad() -> Iterator[Abroad]:
    agent = Abroad()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._say(200, agent.card())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            agent.headers.append(dict(self.headers.items()))
            if agent.statuses:
                self._say(agent.statuses.pop(0), {})
                return
            call = json.loads(body)
            self._say(200, {"jsonrpc": "2.0", "id": call["id"], "result": agent.answer(call)})

        def _say(self, status: int, value: Any) -> None:
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    agent.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield agent
    server.shutdown()
    server.server_close()
    thread.join()


def grant(api: httpx.Client, abroad: Abroad) -> None:
    api.post("/v1/tool-grants", json={"tool": "abroad", "network": [abroad.url]}).raise_for_status()


def remote(abroad: Abroad, more: str = "") -> dict[str, str | bytes]:
    return {"agents/abroad.toml": REMOTE.format(url=abroad.url) + more}


@pytest.mark.requirement("FAC-2")
def test_a_remote_agent_answers_like_a_local_one(api: httpx.Client, deploy: Deploy, abroad: Abroad) -> None:
    more = 'delegates = ["translate"]\n'
    grant(api, abroad)
    deploy({**remote(abroad), **agent("front", rules=hands_over("translate"), more=more)})
    abroad.looks = 2
    turn = api.post("/v1/messages", json={"capability": "translate", "content": "hello"}).json()
    assert turn["state"] == "completed", turn
    assert turn["reply"]["content"]["text"] == "abroad: hello"
    assert turn["reply"]["metadata"]["model"] == "a2a:abroad"
    assert len(abroad.sent) == 1
    assert abroad.headers[0]["A2A-Version"] == "1.0"
    handed = api.post("/v1/messages", json={"capability": "front", "content": "over"}).json()
    assert handed["reply"]["content"]["text"] == "abroad: over"


@pytest.mark.requirement("FAC-2")
def test_nobody_is_called_whom_no_operator_has_granted(
    api: httpx.Client, deploy: Deploy, abroad: Abroad, tmp_path: Path
) -> None:
    told = deploy_folder(api, write_files(tmp_path / "refused", remote(abroad))).json()
    assert told["code"] == "invalid_definitions"
    [problem] = told["details"]["problems"]
    assert problem["message"] == f"abroad needs what nobody has granted: {abroad.url}"
    assert problem["hint"] == f"caxton tool grant abroad --network {abroad.url}"
    grant(api, abroad)
    deploy(remote(abroad))
    [known] = api.get("/v1/tool-grants").json()["grants"]
    api.delete(f"/v1/tool-grants/{known['id']}").raise_for_status()
    refused = api.post("/v1/messages", json={"capability": "translate", "content": "hello"}).json()
    assert refused["code"] == "tool_not_granted", refused
    assert f"caxton tool grant abroad --network {abroad.url}" in json.dumps(refused["hints"])
    assert not abroad.sent


@pytest.mark.requirement("FAC-2")
def test_a_conversation_goes_on_in_the_remote_context(api: httpx.Client, deploy: Deploy, abroad: Abroad) -> None:
    grant(api, abroad)
    deploy(remote(abroad))
    talk = api.post("/v1/conversations", json={"capability": "translate"}).json()["id"]
    abroad.state = "TASK_STATE_INPUT_REQUIRED"
    asked = api.post(f"/v1/conversations/{talk}/messages", json={"content": "one"}).json()
    assert asked["reply"]["content"]["text"] == "so it is", "what it asks is its reply"
    abroad.state = "TASK_STATE_COMPLETED"
    api.post(f"/v1/conversations/{talk}/messages", json={"content": "two"}).raise_for_status()
    api.post(f"/v1/conversations/{talk}/messages", json={"content": "three"}).raise_for_status()
    first, second, third = (each["message"] for each in abroad.sent)
    assert "contextId" not in first
    assert (second["contextId"], second["taskId"]) == ("there", next(iter(abroad.tasks.values()))["id"])
    assert (third["contextId"], third.get("taskId")) == ("there", None)


@pytest.mark.requirement("FAC-2")
def test_a_failed_request_is_made_again_under_the_same_id(api: httpx.Client, deploy: Deploy, abroad: Abroad) -> None:
    grant(api, abroad)
    deploy(remote(abroad))
    abroad.statuses = [503]
    turn = api.post("/v1/messages", json={"capability": "translate", "content": "hello"}).json()
    assert turn["reply"]["content"]["text"] == "abroad: hello"
    assert len(abroad.tasks) == 1


@pytest.mark.requirement("FAC-2")
def test_a_cancelled_turn_cancels_the_remote_task(api: httpx.Client, deploy: Deploy, abroad: Abroad) -> None:
    grant(api, abroad)
    deploy(remote(abroad))
    abroad.looks = 1_000
    execution = send(api, "translate")
    until(lambda: abroad.tasks)
    api.post(f"/v1/executions/{execution}/cancel").raise_for_status()
    assert finished(api, execution)["error"]["code"] == "execution_cancelled"
    until(lambda: abroad.cancelled)


@pytest.mark.requirement("FAC-2")
@pytest.mark.parametrize("state", ["TASK_STATE_FAILED", "TASK_STATE_REJECTED", "TASK_STATE_AUTH_REQUIRED"])
def test_what_a_remote_agent_cannot_do_fails(api: httpx.Client, deploy: Deploy, abroad: Abroad, state: str) -> None:
    grant(api, abroad)
    deploy(remote(abroad))
    abroad.state = state
    failed = api.post("/v1/messages", json={"capability": "translate", "content": "hello"}).json()
    assert (failed["code"], failed["details"]["state"]) == ("remote_agent_failed", state), failed
    assert "so it is" in failed["detail"]


@pytest.mark.requirement("FAC-2")
def test_an_answer_without_a_task_is_a_reply_and_an_odd_context_is_none(
    api: httpx.Client, deploy: Deploy, abroad: Abroad
) -> None:
    grant(api, abroad)
    deploy(remote(abroad))
    for context in ({"not": "a text"}, "x" * 100_000, None):
        abroad.message = {"messageId": "a", "role": "ROLE_AGENT", "parts": [{"text": "at once"}], "contextId": context}
        answer = api.post("/v1/messages", json={"capability": "translate", "content": "hello"}).json()
        assert answer["reply"]["content"]["text"] == "at once", answer


def test_a_card_cannot_send_calls_elsewhere(api: httpx.Client, deploy: Deploy, abroad: Abroad) -> None:
    grant(api, abroad)
    deploy(remote(abroad))
    real = abroad.card()
    real["supportedInterfaces"][0]["url"] = "http://169.254.169.254/rpc"
    abroad.card = lambda: real  # type: ignore[method-assign]
    failed = api.post("/v1/messages", json={"capability": "translate", "content": "hello"}).json()
    assert failed["code"] == "remote_agent_refused"
    assert "another origin" in failed["detail"]
