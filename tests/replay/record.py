"""Records histories of every kind of workflow from a real run: `python -m tests.replay.record`.

Histories that are there stay as they are, for running workflows must keep replaying; give new kinds of work new names.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
from temporalio.client import Client

from tests.api.test_approvals import finished, guarded, pending, reviewed, send
from tests.api.test_failures import calls, hostile
from tests.api.test_service_levels import promising
from tests.conftest import start_server, stop_server
from tests.support.agents import agent, hands_over, replies
from tests.support.deploying import deploy_files

HISTORIES = Path(__file__).parent / "histories"


def work(api: httpx.Client, folder: Path) -> dict[str, str]:
    """Does a bit of everything; returns workflow ids by the name of their history."""
    deploy_files(
        api,
        folder / "workspace",
        {
            **hostile(),
            **agent("first", rules=hands_over("second"), more='delegates = ["second"]\n'),
            **agent("second", rules=calls("ok"), more='tools = ["hostile"]\n'),
            **agent("slow", rules=replies("done", delay=0.3)),
            **agent("slower", rules=replies("done", delay=20)),
        },
    )
    for capability in ("first", "first", "slow"):
        api.post("/v1/messages", json={"capability": capability, "content": "x"}).raise_for_status()
    together(api)
    refused = api.post("/v1/messages", json={"capability": "second", "content": "x"}, headers={"Idempotency-Key": "k"})
    refused.raise_for_status()
    ids: dict[str, str] = {}
    for name, capability in (
        ("conversation", "first"),
        ("conversation-slow", "slow"),
        ("conversation-quick", "first"),
        ("conversation-handed-over", "slow"),
    ):
        conversation = api.post("/v1/conversations", json={"capability": capability}).json()["id"]
        for number in range(3):
            api.post(f"/v1/conversations/{conversation}/messages", json={"content": f"m{number}"}).raise_for_status()
        api.post(f"/v1/conversations/{conversation}/end", json={}).raise_for_status()
        ids[name] = f"conversation/local/default/{conversation}"
    conversation = api.post("/v1/conversations", json={"capability": "slower"}).json()["id"]
    sent = api.post(
        f"/v1/conversations/{conversation}/messages", json={"content": "x"}, params={"wait": "false"}
    ).json()
    while api.get(f"/v1/executions/{sent['execution_id']}").status_code != 200:
        time.sleep(0.05)
    api.post(f"/v1/conversations/{conversation}/cancel").raise_for_status()
    ids["conversation-cancelled"] = f"conversation/local/default/{conversation}"
    silent = api.post("/v1/conversations", json={"capability": "first", "idle_timeout": 1}).json()["id"]
    time.sleep(0.5)
    api.post(f"/v1/conversations/{silent}/messages", json={"content": "x"}).raise_for_status()
    while api.get(f"/v1/conversations/{silent}").json()["state"] != "Expired":
        time.sleep(0.1)
    ids["conversation-silent"] = f"conversation/local/default/{silent}"
    ids |= govern(api, folder)
    api.post("/v1/agents/slow/stop", json={"grace": 1}).raise_for_status()
    api.post("/v1/agents/slow/start").raise_for_status()
    ids["agent"] = "agent/local/default/slow"
    ids["deployment"] = "deployment/local/default"
    return ids


def together(api: httpx.Client) -> None:
    """Requests of all kinds that arrive at the same moment, among them the same one twice."""

    def ask(number: int) -> None:
        capability = ("first", "second", "slow", "nobody")[number % 4]
        key = {"Idempotency-Key": f"together-{number // 2 * 2}"}
        api.post("/v1/messages", json={"capability": capability, "content": f"{number // 2}"}, headers=key)

    with ThreadPoolExecutor(24) as clients:
        list(clients.map(ask, range(48)))


def govern(api: httpx.Client, folder: Path) -> dict[str, str]:
    """Approvals of every end, a turn that is cancelled alone, and a notice."""
    files = {
        **guarded(timeout="2s"),
        **reviewed(),
        **promising('respond_within = "100ms", escalation = [{ notify = "ops" }]', delay=0.3),
    }
    deploy_files(api, folder / "governed", files)
    ids: dict[str, str] = {}
    for name, capability, verdict in (
        ("approval-granted", "teller", "grant"),
        ("approval-rejected", "teller", "reject"),
        ("approval-timeout", "teller", None),
        ("approval-of-a-reply", "write", "grant"),
    ):
        execution = send(api, capability)
        if verdict:
            (approval,) = pending(api)
            api.post(f"/v1/approvals/{approval['id']}/{verdict}", json={"reason": "r"}).raise_for_status()
        ids[name] = f"conversation/local/default/{finished(api, execution)['conversation_id']}"
    late = finished(api, send(api, "clerk"))["execution_id"]
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        types = {event["event_type"] for event in api.get(f"/v1/executions/{late}/events").json()["events"]}
        if types & {"escalation_delivered", "escalation_failed"}:
            break
        time.sleep(0.2)
    ids["notice"] = f"notice/local/default/{late}/breach/1"
    conversation = api.post("/v1/conversations", json={"capability": "slower"}).json()["id"]
    path = f"/v1/conversations/{conversation}/messages"
    running = api.post(path, json={"content": "x"}, params={"wait": "false"}).json()["execution_id"]
    while api.get(f"/v1/executions/{running}").status_code != 200:
        time.sleep(0.05)
    api.post(f"/v1/executions/{running}/cancel").raise_for_status()
    api.post(f"/v1/conversations/{conversation}/end", json={}).raise_for_status()
    ids["turn-cancelled"] = f"conversation/local/default/{conversation}"
    return ids


@contextmanager
def channel() -> Iterator[str]:
    """A webhook that takes everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


def fail(api: httpx.Client) -> None:
    """A deployment that fails."""
    body = {"bundles": [{"kind": "agent", "name": "ghost", "files": {"ghost.toml": "1" * 64}}]}
    assert api.post("/v1/deployments", json=body).status_code == 422


async def record() -> None:
    """Records all histories."""
    HISTORIES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary, channel() as url:
        folder = Path(temporary)
        env = {"CAXTON_CHANNELS": json.dumps({"ops": {"url": url}})}
        process, server = await asyncio.to_thread(start_server, folder / "data", env=env)
        try:
            with server.client() as api:
                ids = await asyncio.to_thread(work, api, folder)
                engine = api.get("/v1/server").json()["engine"]
                client = await Client.connect(engine["address"], namespace=engine["namespace"])
                for name, workflow_id in ids.items():
                    await save(client, name, workflow_id)
                await forget(api, client)
                await save(client, "memory-retention", "memory-retention/recorded")
                for shard in (0, 1, 2):
                    await save(client, f"inbox-{shard}", f"inbox/local/{shard}")
                    await save(client, f"inbox-together-{shard}", f"inbox/local/{shard}")
                await asyncio.to_thread(fail, api)
                await save(client, "deployment-failed", "deployment/local/default")
        finally:
            await asyncio.to_thread(stop_server, process)


async def forget(api: httpx.Client, client: Client) -> None:
    """A run of retention over two places."""
    for workspace in ("default", "second"):
        headers = {"X-Caxton-Workspace": workspace}
        for number in range(3):
            api.post("/v1/memory", json={"text": f"fact {number}"}, headers=headers).raise_for_status()
        api.put("/v1/memory/retention", json={"max_entities": 1}, headers=headers).raise_for_status()
    await client.execute_workflow(
        "MemoryRetention", {}, id="memory-retention/recorded", task_queue="caxton", result_type=dict[str, int]
    )


async def save(client: Client, name: str, workflow_id: str) -> None:
    """Writes one history, if there is such a workflow. What was recorded before stays: it must keep replaying."""
    if (HISTORIES / f"{name}.json").exists():
        return
    try:
        history = await client.get_workflow_handle(workflow_id).fetch_history()
    except Exception as error:  # a shard that got no request
        print(f"{name}: {error}")
        return
    text = json.dumps(json.loads(history.to_json()), indent=1).replace(f"{HISTORIES.parents[2]}/", "")
    (HISTORIES / f"{name}.json").write_text(text + "\n")
    print(f"{name}: {len(history.events)} events")


if __name__ == "__main__":
    asyncio.run(record())
