"""What reaches the engine: ids and plans. Contents, variables and error texts stay in the store, and outgrow nothing."""

import json
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from tests.api.test_approvals import finished, pending, reviewed
from tests.api.test_failures import HOSTILE_MANIFEST
from tests.conftest import start_server, stop_server
from tests.e2e.test_run_to_completion import tool
from tests.support.agents import agent, hands_over, replies
from tests.support.deploying import deploy_files
from tests.support.provider import Said, model_agent, running_provider

CANARIES = [
    "sayingsongbird",
    "variablewarbler",
    "failingfinch",
    "callingcanary",
    "answeringauk",
    "reasoningrobin",
    "topictit",
]
CALLS = 100
"""Calls that a model asks for at the same time."""

TABLE = {
    # What the model's step brought: which calls, not what they are to do. 100 bytes each, and the engine takes 2 MiB.
    "result of call_model": 16_384,
    "result of next_turn": 16_384,
    "input of call_model": 2_048,
    "input of call_tool": 2_048,
    "result of open_execution": 2_048,
    "result of run_step": 1_024,
    "result of close_execution": 1_024,
    # A person's decision with the reason, of 2,000 characters at most.
    "workflow_execution_update_accepted": 8_192,
    # Names and digests of what is deployed: the one that grows with its files. Its service refuses more than 1.5 MB.
    "Deployment: workflow_execution_started": 1_500_000,
    "Deployment: input of": 1_500_000,
}
"""Kinds of payloads, and bytes that one may have at most."""

ALL_OTHERS = 512
"""Bytes: ids, codes, states."""

AGENTS: dict[str, str | bytes] = {
    **agent("echo", rules=replies("answeringauk {{ request }}")),
    **agent("slow", rules=replies("answeringauk {{ request }} {{ variables.x | default('') }}", delay=0.01)),
    **agent("over", rules=hands_over("slow"), more='delegates = ["slow"]\n'),
    **agent("fails", rules="[[rules]]\n[[rules.steps]]\nfail = 'failingfinch {{ request }}'\n"),
    **agent("late", rules="delay = 0.01\n[[rules]]\n[[rules.steps]]\nfail = 'failingfinch {{ request }}'\n"),
    **agent("told", rules=hands_over("late"), more='delegates = ["late"]\n'),
    **reviewed(),
    **tool("once", HOSTILE_MANIFEST.replace("[limits]", "idempotent = false\n[limits]")),
    **model_agent("asks", more='tools = ["once"]\n'),
    **tool("far", HOSTILE_MANIFEST.replace("500ms", "30s")),
    **model_agent("reaches", more='tools = ["far"]\n'),
    **model_agent("refused"),
}


def says(body: dict[str, Any]) -> Said:
    if not body.get("tools"):
        return Said(status=400, text="failingfinch")
    if any(message["role"] == "tool" for message in body["messages"]):
        return Said("answeringauk " * 5_000)
    name = next(each["function"]["name"] for each in body["tools"] if each["function"]["name"].endswith("ok"))
    calls = 1 if name.startswith("far") else CALLS
    return Said("answeringauk", calls=[(name, {"callingcanary": "callingcanary" * 50})] * calls)


def work(api: httpx.Client) -> None:
    """Work of every kind, with much to say."""
    said, given = "sayingsongbird " * 4_000, {"x": "variablewarbler " * 15_000}

    def ask(path: str, capability: str | None = None, *, wait: bool = True, text: str = said, **more: Any) -> Any:
        target = {"capability": capability} if capability else {}
        body = {"content": text, "variables": given, **target, **more}
        return api.post(path, json=body, params={"wait": str(wait).lower()}).json()

    for capability in ("echo", "slow", "over", "fails", "late", "told", "asks", "reaches", "refused"):
        for text in (said, said * 4):
            ask("/v1/messages", capability, text=text)
    for capability in ("slow", "late", "reaches"):
        begun = {"capability": capability, "topic": "topictit " * 40, "metadata": {"x": "topictit " * 1000}}
        conversation = api.post("/v1/conversations", json=begun).json()["id"]
        path = f"/v1/conversations/{conversation}/messages"
        sent = [ask(path, wait=False)["execution_id"] for _ in range(5)]
        api.post(f"/v1/executions/{sent[-1]}/cancel").raise_for_status()
        ended(api, sent)
        api.post(f"/v1/conversations/{conversation}/end", json={}).raise_for_status()
    for verdict in ("grant", "reject"):
        execution = ask("/v1/messages", "write", wait=False)["execution_id"]
        (approval,) = pending(api)
        path = f"/v1/approvals/{approval['id']}/{verdict}"
        api.post(path, json={"reason": "r" * 2_000}).raise_for_status()
        finished(api, execution)


def ended(api: httpx.Client, executions: list[str]) -> None:
    deadline = time.monotonic() + 60
    while any(api.get(f"/v1/executions/{each}").json()["state"] == "running" for each in executions):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def payloads(message: Message, path: str = "") -> Iterator[tuple[str, bytes]]:
    """All payloads of an event, and texts of failures, with where they are."""
    for described, value in message.ListFields():
        here = f"{path}.{described.name}".lstrip(".")
        if described.type != FieldDescriptor.TYPE_MESSAGE:
            if described.type == FieldDescriptor.TYPE_STRING and "failure" in here:
                yield here, str(value).encode()
            continue
        is_map = described.message_type.GetOptions().map_entry
        found = value.values() if is_map else value if described.is_repeated else [value]
        for each in found:
            if isinstance(each, Payload):
                yield here, each.data
            elif isinstance(each, Message):
                yield from payloads(each, here)


async def table(client: Client) -> dict[str, int]:
    """Sizes of the largest payload of each kind in all histories. No kind holds what only the store may hold."""
    largest: dict[str, int] = defaultdict(int)
    async for execution in client.list_workflows():
        handle = client.get_workflow_handle(execution.id, run_id=execution.run_id)
        activities: dict[int, str] = {}
        async for event in handle.fetch_history_events():
            kind = EventType.Name(event.event_type).removeprefix("EVENT_TYPE_").lower()
            scheduled = event.activity_task_scheduled_event_attributes
            if scheduled.activity_type.name:
                activities[event.event_id] = scheduled.activity_type.name
            done = event.activity_task_completed_event_attributes.scheduled_event_id
            for place, data in payloads(event):
                name = f"{execution.workflow_type}: {kind}: {place.split('.', 1)[-1]}"
                if scheduled.activity_type.name:
                    name = f"{execution.workflow_type}: input of {scheduled.activity_type.name}"
                elif done:
                    name = f"{execution.workflow_type}: result of {activities[done]}"
                elif kind == "marker_recorded":
                    name = f"{execution.workflow_type}: {local_activity(event) or 'marker'}: {place.rsplit('.', 1)[-1]}"
                largest[name] = max(largest[name], len(data))
                for canary in CANARIES:
                    assert canary.encode() not in data, f"{canary} in {name}: {data[:500]!r}"
    return dict(largest)


def local_activity(event: Any) -> str | None:
    """The name of the local activity whose end a marker records."""
    details = event.marker_recorded_event_attributes.details
    for payload in details["data"].payloads if "data" in details else ():
        found = json.loads(payload.data)
        if isinstance(found, dict) and "activity_type" in found:
            return f"result of {found['activity_type']}"
    return None


@pytest.mark.requirement("MSG-7")
@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_only_ids_and_plans_reach_the_engine(tmp_path: Path) -> None:
    with running_provider(says) as provider:
        process, server = start_server(tmp_path / "data", env=provider.env)
        try:
            with server.client() as api:
                deploy_files(api, tmp_path / "w", AGENTS)
                work(api)
                engine = api.get("/v1/server").json()["engine"]
            found = await table(await Client.connect(engine["address"], namespace=engine["namespace"]))
        finally:
            stop_server(process)
    print("\n" + "\n".join(f"{size:>8,}  {name}" for name, size in sorted(found.items(), key=lambda each: -each[1])))
    kinds = {name.split(": ", 1)[1] for name in found if name.startswith("ConversationTurns")}
    assert {"input of call_model", "input of call_tool", "result of next_turn: payloads"} <= kinds
    for name, size in found.items():
        most = next((most for kind, most in TABLE.items() if kind in name), ALL_OTHERS)
        assert size <= most, f"{name} has {size:,} bytes"
