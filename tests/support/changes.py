"""Every change that a route makes, each tried once, with the events that tell of it."""

import hashlib
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from caxton.definitions.workspace import load_workspace
from tests.api.test_approvals import pending, send
from tests.support.agents import agent, replies
from tests.support.deploying import deploy_files, write_files
from tests.support.mcp_tools import ServerFolder, mcp_tool


@dataclass
class Walk:
    """A workspace in which every change is made once."""

    api: httpx.Client
    folder: Path
    known: dict[str, Any] = field(default_factory=dict[str, Any])

    def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return self.api.post(path, json=body if body is not None else {}, **options)

    def memory(self) -> str:
        """A new memory's id."""
        return str(self.post("/v1/memory", {"text": f"a fact {uuid.uuid4()}"}).raise_for_status().json()["id"])

    def execution(self) -> str:
        """Of a turn that has ended."""
        turn = self.post("/v1/messages", {"capability": "quick", "content": "x"})
        return str(turn.raise_for_status().json()["execution_id"])

    def conversation(self, capability: str = "quick") -> str:
        return str(self.post("/v1/conversations", {"capability": capability}).raise_for_status().json()["id"])


Change = Callable[[Walk], httpx.Response]


def _deploy(walk: Walk) -> httpx.Response:
    files = agent("more", rules=replies(f"more {uuid.uuid4()}"))
    workspace = load_workspace(write_files(walk.folder / "more", files))
    for bundle in workspace.bundles:
        for digest in bundle.files.values():
            walk.api.put(f"/v1/blobs/{digest}", content=workspace.content(digest)).raise_for_status()
    made = walk.post("/v1/deployments", {"bundles": [bundle.model_dump() for bundle in workspace.bundles]})
    walk.known["deployment"] = made.raise_for_status().json()["id"]
    return made


def _accept(walk: Walk) -> httpx.Response:
    path = walk.folder / "mcp"
    path.mkdir()
    server = ServerFolder(path)
    with server.over_http() as origin:
        walk.post("/v1/tool-grants", {"tool": "other", "network": [origin]}).raise_for_status()
        deploy_files(walk.api, walk.folder / "with-mcp", mcp_tool(url=f"{origin}/mcp"))
        server.say("surface", "new thing")
        found = walk.api.get("/v1/tools/other/surface").raise_for_status().json()["found"]
        return walk.post("/v1/tools/other/surface", {"surface": found})


def _blob(walk: Walk) -> httpx.Response:
    content = str(uuid.uuid4()).encode()
    return walk.api.put(f"/v1/blobs/{hashlib.sha256(content).hexdigest()}", content=content)


def _file(walk: Walk) -> httpx.Response:
    headers = {"Content-Type": "application/octet-stream"}
    return walk.api.post("/v1/files", content=str(uuid.uuid4()).encode(), headers=headers)


def _run_as_agui(walk: Walk) -> httpx.Response:
    said = {"id": "m", "role": "user", "content": "x"}
    return walk.post("/v1/agui/quick", {"threadId": "t", "runId": str(uuid.uuid4()), "messages": [said]})


def _decide(verdict: str) -> Change:
    def change(walk: Walk) -> httpx.Response:
        waiting = walk.known.get("approval")
        if waiting is None:
            send(walk.api, "teller")
            waiting = pending(walk.api)[0]["id"]
        return walk.post(f"/v1/approvals/{waiting}/{verdict}", {"reason": "because"})

    return change


def remember(walk: Walk) -> None:
    """Approves a call, and lets that be remembered."""
    before = {each["id"] for each in walk.api.get("/v1/approvals").json()["approvals"]}
    send(walk.api, "teller")
    waiting = next(each["id"] for each in pending(walk.api, 1 + ("approval" in walk.known)) if each["id"] not in before)
    walk.post(f"/v1/approvals/{waiting}/grant", {"remember": {"for": "1h"}}).raise_for_status()
    walk.known["remembered"] = walk.api.get("/v1/approvals/remembered").json()["grants"][0]["id"]


def _forget(walk: Walk) -> httpx.Response:
    if "remembered" not in walk.known:
        remember(walk)
    return walk.api.delete(f"/v1/approvals/remembered/{walk.known['remembered']}")


def _cancel_execution(walk: Walk) -> httpx.Response:
    conversation = walk.conversation("slow")
    path = f"/v1/conversations/{conversation}/messages"
    sent = walk.api.post(path, json={"content": "x"}, params={"wait": "false"}).raise_for_status().json()
    deadline = time.monotonic() + 20
    while walk.api.get(f"/v1/executions/{sent['execution_id']}").status_code != 200 and time.monotonic() < deadline:
        time.sleep(0.05)
    return walk.post(f"/v1/executions/{sent['execution_id']}/cancel")


def _relation(walk: Walk) -> httpx.Response:
    body = {"source": walk.memory(), "type": "knows", "target": walk.memory()}
    made = walk.post("/v1/memory/relations", body)
    walk.known["relation"] = made.raise_for_status().json()["id"]
    return made


def _key(walk: Walk) -> httpx.Response:
    made = walk.post("/v1/keys", {"name": "another", "role": "viewer"})
    walk.known["key"] = made.raise_for_status().json()["id"]
    return made


def _grant(walk: Walk) -> httpx.Response:
    made = walk.post("/v1/tool-grants", {"tool": "hostile", "network": ["https://ours.example"]})
    walk.known["grant"] = made.raise_for_status().json()["id"]
    return made


def _import(walk: Walk) -> httpx.Response:
    exported = walk.api.get("/v1/memory/export").raise_for_status().text
    changed = exported.replace("a fact", "another fact")
    return walk.api.post("/v1/memory/import", content=changed, headers={"Content-Type": "application/x-ndjson"})


def _messages(walk: Walk) -> httpx.Response:
    line = json.dumps({"capability": "quick", "content": "x"})
    return walk.api.post("/v1/messages/batch", content=line, headers={"Content-Type": "application/x-ndjson"})


def _onboarding(walk: Walk) -> httpx.Response:
    at, payload = "2026-01-01T00:00:00Z", {"template_id": "t"}
    event = {"id": uuid.uuid4().hex, "type": "template_selected", "at": at, "payload": payload}
    return walk.post("/v1/onboarding", {"events": [event]})


SCHEDULE = '[[schedules]]\nname = "tick"\ninterval = "1h"\ncontent = "x"\n'
"""Of the agent "quick"."""


def _on_schedule(what: str, body: Any = None) -> Change:
    return lambda walk: walk.post(f"/v1/schedules/quick/tick/{what}", body)


def _resume_schedule(walk: Walk) -> httpx.Response:
    if not walk.api.get("/v1/schedules/quick/tick").raise_for_status().json()["paused"]:
        _on_schedule("pause")(walk).raise_for_status()
    return _on_schedule("resume")(walk)


def _ask_as_openai(path: str, asked: dict[str, Any]) -> Change:
    return lambda walk: walk.post(f"/openai/v1/{path}", {"model": "quick", **asked})


def _cancel_response(walk: Walk) -> httpx.Response:
    asked = {"model": "slow", "input": "x", "background": True}
    begun = walk.post("/openai/v1/responses", asked).raise_for_status().json()
    return walk.post(f"/openai/v1/responses/{begun['id']}/cancel")


def _call_as_mcp(walk: Walk) -> httpx.Response:
    params = {"name": "quick", "arguments": {"request": "x"}}
    return walk.post("/mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})


A2A = "/a2a/v1"


def _message_of_a2a() -> dict[str, Any]:
    return {"message": {"messageId": uuid.uuid4().hex, "role": "ROLE_USER", "parts": [{"text": "x"}]}}


def _send_over_a2a(path: str) -> Change:
    return lambda walk: walk.post(f"{A2A}{path}", {**_message_of_a2a(), "metadata": {"skill": "quick"}})


def _call_over_a2a(path: str) -> Change:
    def change(walk: Walk) -> httpx.Response:
        params = {**_message_of_a2a(), "metadata": {"skill": "quick"}}
        return walk.post(f"{A2A}{path}", {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": params})

    return change


def _slow_task(walk: Walk) -> str:
    body = {**_message_of_a2a(), "configuration": {"returnImmediately": True}}
    return walk.post(f"{A2A}/slow/message:send", body).raise_for_status().json()["task"]["id"]


def _cancel_task(path: str) -> Change:
    return lambda walk: walk.post(f"{A2A}{path}/tasks/{_slow_task(walk)}:cancel")


def _push(path: str) -> Change:
    def change(walk: Walk) -> httpx.Response:
        task = walk.known["task"] = _slow_task(walk)
        config = {"id": "mine", "url": "https://hooks.example.com/"}
        return walk.post(f"{A2A}{path}/tasks/{task}/pushNotificationConfigs", config)

    return change


def _push_no_more(path: str) -> Change:
    def change(walk: Walk) -> httpx.Response:
        task = walk.known.get("task") or _slow_task(walk)
        return walk.api.delete(f"{A2A}{path}/tasks/{task}/pushNotificationConfigs/mine")

    return change


def _over_a2a(place: str, path: str) -> dict[tuple[str, str], tuple[Change, tuple[str, ...]]]:
    """Routes of the A2A protocol: `place` as the description of the API has it, and as it is asked for."""
    configs = f"{A2A}{place}/tasks/{{task_id}}/pushNotificationConfigs"
    return {
        ("POST", f"{A2A}{place}"): (_call_over_a2a(path), ("execution_triggered",)),
        ("POST", f"{A2A}{place}/message:send"): (_send_over_a2a(f"{path}/message:send"), ("execution_triggered",)),
        ("POST", f"{A2A}{place}/message:stream"): (_send_over_a2a(f"{path}/message:stream"), ("execution_triggered",)),
        ("POST", f"{A2A}{place}/tasks/{{task_id}}:cancel"): (_cancel_task(path), ("cancellation_requested",)),
        ("POST", configs): (_push(path), ("change_requested",)),
        ("DELETE", f"{configs}/{{config_id}}"): (_push_no_more(path), ("change_requested",)),
    }


def _send_over_older_a2a(walk: Walk) -> httpx.Response:
    message = {"messageId": uuid.uuid4().hex, "role": "ROLE_USER", "content": [{"text": "x"}]}
    return walk.post("/a2a/v0.3/quick/v1/message:send", {"message": message})


def _tell_rollout(command: str, *before: str) -> Change:
    """Begins a rollout, does what has to come before, and then what is asked for."""

    def change(walk: Walk) -> httpx.Response:
        number = walk.known["rollouts"] = walk.known.get("rollouts", 0) + 1
        for version in (2 * number, 2 * number + 1):
            files = agent("staged", version=f"{version}.0.0", rules=replies(f"{version}"))
            how = {"strategy": "canary" if version % 2 else "direct"}
            deploy_files(walk.api, walk.folder / f"staged-{number}-{command}", files, **how)
        rollout = walk.api.get("/v1/rollouts", params={"agent": "staged"}).json()["rollouts"][0]["id"]
        for each in before:
            body = {"full": True} if each == "promote" else {}
            walk.post(f"/v1/rollouts/{rollout}/{each}", body).raise_for_status()
        return walk.post(f"/v1/rollouts/{rollout}/{command}")

    return change


def _fork(walk: Walk) -> httpx.Response:
    return walk.post(f"/v1/executions/{walk.execution()}/fork", {"at": 0})


METRIC = {"count": {"type": "execution_completed"}}
BUDGET = {"resource": "requests", "period": "day"}
NOTHING: tuple[str, ...] = ()

TABLE: dict[tuple[str, str], tuple[Change, tuple[str, ...]]] = {
    ("POST", "/v1/messages"): (
        lambda walk: walk.post("/v1/messages", {"capability": "quick", "content": "x"}),
        ("execution_triggered",),
    ),
    ("POST", "/v1/messages/batch"): (_messages, ("execution_triggered",)),
    ("POST", "/v1/conversations"): (
        lambda walk: walk.post("/v1/conversations", {"capability": "quick"}),
        ("conversation_started",),
    ),
    ("POST", "/v1/conversations/{conversation_id}/messages"): (
        lambda walk: walk.post(f"/v1/conversations/{walk.conversation()}/messages", {"content": "x"}),
        ("execution_triggered",),
    ),
    ("POST", "/v1/conversations/{conversation_id}/end"): (
        lambda walk: walk.post(f"/v1/conversations/{walk.conversation()}/end"),
        ("change_requested", "conversation_ended"),
    ),
    ("POST", "/v1/conversations/{conversation_id}/cancel"): (
        lambda walk: walk.post(f"/v1/conversations/{walk.conversation()}/cancel"),
        ("cancellation_requested", "conversation_ended"),
    ),
    ("DELETE", "/v1/conversations/{conversation_id}"): (
        lambda walk: walk.api.delete(f"/v1/conversations/{walk.conversation()}", params={"cancel": "true"}),
        ("cancellation_requested", "conversation_deleted"),
    ),
    ("PUT", "/v1/retention"): (
        lambda walk: walk.api.put("/v1/retention", json={"steps": "forever"}),
        ("periods_set",),
    ),
    ("PUT", "/v1/retention/events"): (
        lambda walk: walk.api.put("/v1/retention/events", json={"period": "forever"}),
        ("events_period_set",),
    ),
    ("POST", "/v1/executions/{execution_id}/cancel"): (_cancel_execution, ("cancellation_requested",)),
    ("POST", "/v1/files"): (_file, ("change_requested",)),
    ("POST", "/v1/executions/{execution_id}/fork"): (_fork, ("execution_triggered", "execution_forked")),
    ("POST", "/v1/agui/{capability}"): (_run_as_agui, ("execution_triggered",)),
    ("PUT", "/v1/blobs/{digest}"): (_blob, ("change_requested",)),
    ("POST", "/v1/deployments"): (_deploy, ("deployment_created", "deployment_activated")),
    ("POST", "/v1/deployments/{deployment_id}/rollback"): (
        lambda walk: walk.post(f"/v1/deployments/{walk.known['deployment']}/rollback"),
        ("deployment_created", "deployment_activated"),
    ),
    ("POST", "/v1/agents/{name}/stop"): (
        lambda walk: walk.post("/v1/agents/idle/stop"),
        ("change_requested", "agent_stopped"),
    ),
    ("POST", "/v1/agents/{name}/start"): (
        lambda walk: walk.post("/v1/agents/idle/start"),
        ("change_requested", "agent_active"),
    ),
    ("POST", "/v1/agents/{name}/restart"): (
        lambda walk: walk.post("/v1/agents/idle/restart"),
        ("change_requested", "agent_active"),
    ),
    ("POST", "/v1/tools/{name}/call"): (
        lambda walk: walk.post("/v1/tools/hostile/call", {"function": "ok"}),
        ("change_requested", "tool_called_directly"),
    ),
    ("POST", "/v1/tools/{name}/surface"): (_accept, ("change_requested", "tool_surface_accepted")),
    ("POST", "/v1/tool-grants"): (_grant, ("tool_grant_created",)),
    ("DELETE", "/v1/tool-grants/{grant_id}"): (
        lambda walk: walk.api.delete(f"/v1/tool-grants/{walk.known['grant']}"),
        ("tool_grant_revoked",),
    ),
    ("POST", "/v1/onboarding"): (_onboarding, ("template_selected",)),
    ("POST", "/v1/views/{view}/rebuild"): (
        lambda walk: walk.post("/v1/views/activity/rebuild"),
        ("view_rebuilt",),
    ),
    ("PUT", "/v1/metrics/{name}"): (lambda walk: walk.api.put("/v1/metrics/mine", json=METRIC), ("metric_defined",)),
    ("DELETE", "/v1/metrics/{name}"): (lambda walk: walk.api.delete("/v1/metrics/mine"), ("metric_defined",)),
    ("POST", "/v1/approvals/{approval_id}/grant"): (_decide("grant"), ("change_requested", "approval_granted")),
    ("POST", "/v1/approvals/{approval_id}/reject"): (_decide("reject"), ("change_requested", "approval_rejected")),
    ("DELETE", "/v1/approvals/remembered/{grant_id}"): (_forget, ("remembered_grant_revoked",)),
    ("PUT", "/v1/budgets"): (
        lambda walk: walk.api.put(
            "/v1/budgets", json={**BUDGET, "limit": 1e6, "agent": "quick", "workspace": walk.known["workspace"]}
        ),
        ("budget_set",),
    ),
    ("DELETE", "/v1/budgets"): (
        lambda walk: walk.api.request(
            "DELETE", "/v1/budgets", params={**BUDGET, "agent": "quick", "workspace": walk.known["workspace"]}
        ),
        ("budget_set",),
    ),
    ("POST", "/v1/memory"): (
        lambda walk: walk.post("/v1/memory", {"text": f"new {uuid.uuid4()}"}),
        ("memory_change_begun", "memory_stored"),
    ),
    ("PATCH", "/v1/memory/{memory_id}"): (
        lambda walk: walk.api.patch(f"/v1/memory/{walk.memory()}", json={"name": "better"}),
        ("memory_change_begun", "memory_edited"),
    ),
    ("DELETE", "/v1/memory/{memory_id}"): (
        lambda walk: walk.api.delete(f"/v1/memory/{walk.memory()}"),
        ("memory_change_begun", "memory_purged"),
    ),
    ("POST", "/v1/memory/relations"): (_relation, ("memory_change_begun", "relation_created")),
    ("DELETE", "/v1/memory/relations/{relation_id}"): (
        lambda walk: walk.api.delete(f"/v1/memory/relations/{walk.known['relation']}"),
        ("memory_change_begun", "relation_removed"),
    ),
    ("POST", "/v1/memory/import"): (_import, ("memory_change_begun", "memories_changed")),
    ("POST", "/v1/memory/edit"): (
        lambda walk: walk.post("/v1/memory/edit", {"changes": {"set": {"a": 1}}, "dry_run": False}),
        ("memory_change_begun", "memories_changed"),
    ),
    ("POST", "/v1/memory/undo"): (
        lambda walk: walk.post("/v1/memory/undo", {"dry_run": False}),
        ("memory_change_begun", "memories_changed"),
    ),
    ("PUT", "/v1/memory/retention"): (
        lambda walk: walk.api.put("/v1/memory/retention", json={"max_entities": 1}),
        ("retention_set",),
    ),
    ("POST", "/v1/memory/retention/apply"): (
        lambda walk: walk.post("/v1/memory/retention/apply", {"dry_run": False}),
        ("memory_change_begun", "memory_purged"),
    ),
    ("POST", "/v1/memory/purge"): (
        lambda walk: walk.post("/v1/memory/purge", {"dry_run": False}),
        ("memory_change_begun", "memory_purged"),
    ),
    ("POST", "/v1/keys"): (_key, ("key_created",)),
    ("POST", "/v1/keys/{key_id}/rotate"): (
        lambda walk: walk.post(f"/v1/keys/{walk.known['key']}/rotate"),
        ("key_rotated",),
    ),
    ("DELETE", "/v1/keys/{key_id}"): (
        lambda walk: walk.api.delete(f"/v1/keys/{walk.known['key']}"),
        ("key_revoked",),
    ),
    ("POST", "/v1/schedules/{agent}/{name}/pause"): (_on_schedule("pause"), ("schedule_paused",)),
    ("POST", "/v1/schedules/{agent}/{name}/resume"): (_resume_schedule, ("schedule_resumed",)),
    ("POST", "/v1/schedules/{agent}/{name}/trigger"): (
        _on_schedule("trigger"),
        ("execution_triggered", "schedule_run_begun"),
    ),
    ("POST", "/v1/schedules/{agent}/{name}/backfill"): (
        _on_schedule("backfill", {"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T02:00:00Z"}),
        ("schedule_backfilled",),
    ),
    ("POST", "/v1/rollouts/{rollout_id}/pause"): (_tell_rollout("pause"), ("rollout_paused",)),
    ("POST", "/v1/rollouts/{rollout_id}/resume"): (_tell_rollout("resume", "pause"), ("rollout_resumed",)),
    ("POST", "/v1/rollouts/{rollout_id}/promote"): (_tell_rollout("promote"), ("rollout_advanced",)),
    ("POST", "/v1/rollouts/{rollout_id}/abort"): (_tell_rollout("abort"), ("rollout_rolled_back",)),
    ("POST", "/v1/rollouts/{rollout_id}/retry"): (_tell_rollout("retry", "abort"), ("rollout_started",)),
    ("POST", "/v1/rollouts/{rollout_id}/undo"): (_tell_rollout("undo", "promote"), ("rollout_rolled_back",)),
    ("POST", "/openai/v1/chat/completions"): (
        _ask_as_openai("chat/completions", {"messages": [{"role": "user", "content": "x"}]}),
        ("execution_triggered",),
    ),
    ("POST", "/openai/v1/responses"): (_ask_as_openai("responses", {"input": "x"}), ("execution_triggered",)),
    ("POST", "/openai/v1/responses/{response_id}/cancel"): (_cancel_response, ("cancellation_requested",)),
    ("POST", "/mcp"): (_call_as_mcp, ("execution_triggered",)),
    **_over_a2a("", ""),
    **_over_a2a("/{target}", "/quick"),
    ("POST", "/a2a/v0.3/{path}"): (_send_over_older_a2a, ("execution_triggered",)),
    ("PUT", "/v1/roles/{name}"): (
        lambda walk: walk.api.put(f"/v1/roles/{walk.known['role']}", json={"permissions": ["events:read"]}),
        ("role_defined",),
    ),
    ("DELETE", "/v1/roles/{name}"): (
        lambda walk: walk.api.delete(f"/v1/roles/{walk.known['role']}"),
        ("role_removed",),
    ),
}
"""How each route changes something, and which events tell it, in this order. A route that is not here fails a test."""

NO_CHANGE = {
    ("POST", "/v1/deployments/plan"): "says what would change",
    ("POST", "/v1/memory/search"): "reads; counted as memories_found",
    ("POST", "/openai/v1/embeddings"): "computes, and keeps nothing",
    ("POST", "/a2a/v1/tasks/{task_id}:subscribe"): "reads",
    ("POST", "/a2a/v1/{target}/tasks/{task_id}:subscribe"): "reads",
    ("POST", "/codec/decode"): "reads; counted as payloads_decoded",
    ("POST", "/codec/encode"): "gives back what it is given, encrypted",
    ("POST", "/v1/memory/reembed"): "changes nothing while no vector is stale; tests of memory in bulk have one",
    ("POST", "/v1/hooks/{hook_id}"): "a delivery has a signature in place of a key; tests of triggers have some",
    ("POST", "/v1/tools/{name}/release"): "needs a tool in quarantine; tests of healing have one",
    ("POST", "/v1/breakers/{kind}/{name}/reset"): "needs one that has failures; its own tests have one",
    ("POST", "/v1/agents/{name}/resume"): "needs a suspended agent; tests of service levels have one",
}
