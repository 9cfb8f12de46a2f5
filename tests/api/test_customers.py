"""Customers, workspaces and keys: nobody sees, or guesses at, what is another's."""

import time
import uuid
from collections import defaultdict
from collections.abc import Iterator

import httpx
import pytest

from tests.api.conftest import Deploy
from tests.conftest import RunningServer
from tests.support.agents import agent, replies
from tests.support.problems import problem_of

OPEN = {"/health", "/ready", "/.well-known/agent-card.json", "/.well-known/agent-card-keys.json"}


@pytest.fixture
def stranger(api: httpx.Client, caxton_server: RunningServer, workspace: str) -> Iterator[httpx.Client]:
    """An administrator of another customer, in a workspace of the same name."""
    body = {"name": "boss", "role": "admin", "customer": f"acme-{uuid.uuid4().hex[:8]}"}
    made = api.post("/v1/keys", json=body)
    assert made.status_code == 201, made.text
    with caxton_server.client(workspace, key=made.json()["key"]) as client:
        yield client


def test_another_customer_sees_nothing_on_any_route(api: httpx.Client, stranger: httpx.Client, deploy: Deploy) -> None:
    deployment = deploy(agent("secret", rules=replies("ours")))
    turn = api.post("/v1/messages", json={"capability": "secret", "content": "x" * 70_000}).json()
    content = api.get(f"/v1/conversations/{turn['conversation_id']}/messages").json()["messages"][0]["content"]
    key = api.get("/v1/keys").json()["keys"][0]["id"]
    ids = {
        "name": "secret",
        "execution_id": turn["execution_id"],
        "conversation_id": turn["conversation_id"],
        "deployment_id": deployment["id"],
        "digest": content["digest"],
        "key_id": key,
        "event_id": api.get("/v1/events").json()["events"][0]["event_id"],
        "approval_id": "ap_nope",
        "agent": "secret",
        "hook_id": "hook_nope",
        "view": "nope",
        "memory_id": api.post("/v1/memory", json={"text": "ours"}).json()["id"],
        "relation_id": "rel_nope",
        "rollout_id": "r_nope",
        "kind": "agent",
        "grant_id": api.post("/v1/tool-grants", json={"tool": "secret", "network": ["https://ours.example"]}).json()[
            "id"
        ],
    }
    bodies = {
        "/v1/conversations/{conversation_id}/messages": {"content": "x"},
        "/v1/conversations/{conversation_id}/end": {"reason": "Completed"},
        "/v1/executions/{execution_id}/fork": {"at": 0},
        "/v1/agui/{capability}": {
            "threadId": "t",
            "runId": "r",
            "messages": [{"id": "m", "role": "user", "content": "x"}],
        },
        "/v1/memory/{memory_id}": {},
        "/v1/tools/{name}/call": {"function": "f", "arguments": {}},
        "/v1/tools/{name}/surface": {"surface": "0" * 64},
        "/a2a/v1/tasks/{task_id}/pushNotificationConfigs": {"url": "https://example.com/"},
        "/v1/schedules/{agent}/{name}/backfill": {"start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"},
    }
    tried = 0
    for path, methods in api.get("/openapi.json").json()["paths"].items():
        if "{" not in path:
            continue
        for method in methods:
            if method == "put":  # nobody's but one's own
                continue
            answer = stranger.request(
                method,
                path.format_map(defaultdict(lambda: "nope", ids)),
                json=bodies.get(path, {}) if method in ("post", "patch") else None,
            )
            assert answer.status_code == 404, f"{method} {path}: {answer.status_code} {answer.text[:200]}"
            assert "ours" not in answer.text
            tried += 1
    assert tried >= 18
    for path in ("agents", "tools", "deployments", "conversations", "messages", "capabilities"):
        listed = stranger.get(f"/v1/{path}").json()
        assert listed[path] == [], path
    assert [found["name"] for found in stranger.get("/v1/keys").json()["keys"]] == ["boss"]
    asked = stranger.post("/v1/messages", json={"capability": "secret", "content": "x"})
    assert asked.status_code == 404
    assert "secret" not in str(asked.json()["details"].get("similar"))


def test_another_workspace_sees_nothing_either(api: httpx.Client, caxton_server: RunningServer, deploy: Deploy) -> None:
    deploy(agent("secret", rules=replies("ours")))
    with caxton_server.client("elsewhere") as elsewhere:
        assert elsewhere.post("/v1/messages", json={"capability": "secret", "content": "x"}).status_code == 404
        assert elsewhere.get("/v1/agents/secret").status_code == 404


def test_only_health_answers_without_a_key(api: httpx.Client, caxton_server: RunningServer) -> None:
    paths = [
        *api.get("/openapi.json").json()["paths"],
        "/docs",
        "/openapi.json",
        "/nothing",
        "/static-offline-docs/swagger-ui.css",
    ]
    with httpx.Client(base_url=caxton_server.url, trust_env=False) as nobody:
        for path in paths:
            answer = nobody.get(path)
            if path.startswith(
                "/.well-known/oauth-"
            ):  # for those who have no key yet; and here is no identity provider
                assert answer.status_code == 404
                continue
            if path == "/v1/hooks/{hook_id}":  # without a key, for its deliveries are signed; and only by POST
                assert answer.status_code == 405
                continue
            assert answer.status_code == (200 if path in OPEN else 401), path
            if path not in OPEN:
                assert problem_of(answer)["code"] == "not_authenticated"
        wrong = nobody.get("/v1/agents", headers={"Authorization": "Bearer cx_wrong"})
        assert wrong.status_code == 401


def test_a_viewer_cannot_change_anything(api: httpx.Client, caxton_server: RunningServer, workspace: str) -> None:
    key = api.post("/v1/keys", json={"name": "eyes", "role": "viewer"}).json()["key"]
    with caxton_server.client(workspace, key=key) as viewer:
        assert viewer.get("/v1/agents").status_code == 200
        for path, body in (
            ("/v1/messages", {"capability": "x", "content": "x"}),
            ("/v1/conversations", {"capability": "x"}),
            ("/v1/deployments", {"bundles": []}),
            ("/v1/keys", {"name": "more"}),
        ):
            refused = viewer.post(path, json=body)
            assert refused.status_code == 403, path
            assert refused.json()["details"]["needed"]


def test_a_revoked_key_ends(api: httpx.Client, caxton_server: RunningServer, workspace: str) -> None:
    made = api.post("/v1/keys", json={"name": "short", "role": "developer"}).json()
    with caxton_server.client(workspace, key=made["key"]) as client:
        assert client.get("/v1/agents").status_code == 200
        assert api.delete(f"/v1/keys/{made['id']}").status_code == 204
        deadline = time.monotonic() + 10
        while client.get("/v1/agents").status_code == 200 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert client.get("/v1/agents").status_code == 401


def test_a_customer_cannot_make_keys_for_another(stranger: httpx.Client) -> None:
    refused = stranger.post("/v1/keys", json={"name": "sneaky", "role": "admin", "customer": "local"})
    assert refused.status_code == 403
