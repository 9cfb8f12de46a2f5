"""Service levels: pressure, breach, escalation, suspension; told by signed webhooks that never hold up a turn."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from tests.api.test_approvals import agrees, finished, send
from tests.api.test_events import events_of, listed
from tests.conftest import RunningServer, start_server, stop_server
from tests.support.agents import agent, replies
from tests.support.deploying import deploy_files, deploy_folder, write_files

pytestmark = pytest.mark.xdist_group("service-levels")  # one worker makes what they share

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass
class Receiver:
    """A channel that counts what it is told."""

    url: str = ""
    notices: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    ids: list[str] = field(default_factory=list[str])
    forged: list[str] = field(default_factory=list[str])
    failures: int = 0
    """How many requests to answer with 503 first."""
    status: int = 204

    def of(self, execution_id: str, count: int) -> list[dict[str, Any]]:
        """What was told of an execution, once that is `count` notices."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            found = [notice for notice in self.notices if notice["data"]["execution_id"] == execution_id]
            if len(found) >= count:
                return found
            time.sleep(0.05)
        raise AssertionError(f"told: {self.notices}")


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if found.failures > 0:
                found.failures -= 1
                self.send_response(503)
            else:
                try:
                    Webhook(SECRET).verify(body, dict(self.headers))
                except WebhookVerificationError as error:
                    found.forged.append(str(error))
                found.notices.append(json.loads(body))
                found.ids.append(self.headers["webhook-id"])
                self.send_response(found.status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    Thread(target=server.serve_forever, daemon=True).start()
    yield found
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def server(receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    channels = {
        "ops": {"url": receiver.url, "secret_env": "OPS_SECRET"},
        "boss": {"url": receiver.url, "secret_env": "OPS_SECRET"},
        "gone": {"url": receiver.url + "/../404"},
    }
    env = {"CAXTON_CHANNELS": json.dumps(channels), "OPS_SECRET": SECRET}
    process, running = start_server(tmp_path_factory.mktemp("sla") / "data", env=env)
    yield running
    stop_server(process)


@pytest.fixture
def api(server: RunningServer, workspace: str) -> Iterator[httpx.Client]:
    with server.client(workspace) as client:
        yield client


def promising(sla: str, *, delay: float, name: str = "clerk") -> dict[str, str | bytes]:
    offered = f'[{{ name = "{name}", sla = {{ {sla} }} }}]'
    return agent(name, capabilities=offered, rules=replies("done", delay=delay))


def types_of(api: httpx.Client, execution_id: str) -> list[str]:
    return [event.event_type for event in events_of(api, execution_id)]


def test_an_answer_in_time_tells_nothing(api: httpx.Client, tmp_path: Path) -> None:
    deploy_files(api, tmp_path / "w", promising('respond_within = "20s"', delay=0))
    turn = api.post("/v1/messages", json={"capability": "clerk", "content": "x"}).json()
    assert turn["state"] == "completed"
    time.sleep(0.7)
    assert "sla_breached" not in types_of(api, turn["execution_id"])


@pytest.mark.requirement("GOV-2")
def test_pressure_comes_before_the_breach_and_the_escalation_step_by_step(
    api: httpx.Client, tmp_path: Path, receiver: Receiver
) -> None:
    sla = (
        'respond_within = "1500ms", pressure_after = "500ms", pressure_notify = "ops", escalation = '
        '[{ notify = "ops" }, { after = "1s", notify = "boss" }, { after = "60s", notify = "boss" }]'
    )
    deploy_files(api, tmp_path / "w", promising(sla, delay=5))
    receiver.failures = 2
    execution = send(api, "clerk")
    told = receiver.of(execution, 3)
    assert sorted((notice["type"], notice["data"]["level"]) for notice in told) == [
        ("caxton.pressure_invoked", 0),
        ("caxton.sla_breached", 1),
        ("caxton.sla_breached", 2),
    ]
    breach = next(notice["data"] for notice in told if notice["type"] == "caxton.sla_breached")
    assert (breach["agent"], breach["capability"], breach["answered"]) == ("clerk", "clerk", False)
    assert breach["respond_within_s"] == 1.5
    assert breach["elapsed_s"] >= 1.5
    assert receiver.forged == []
    turn = finished(api, execution)
    assert turn["state"] == "completed"
    types = types_of(api, execution)
    assert types.index("pressure_invoked") < types.index("sla_breached") < types.index("execution_completed")
    assert types.count("sla_breached") == 1
    assert types.count("escalation_triggered") == 3
    deadline = time.monotonic() + 20
    while types_of(api, execution).count("escalation_delivered") < 3 and time.monotonic() < deadline:
        time.sleep(0.1)
    delivered = [event for event in events_of(api, execution) if event.event_type == "escalation_delivered"]
    assert len(delivered) == 3
    assert max(event.payload["attempts"] for event in delivered) > 1  # the two that were answered 503
    assert len(set(receiver.ids)) == len(receiver.ids)
    rebuilt = agrees(api, execution)
    assert "sla_breached" in rebuilt["sla"]
    assert api.get("/v1/events/verify").json()["ok"]


@pytest.mark.requirement("GOV-2")
def test_repeated_breaches_suspend_the_deployment_until_an_operator_resumes_it(
    api: httpx.Client, tmp_path: Path, receiver: Receiver
) -> None:
    sla = 'respond_within = "100ms", suspend_after = 2, escalation = [{ notify = "boss" }]'
    deploy_files(api, tmp_path / "w", promising(sla, delay=0.5))
    executions = [finished(api, send(api, "clerk"))["execution_id"] for _ in range(2)]
    deadline = time.monotonic() + 10
    while api.get("/v1/agents/clerk").json()["suspended"] is None and time.monotonic() < deadline:
        time.sleep(0.1)
    shown = api.get("/v1/agents/clerk").json()
    assert "2 answers came too late" in shown["suspended"]
    refused = api.post("/v1/messages", json={"capability": "clerk", "content": "x"})
    assert refused.status_code == 503
    assert refused.json()["code"] == "all_agents_unavailable"
    assert any("caxton agent resume clerk" in (hint.get("command") or "") for hint in refused.json()["hints"])
    (suspended,) = listed(api, type="deployment_suspended")
    assert suspended["payload"]["breaches"] == 2
    assert suspended["execution_id"] in executions
    told = receiver.of(executions[1], 2)
    assert {notice["type"] for notice in told} == {"caxton.sla_breached", "caxton.deployment_suspended"}
    resumed = api.post("/v1/agents/clerk/resume", json={"reason": "more hands"})
    assert resumed.status_code == 200, resumed.text
    assert resumed.json()["suspended"] is None
    assert api.post("/v1/agents/clerk/resume").status_code == 409
    (back,) = listed(api, type="deployment_resumed")
    assert (back["actor"], back["payload"]["reason"]) == ("founder:admin", "more hands")
    # One breach after it was resumed is one, not three.
    finished(api, send(api, "clerk"))
    time.sleep(0.7)
    assert api.get("/v1/agents/clerk").json()["suspended"] is None
    assert api.post("/v1/agents/nobody/resume").status_code == 404


def test_a_new_deployment_takes_work_again(api: httpx.Client, tmp_path: Path) -> None:
    deploy_files(api, tmp_path / "w", promising('respond_within = "100ms", suspend_after = 1', delay=0.5))
    finished(api, send(api, "clerk"))
    deadline = time.monotonic() + 10
    while api.get("/v1/agents/clerk").json()["suspended"] is None and time.monotonic() < deadline:
        time.sleep(0.1)
    deploy_files(api, tmp_path / "w", promising('respond_within = "10s", suspend_after = 1', delay=0))
    assert api.get("/v1/agents/clerk").json()["suspended"] is None
    assert api.post("/v1/messages", json={"capability": "clerk", "content": "x"}).status_code == 200


def test_a_channel_that_the_server_lacks_is_refused_with_the_line(api: httpx.Client, tmp_path: Path) -> None:
    files = promising('respond_within = "1s", escalation = [{ notify = "opps" }]', delay=0)
    refused = deploy_folder(api, write_files(tmp_path / "w", files))
    assert refused.status_code == 422
    (problem,) = refused.json()["details"]["problems"]
    assert 'no channel "opps"' in problem["message"]
    assert "boss, gone, ops" in problem["message"]
    assert problem["line"] == 3


def test_a_channel_that_refuses_is_told_in_the_log(api: httpx.Client, tmp_path: Path, receiver: Receiver) -> None:
    deploy_files(
        api, tmp_path / "w", promising('respond_within = "50ms", escalation = [{ notify = "ops" }]', delay=0.3)
    )
    receiver.status = 410
    try:
        execution = finished(api, send(api, "clerk"))["execution_id"]
        deadline = time.monotonic() + 20
        while "escalation_failed" not in types_of(api, execution) and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:
        receiver.status = 204
    failed = next(event for event in events_of(api, execution) if event.event_type == "escalation_failed")
    assert "410" in failed.payload["reason"]
