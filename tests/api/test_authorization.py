"""Authorization as one table: every route, role, customer and workspace, generated from OpenAPI."""

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from caxton.api.app import build_api
from caxton.api.guard import GuardedRoute, UndeclaredRouteError, guard_all, guarded_routes
from caxton.api.permissions_reference import TARGET, page, unused
from caxton.domain.permissions import BUILT_IN, Permission, Reach
from tests.api.conftest import Deploy
from tests.conftest import RunningServer
from tests.support.agents import agent, replies
from tests.support.problems import problem_of

METHODS = ("get", "post", "put", "patch", "delete")
PAGES = ("/docs", "/openapi.json", "/static-offline-docs/swagger-ui.css")
IDS = dict.fromkeys(
    ("name", "execution_id", "conversation_id", "deployment_id", "key_id", "event_id", "approval_id", "memory_id"),
    "nope",
) | {"digest": "0" * 64, "view": "nope", "relation_id": "nope", "kind": "agent"}


@dataclass(frozen=True)
class Operation:
    """A row of the table, as OpenAPI tells it."""

    method: str
    path: str
    permission: Permission | None

    def send(self, client: httpx.Client, ids: dict[str, str] | None = None, **options: Any) -> httpx.Response:
        """Sends it without a body: whoever may do it hears what is missing, and nothing happens."""
        known = IDS | (ids or {})
        path = self.path
        for name in [part[1:-1] for part in self.path.split("/") if part.startswith("{")]:
            path = path.replace(f"{{{name}}}", known.get(name, "nope"))
        with client.stream(self.method.upper(), path, **options) as answer:
            if "text/event-stream" not in answer.headers.get("content-type", ""):
                answer.read()
        return answer


@dataclass
class Customer:
    """A customer of its own with an administrator, who makes keys."""

    name: str
    admin: httpx.Client
    server: RunningServer
    clients: ExitStack = field(default_factory=ExitStack)

    def client(self, workspace: str | None, **key: Any) -> httpx.Client:
        """A client with a new key."""
        made = self.admin.post("/v1/keys", json={"name": "walker", **key})
        assert made.status_code == 201, made.text
        return self.with_key(made.json()["key"], workspace)

    def with_key(self, key: str, workspace: str | None) -> httpx.Client:
        client = self.clients.enter_context(self.server.client(workspace or "default", key=key))
        if workspace is None:
            del client.headers["X-Caxton-Workspace"]
        return client


@pytest.fixture
def customer(api: httpx.Client, caxton_server: RunningServer) -> Iterator[Customer]:
    name = f"walk-{uuid.uuid4().hex[:8]}"
    made = api.post("/v1/keys", json={"name": "boss", "role": "admin", "customer": name})
    assert made.status_code == 201, made.text
    with caxton_server.client("here", key=made.json()["key"]) as admin:
        found = Customer(name, admin, caxton_server)
        with found.clients:
            yield found


@pytest.mark.requirement("SEC-1")
def test_no_role_of_a_customer_reaches_over_the_server(customer: Customer, api: httpx.Client) -> None:
    for permission in Permission:
        if permission.reach is Reach.SERVER:
            body = {"permissions": ["agents:read", permission]}
            refused = customer.admin.put("/v1/roles/reacher", json=body)
            assert refused.status_code == 403, permission
            assert permission in refused.json()["detail"]
    names = [role["name"] for role in customer.admin.get("/v1/roles").json()["roles"]]
    assert "reacher" not in names
    own = api.put(f"/v1/roles/{customer.name}", json={"permissions": ["server:inspect"]})
    assert own.status_code == 200, "the server's own customer may"
    assert api.delete(f"/v1/roles/{customer.name}").status_code == 204


def operations(client: httpx.Client) -> list[Operation]:
    paths = client.get("/openapi.json").json()["paths"]
    found = [
        Operation(method, path, Permission(told["x-caxton-permission"]) if "x-caxton-permission" in told else None)
        for path, methods in paths.items()
        for method, told in methods.items()
        if method in METHODS
    ]
    assert len(found) > 70
    return [*found, *(Operation("get", path, Permission.SERVER_READ) for path in PAGES)]


def check(operation: Operation, answer: httpx.Response, allowed: frozenset[Permission]) -> None:
    """Whether the answer is that of the cell."""
    cell = f"{operation.method} {operation.path}: {answer.status_code}"
    if operation.permission is None or operation.permission in allowed:
        assert answer.status_code not in (401, 403), f"{cell} {answer.text[:300]}"
        assert answer.status_code < 500, cell
    else:
        assert answer.status_code == 403, cell
        problem = problem_of(answer)
        assert (problem["code"], problem["details"]["needed"]) == ("not_permitted", operation.permission), cell


def everywhere(role: str) -> frozenset[Permission]:
    """What a role allows a customer that is not the server's own."""
    return frozenset(each for each in BUILT_IN[role] if each.reach is not Reach.SERVER)


def in_one_workspace(role: str) -> frozenset[Permission]:
    return frozenset(each for each in BUILT_IN[role] if each.reach is Reach.WORKSPACE)


@pytest.mark.requirement("SEC-1")
@pytest.mark.parametrize("role", BUILT_IN)
def test_every_role_may_do_on_every_route_what_the_table_says(customer: Customer, role: str) -> None:
    wide = customer.client("here", role=role)
    narrow = customer.client("here", role=role, workspaces=["here", "there"])
    outside = customer.with_key(narrow.headers["Authorization"].removeprefix("Bearer "), "elsewhere")
    for operation in operations(customer.admin):
        check(operation, operation.send(wide), everywhere(role))
        check(operation, operation.send(narrow), in_one_workspace(role))
        check(operation, operation.send(outside), frozenset())


@pytest.mark.requirement("SEC-1")
def test_each_route_needs_its_permission_and_no_other(customer: Customer) -> None:
    found = operations(customer.admin)
    wanted = {operation.permission for operation in found if operation.permission}
    clients: dict[tuple[Permission, bool], httpx.Client] = {}
    grantable = everywhere("admin")
    for number, permission in enumerate(sorted(wanted & grantable)):
        for only in (True, False):
            name = f"role{number}{'only' if only else 'but'}"
            allowed = {permission} if only else grantable - {permission}
            made = customer.admin.put(f"/v1/roles/{name}", json={"permissions": sorted(allowed)})
            assert made.status_code == 200, made.text
            clients[permission, only] = customer.client("here", role=name)
    for operation in found:
        if operation.permission in grantable:
            assert operation.permission is not None
            check(operation, operation.send(clients[operation.permission, True]), frozenset({operation.permission}))
            check(operation, operation.send(clients[operation.permission, False]), grantable - {operation.permission})


@pytest.mark.requirement("SEC-1")
def test_without_a_valid_key_no_route_answers(customer: Customer, caxton_server: RunningServer) -> None:
    # From an address of its own: so many wrong keys make the server tell an address to wait.
    transport = httpx.HTTPTransport(local_address="127.0.0.71")
    with httpx.Client(base_url=caxton_server.url, transport=transport, trust_env=False) as nobody:
        for operation in operations(customer.admin):
            for authorization in (None, "Bearer cx_wrong", "Bearer", "Negotiate x"):
                headers = {"Authorization": authorization} if authorization else {}
                if operation.permission is None and authorization:
                    continue
                answer = operation.send(nobody, headers=headers)
                # In place of a key: an address that nobody knows, and a signature. And here is no identity provider to tell of.
                absent = "/hooks/" in operation.path or "/.well-known/oauth" in operation.path
                expected = 401 if operation.permission else 404 if absent else 200
                assert answer.status_code == expected, f"{operation.method} {operation.path} {authorization}"
                if expected == 401:
                    assert problem_of(answer)["code"] == "not_authenticated"


@pytest.mark.requirement("EVT-6")
@pytest.mark.requirement("MEM-3")
def test_what_belongs_to_another_customer_or_workspace_is_not_there(
    api: httpx.Client, customer: Customer, caxton_server: RunningServer, workspace: str, deploy: Deploy
) -> None:
    schedule = '[[schedules]]\nname = "secret"\ninterval = "1h"\ncontent = "ours"\npaused = true\n'
    deployment = deploy(agent("secret", rules=replies("ours"), more=schedule))
    turn = api.post("/v1/messages", json={"capability": "secret", "content": "x" * 70_000}).json()
    content = api.get(f"/v1/conversations/{turn['conversation_id']}/messages").json()["messages"][0]["content"]
    memory = api.post("/v1/memory", json={"text": f"ours {workspace}"}).json()["id"]
    other = api.post("/v1/memory", json={"text": f"ours too {workspace}"}).json()["id"]
    relation = api.post("/v1/memory/relations", json={"source": memory, "type": "knows", "target": other}).json()["id"]
    response = api.post("/openai/v1/responses", json={"model": "secret", "input": "x"}).raise_for_status()
    ids = {
        "name": "secret",
        "agent": "secret",
        "execution_id": turn["execution_id"],
        "conversation_id": turn["conversation_id"],
        "deployment_id": deployment["id"],
        "digest": content["digest"],
        "key_id": api.get("/v1/keys").json()["keys"][0]["id"],
        "event_id": api.get("/v1/events").json()["events"][0]["event_id"],
        "memory_id": memory,
        "relation_id": relation,
        "kind": "agent",
        "rollout_id": "r_nope",
        "capability": "secret",
        "model": "agent:secret",
        "target": "secret",
        "task_id": turn["execution_id"],
        "response_id": response.json()["id"],
        "approval_id": turn["execution_id"],
    }
    bodies: dict[str, Any] = {
        "/v1/conversations/{conversation_id}/messages": {"content": "x"},
        "/v1/conversations/{conversation_id}/end": {"reason": "Completed"},
        "/v1/executions/{execution_id}/fork": {"at": 0},
        "/v1/memory/{memory_id}": {},
        "/v1/agui/{capability}": {
            "threadId": "t",
            "runId": "r",
            "messages": [{"id": "m", "role": "user", "content": "x"}],
        },
        "/v1/schedules/{agent}/{name}/backfill": {"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T01:00:00Z"},
        "/v1/tools/{name}/call": {"function": "f", "arguments": {}},
        "/v1/tools/{name}/surface": {"surface": "0" * 64},
        "/a2a/v1/tasks/{task_id}/pushNotificationConfigs": {"url": "https://example.com/"},
        "/a2a/v1/{target}/tasks/{task_id}/pushNotificationConfigs": {"url": "https://example.com/"},
        "/a2a/v1/{target}/message:send": {"message": {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "x"}]}},
        "/a2a/v1/{target}/message:stream": {
            "message": {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "x"}]}
        },
    }
    stranger = customer.with_key(customer.admin.headers["Authorization"].removeprefix("Bearer "), workspace)
    made = api.post("/v1/keys", json={"name": "neighbour", "role": "operator", "workspaces": ["next-door"]}).json()
    tried = 0
    with caxton_server.client("next-door", key=made["key"]) as neighbour:
        for operation in operations(api):
            if "{" not in operation.path or operation.method == "put" or "{view}" in operation.path:
                continue
            body = {"json": bodies.get(operation.path, {})} if operation.method in ("post", "patch") else {}
            answer = operation.send(stranger, ids, **body)
            assert answer.status_code == 404, f"{operation}: {answer.status_code} {answer.text[:200]}"
            assert "ours" not in answer.text
            answer = operation.send(neighbour, ids, **body)
            permitted = operation.permission is None or operation.permission in in_one_workspace("operator")
            assert answer.status_code == (404 if permitted else 403), f"{operation}: {answer.status_code} {answer.text}"
            assert "ours" not in answer.text
            tried += 1
    assert tried >= 25


def test_the_workspace_is_one_that_the_key_may_use(customer: Customer) -> None:
    key = {"role": "developer", "workspaces": ["only-here"]}
    without = customer.client(None, **key)
    assert without.get("/v1/server").json()["workspace"] == "only-here", "the only one is taken without being named"
    customer.admin.post("/v1/memory", json={"text": "x"}, headers={"X-Caxton-Workspace": "real"})
    told = {
        without.get("/v1/agents", headers={"X-Caxton-Workspace": name}).json()["detail"] for name in ("real", "unreal")
    }
    assert len(told) == 1, "nobody learns which workspaces there are"
    two = customer.client(None, grants=[{"role": "viewer"}, {"role": "developer", "workspaces": ["mine"]}])
    message = {"capability": "nothing", "content": "x"}
    assert two.post("/v1/messages", json=message, headers={"X-Caxton-Workspace": "mine"}).status_code == 404
    assert two.post("/v1/messages", json=message, headers={"X-Caxton-Workspace": "yours"}).status_code == 403
    assert two.get("/v1/agents", headers={"X-Caxton-Workspace": "yours"}).status_code == 200


def test_what_all_workspaces_share_takes_a_role_for_all(customer: Customer) -> None:
    narrow = customer.client("here", role="operator", workspaces=["here"])
    shared = customer.admin.post("/v1/memory", json={"text": "for all", "scope": {"kind": "global"}})
    assert shared.status_code == 201, shared.text
    memory = shared.json()["id"]
    second = customer.admin.post("/v1/memory", json={"text": "for all too", "scope": {"kind": "global"}}).json()["id"]
    assert narrow.get(f"/v1/memory/{memory}").status_code == 200
    for method, path, body in (
        ("POST", "/v1/memory", {"text": "mine", "scope": {"kind": "global"}}),
        ("PATCH", f"/v1/memory/{memory}", {"name": "mine"}),
        ("DELETE", f"/v1/memory/{memory}", None),
        ("POST", "/v1/memory/relations", {"source": memory, "type": "knows", "target": second}),
        ("POST", "/v1/memory/purge", {"scope": "global", "dry_run": False}),
        ("POST", "/v1/memory/edit", {"scope": "global", "changes": {"type": "x"}, "dry_run": False}),
        ("POST", "/v1/memory/undo?global=true", {"dry_run": False}),
        ("POST", "/v1/memory/reembed?global=true", None),
        ("PUT", "/v1/memory/retention?global=true", {"max_entities": 1}),
        ("POST", "/v1/memory/retention/apply?global=true", None),
    ):
        answer = narrow.request(method, path, json=body) if body is not None else narrow.request(method, path)
        assert answer.status_code == 403, f"{method} {path}: {answer.status_code} {answer.text}"
        assert answer.json()["details"]["needed"] == "memory:share"
    assert narrow.get("/v1/events/export", params={"everything": "true"}).status_code == 403


def test_nobody_makes_a_key_that_may_do_more_than_their_own(customer: Customer) -> None:
    role = {"permissions": ["keys:manage", "roles:manage", "messages:send", "server:read"]}
    assert customer.admin.put("/v1/roles/key-keeper", json=role).status_code == 200
    keeper = customer.client("here", role="key-keeper")
    for body in (
        {"name": "more", "role": "admin"},
        {"name": "more", "role": "developer", "workspaces": ["here"]},
        {"name": "more", "grants": [{"role": "key-keeper"}, {"role": "viewer"}]},
    ):
        refused = keeper.post("/v1/keys", json=body)
        assert refused.status_code == 403, refused.text
    assert keeper.post("/v1/keys", json={"name": "same", "role": "key-keeper", "workspaces": ["x"]}).status_code == 201
    assert keeper.put("/v1/roles/key-keeper", json={"permissions": sorted(everywhere("admin"))}).status_code == 403
    assert keeper.put("/v1/roles/helper", json={"permissions": ["messages:send"]}).status_code == 200
    boss = next(key for key in customer.admin.get("/v1/keys").json()["keys"] if key["name"] == "boss")
    assert keeper.delete(f"/v1/keys/{boss['id']}").status_code == 403


def test_roles_of_ones_own(customer: Customer) -> None:
    admin = customer.admin
    assert admin.put("/v1/roles/admin", json={"permissions": []}).status_code == 400
    assert admin.put("/v1/roles/asker", json={"permissions": ["no:thing"]}).status_code == 400
    assert admin.put("/v1/roles/asker", json={"permissions": ["agents:read", "server:read"]}).status_code == 200
    key = customer.client("here", role="asker")
    assert key.get("/v1/agents").status_code == 200
    assert key.get("/v1/tools").status_code == 403
    assert admin.delete("/v1/roles/asker").status_code == 409
    assert "asker" in {role["name"] for role in admin.get("/v1/roles").json()["roles"]}
    assert admin.post("/v1/keys", json={"name": "x", "role": "unknown"}).status_code == 400
    known = admin.get("/v1/keys").json()["keys"]
    for each in known:
        if each["role"] == "asker":
            assert admin.delete(f"/v1/keys/{each['id']}").status_code == 204
    assert admin.delete("/v1/roles/asker").status_code == 204
    told = admin.get("/v1/events", params={"type": ["role_defined", "role_removed"]}).json()["events"]
    assert [event["payload"]["name"] for event in told] == ["asker", "asker"] or told == []


def test_the_servers_own_matters_are_for_its_own_administrators(
    api: httpx.Client, customer: Customer, caxton_server: RunningServer
) -> None:
    assert customer.name in api.get("/metrics").text or "caxton_" in api.get("/metrics").text
    assert api.get("/v1/server").json()["data_folder"]
    operator = api.post("/v1/keys", json={"name": "op", "role": "operator"}).json()["key"]
    with caxton_server.client(key=operator) as home:
        strangers = (customer.admin, home)
        for client in strangers:
            assert client.get("/metrics").status_code == 403
            told = client.get("/v1/server").json()
            assert not {"data_folder", "engine", "store"} & set(told)
            assert str(caxton_server.data_dir) not in str(told)
            parts = client.get("/ready").json()["components"]
            assert parts
            assert not any(part["detail"] or part["latency_ms"] for part in parts.values())
    assert any(part["detail"] for part in api.get("/ready").json()["components"].values())


def test_an_old_key_has_its_role_in_all_workspaces(customer: Customer) -> None:
    key = customer.client("anywhere", role="viewer")
    assert key.get("/v1/server").json()["key"]["role"] == "viewer"


def test_a_route_without_a_declaration_cannot_be_made() -> None:
    from fastapi import APIRouter

    guarded = APIRouter(route_class=GuardedRoute)

    async def undeclared() -> None: ...

    with pytest.raises(UndeclaredRouteError):
        guarded.get("/x")(undeclared)
    app = build_api()
    app.get("/y")(undeclared)
    with pytest.raises(UndeclaredRouteError):
        guard_all(app, {})
    app, plain = build_api(), APIRouter()
    plain.get("/z")(undeclared)
    app.include_router(plain)
    with pytest.raises(UndeclaredRouteError):
        guard_all(app, {})


def test_the_page_of_permissions_is_not_stale() -> None:
    assert TARGET.read_text() == page(), "run: make docs"
    assert unused() <= {Permission.TOOLS_GRANT}
    open_to_all = {path for path, _, access in guarded_routes(build_api()) if access.permission is None}
    cards = {"/.well-known/agent-card.json", "/.well-known/agent-card-keys.json"}
    providers = {f"/.well-known/oauth-protected-resource{path}" for path in ("", "/mcp")}
    assert open_to_all == {"/", "/health", "/ready", "/v1/hooks/{hook_id}", *cards, *providers}
