"""Records histories of every kind of workflow from a real run: `python -m tests.replay.record`.

Run it after a change of the workflows that is guarded by `workflow.patched`; give new histories new names beside the old ones
where running workflows must keep replaying.
"""

import asyncio
import json
import tempfile
import time
from pathlib import Path

import httpx
from temporalio.client import Client

from tests.api.test_failures import calls, hostile
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
    refused = api.post("/v1/messages", json={"capability": "second", "content": "x"}, headers={"Idempotency-Key": "k"})
    refused.raise_for_status()
    ids: dict[str, str] = {}
    for name, capability in (("conversation", "first"), ("conversation-slow", "slow")):
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
    api.post("/v1/agents/slow/stop", json={"grace": 1}).raise_for_status()
    api.post("/v1/agents/slow/start").raise_for_status()
    ids["agent"] = "agent/local/default/slow"
    ids["deployment"] = "deployment/local/default"
    return ids


def fail(api: httpx.Client) -> None:
    """A deployment that fails."""
    body = {"bundles": [{"kind": "agent", "name": "ghost", "files": {"ghost.toml": "1" * 64}}]}
    assert api.post("/v1/deployments", json=body).status_code == 422


async def record() -> None:
    """Records all histories."""
    HISTORIES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        process, server = await asyncio.to_thread(start_server, folder / "data")
        try:
            with server.client() as api:
                ids = await asyncio.to_thread(work, api, folder)
                engine = api.get("/v1/server").json()["engine"]
                client = await Client.connect(engine["address"], namespace=engine["namespace"])
                for name, workflow_id in ids.items():
                    await save(client, name, workflow_id)
                for shard in (0, 1):
                    await save(client, f"inbox-{shard}", f"inbox/local/{shard}")
                await asyncio.to_thread(fail, api)
                await save(client, "deployment-failed", "deployment/local/default")
        finally:
            await asyncio.to_thread(stop_server, process)


async def save(client: Client, name: str, workflow_id: str) -> None:
    """Writes one history, if there is such a workflow."""
    try:
        history = await client.get_workflow_handle(workflow_id).fetch_history()
    except Exception as error:  # a shard that got no request
        print(f"{name}: {error}")
        return
    (HISTORIES / f"{name}.json").write_text(json.dumps(json.loads(history.to_json()), indent=1) + "\n")
    print(f"{name}: {len(history.events)} events")


if __name__ == "__main__":
    asyncio.run(record())
