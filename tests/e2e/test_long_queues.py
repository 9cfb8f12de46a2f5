"""Conversations in which much waits: nothing of it is lost, whatever its size, and they can be ended at any time."""

import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from temporalio.client import Client

from tests.api.test_approvals import pending, reviewed
from tests.conftest import RunningServer
from tests.support.agents import agent
from tests.support.deploying import deploy_files

WAITING = 99
"""Messages behind the one in progress: as many as a conversation may have waiting."""

LAST = "re: {{ request[:12] }} {{ variables.x | default('') | length }}"
MEMO = f"""
delay = 0.01
[[rules]]
when = {{ contains = "first" }}
[[rules.steps]]
capability = "write"
[[rules.steps]]
reply = "{LAST}"
[[rules]]
[[rules.steps]]
reply = "{LAST}"
"""
AGENTS: dict[str, str | bytes] = {
    # It takes its time, so that each turn is a call, and all of them are more than one history takes.
    **agent("memo", rules=MEMO, more='delegates = ["write"]\n'),
    **reviewed(),  # what the first turn of a conversation waits for, until a person agrees
}
LONG = 60 << 10
"""Characters of a content: below this it lies in the store, above it among the blobs."""


def fill(api: httpx.Client, conversation: str, body: dict[str, Any]) -> list[str]:
    """Sends as much as may wait. Returns the executions."""
    found: list[str] = []
    for number in range(WAITING + 1):
        content = f"{'first' if not number else 'm'}-{number:03d} ".ljust(body.get("length", 0), "x")
        given = {"content": content, **({"variables": body["variables"]} if "variables" in body else {})}
        sent = api.post(f"/v1/conversations/{conversation}/messages", json=given, params={"wait": "false"})
        assert sent.status_code == 202, sent.text
        found.append(sent.json()["execution_id"])
    return found


def agree(api: httpx.Client) -> None:
    """Lets the first turn go on."""
    (approval,) = pending(api)
    api.post(f"/v1/approvals/{approval['id']}/grant", json={}).raise_for_status()


def wait_for_all(api: httpx.Client, executions: list[str]) -> list[dict[str, Any]]:
    deadline, turns = time.monotonic() + 240, list[dict[str, Any]]()
    for execution in executions:
        while True:
            turn = api.get(f"/v1/executions/{execution}")
            assert turn.status_code == 200, turn.text
            if turn.json()["state"] != "running":
                turns.append(turn.json())
                break
            assert time.monotonic() < deadline, f"{len(turns)} of {len(executions)} have ended"
            time.sleep(0.1)
    return turns


async def was_continued(api: httpx.Client, workspace: str, conversation: str) -> bool:
    """Whether the conversation's workflow has been continued as a new one."""
    engine = api.get("/v1/server").json()["engine"]
    client = await Client.connect(engine["address"], namespace=engine["namespace"])
    found = await client.get_workflow_handle(f"conversation/local/{workspace}/{conversation}").describe()
    return found.run_id != found.raw_description.workflow_execution_info.first_run_id


@pytest.mark.requirement("MSG-3")
@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "body",
    [{"length": LONG}, {"length": 200_000}, {"variables": {"x": "y" * 250_000}}],
    ids=["content", "blob", "variables"],
)
async def test_much_that_waits_is_answered_in_order(
    caxton_server: RunningServer, workspace: str, tmp_path: Path, body: dict[str, Any]
) -> None:
    with caxton_server.client(workspace) as api:
        deploy_files(api, tmp_path / "w", AGENTS)
        conversation = api.post("/v1/conversations", json={"capability": "memo"}).json()["id"]
        sent = fill(api, conversation, body)
        over = api.post(
            f"/v1/conversations/{conversation}/messages", json={"content": "one too many"}, params={"wait": "false"}
        )
        assert over.status_code == 429
        assert over.json()["retry_after"]
        agree(api)
        turns = wait_for_all(api, sent)
        assert {turn["state"] for turn in turns} == {"completed"}
        length = len(body.get("variables", {}).get("x", ""))
        said = [turn["reply"]["content"]["text"] for turn in turns]
        texts = [
            f"{'first' if not n else 'm'}-{n:03d} ".ljust(12, "x" if "length" in body else " ")[:12]
            for n in range(len(sent))
        ]
        assert [text.split() for text in said] == [f"re: {text} {length}".split() for text in texts]
        began = [turn["reply"]["created_at"] for turn in turns]
        assert began == sorted(began)
        assert await was_continued(api, workspace, conversation)
        ended = api.post(f"/v1/conversations/{conversation}/end", json={})
        assert (ended.status_code, ended.json()["state"]) == (200, "Completed")


@pytest.mark.requirement("MSG-3")
@pytest.mark.timeout(200)
@pytest.mark.parametrize("how", ["end", "cancel"])
def test_a_conversation_ends_although_much_waits(
    caxton_server: RunningServer, workspace: str, tmp_path: Path, how: str
) -> None:
    with caxton_server.client(workspace) as api:
        deploy_files(api, tmp_path / "w", AGENTS)
        conversation = api.post("/v1/conversations", json={"capability": "memo"}).json()["id"]
        sent = fill(api, conversation, {"length": LONG})
        assert len(pending(api)) == 1
        assert api.post(f"/v1/conversations/{conversation}/{how}", json={}).status_code == 200
        if how == "end":  # the turn in progress is finished
            agree(api)
        turns = wait_for_all(api, sent)
        codes = [turn["error"] and turn["error"]["code"] for turn in turns]
        if how == "end":
            assert codes == [None] + ["conversation_closed"] * WAITING
        else:
            assert codes[0] == "execution_cancelled"
            assert set(codes[1:]) <= {"conversation_closed", "execution_cancelled"}
        deadline = time.monotonic() + 20
        while api.get(f"/v1/conversations/{conversation}").json()["state"] != "Completed":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert api.get("/v1/events/verify").json()["ok"]
