"""Records histories of every kind of workflow from a real run: `python -m tests.replay.record`.

Histories that are there stay as they are, for running workflows must keep replaying; give new kinds of work new names.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
from temporalio.client import Client

from tests.api.test_approvals import finished, guarded, pending, reviewed, send
from tests.api.test_failures import calls, hostile
from tests.api.test_rollouts import latest
from tests.api.test_schedules import events, pause, scheduled
from tests.api.test_service_levels import promising
from tests.conftest import start_server, stop_server
from tests.support.agents import agent, hands_over, replies
from tests.support.deploying import deploy_files
from tests.support.waiting import until

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
            **agent("later", rules=replies("done", delay=4)),
            **agent("slower", rules=replies("done", delay=20)),
        },
    )
    alone = api.post("/v1/messages", json={"capability": "first", "content": "x"}).raise_for_status().json()
    ids = {"request": f"conversation/local/default/{alone['conversation_id']}"}
    for name, capability in (
        ("conversation", "first"),
        ("conversation-slow", "slow"),
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
    ids["conversation-in-line"] = wait_in_line(api)
    ids |= govern(api, folder)
    api.post("/v1/agents/slow/stop", json={"grace": 1}).raise_for_status()
    api.post("/v1/agents/slow/start").raise_for_status()
    ids["agent"] = "agent/local/default/slow"
    ids["deployment"] = "deployment/local/default"
    return ids


def wait_in_line(api: httpx.Client) -> str:
    """Messages that wait behind one another, of which one is cancelled; then the conversation ends before it is answered."""
    conversation = api.post("/v1/conversations", json={"capability": "slow"}).json()["id"]
    path = f"/v1/conversations/{conversation}/messages"
    sent = [api.post(path, json={"content": f"m{n}"}, params={"wait": "false"}).json() for n in range(5)]
    api.post(f"/v1/executions/{sent[1]['execution_id']}/cancel").raise_for_status()
    while api.get(f"/v1/executions/{sent[0]['execution_id']}").json()["state"] == "running":
        time.sleep(0.05)
    api.post(f"/v1/conversations/{conversation}/end", json={}).raise_for_status()
    while api.get(f"/v1/executions/{sent[-1]['execution_id']}").json()["state"] == "running":
        time.sleep(0.05)
    return f"conversation/local/default/{conversation}"


def call_slowly(api: httpx.Client) -> dict[str, str]:
    """Begins a call that takes long."""
    sent = api.post("/v1/messages", json={"capability": "later", "content": "x"}, params={"wait": "false"}).json()
    time.sleep(1.5)  # until it is made
    return sent


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
def channel() -> Generator[str]:
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
                await run_by_the_clock(api, client, folder)
                await save(client, "rollout", await asyncio.to_thread(roll_out, api, folder))
                await save(client, "rollout-gated", await asyncio.to_thread(roll_out_behind_gates, api, folder))
                await asyncio.to_thread(fail, api)
                await save(client, "deployment-failed", "deployment/local/default")
                sent = await asyncio.to_thread(call_slowly, api)
            process.kill()
            process.wait()
            process, server = await asyncio.to_thread(start_server, folder / "data", env=env)
            with server.client() as api:
                await asyncio.to_thread(finished, api, sent["execution_id"])
                engine = api.get("/v1/server").json()["engine"]
                client = await Client.connect(engine["address"], namespace=engine["namespace"])
                again = f"conversation/local/default/{sent['conversation_id']}"
                await save(client, "call-begun-again", again)
        finally:
            await asyncio.to_thread(stop_server, process)


def roll_out(api: httpx.Client, folder: Path) -> str:
    """A canary that is paused, resumed, and goes on to its end."""
    begin(api, folder, '[rollout]\nlook_every = "0.2s"\nstages = [{ percent = 50, sample = 1 }]\n')
    path = f"/v1/rollouts/{latest(api, 'staged')['id']}"
    for command in ("pause", "resume"):
        api.post(f"{path}/{command}", json={}).raise_for_status()
        time.sleep(0.5)
    api.post(f"{path}/promote", json={}).raise_for_status()
    time.sleep(1)
    return f"rollout/local/default/{path.rpartition('/')[2]}"


def roll_out_behind_gates(api: httpx.Client, folder: Path) -> str:
    """The same behind a replay and a webhook, with word of its end."""
    gates = [
        'name = "talks"\nrules = [{ rule = "no_new_errors" }]',
        'name = "before"\nkind = "webhook"\nat = "pre-rollout"\nchannel = "ops"',
        'name = "after"\nkind = "webhook"\nat = "post-rollout"\nchannel = "ops"',
    ]
    more = "".join(f"[[rollout.gates]]\n{gate}\n" for gate in gates)
    begin(api, folder, f'[rollout]\nlook_every = "0.2s"\nstages = [{{ percent = 50, sample = 1 }}]\n{more}')
    path = f"/v1/rollouts/{latest(api, 'staged')['id']}"
    until(lambda: latest(api, "staged")["state"] == "Progressing")
    api.post(f"{path}/promote", json={}).raise_for_status()
    time.sleep(1.5)
    return f"rollout/local/default/{path.rpartition('/')[2]}"


def begin(api: httpx.Client, folder: Path, rollout: str) -> None:
    """Makes a version live that has answered, and deploys the next one."""
    number = 1 + 2 * len(api.get("/v1/rollouts", params={"agent": "staged"}).json()["rollouts"])
    deploy_files(api, folder / "staged", agent("staged", version=f"{number}.0.0", rules=replies("done")))
    api.post("/v1/messages", json={"capability": "staged", "content": "x"}).raise_for_status()
    files = agent("staged", version=f"{number + 1}.0.0", rules=replies("done"), more=rollout)
    deploy_files(api, folder / "staged", files)


async def run_by_the_clock(api: httpx.Client, client: Client, folder: Path) -> None:
    """Due times of a schedule: one that is begun at once, one that waits for the one before."""
    files = scheduled(delay=1.6, more='overlap = "buffer"\n')
    await asyncio.to_thread(deploy_files, api, folder / "clock", files)
    await asyncio.to_thread(until, lambda: len(events(api, "schedule_run_begun")) >= 3)
    await asyncio.to_thread(pause, api)
    runs = [
        each async for each in client.list_workflows("WorkflowType = 'ScheduledRun' AND ExecutionStatus = 'Completed'")
    ]
    runs.sort(key=lambda each: each.start_time)
    await save(client, "scheduled-run", runs[0].id)
    await save(client, "scheduled-run-waits", runs[1].id)


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
    history = await client.get_workflow_handle(workflow_id).fetch_history()
    text = json.dumps(json.loads(history.to_json()), indent=1).replace(f"{HISTORIES.parents[2]}/", "")
    (HISTORIES / f"{name}.json").write_text(text + "\n")
    print(f"{name}: {len(history.events)} events")


if __name__ == "__main__":
    asyncio.run(record())
