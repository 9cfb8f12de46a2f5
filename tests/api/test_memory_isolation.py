"""Two customers with equal data, and two workspaces of one, under random use of every route of memory."""

import random
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.conftest import RunningServer

TEXTS = [f"equal text number {number}" for number in range(6)]
ROUNDS = 220


class Tenant:
    """Somebody who marks what is theirs, and must never see another's mark."""

    def __init__(self, name: str, http: httpx.Client, others_global: str | None) -> None:
        self.name = name
        self.http = http
        self.others_global = others_global
        """Whose global memories are this one's too."""
        self.ids: list[str] = []
        self.relations: list[str] = []
        self.export = ""
        self.routes: set[str] = set()

    def call(self, method: str, route: str, chance: random.Random, others: list["Tenant"]) -> None:
        """One request on the route with values that others know, too."""
        # Equal content has equal ids, so another's ids are as good a guess as one's own.
        known = [*self.ids, *(identity for other in others for identity in other.ids)] or ["mem_x"]
        relations = [*self.relations, *(each for other in others for each in other.relations)] or ["rel_x"]
        path = route.replace("{memory_id}", chance.choice(known)).replace("{relation_id}", chance.choice(relations))
        params: dict[str, Any] = {}
        scope = chance.choice(["workspace", "global", "agent:a", "conversation:c_1"])
        kind, _, owner = scope.partition(":")
        selection = {"scope": chance.choice([None, scope]), "where": chance.choice([{}, {"n": 1}])}
        bodies: dict[str, Callable[[], Any]] = {
            "POST /v1/memory": lambda: {
                "text": chance.choice(TEXTS),
                "scope": {"kind": kind, "owner": owner},
                "metadata": {"owner": self.name, "n": chance.randrange(3)},
            },
            "POST /v1/memory/search": lambda: {
                "text": chance.choice([*TEXTS, "equal", "' OR true --", "number"]),
                "mode": chance.choice(["hybrid", "vector", "text"]),
                "scopes": [{"kind": kind, "owner": owner}, {"kind": "workspace"}],
                "limit": 50,
            },
            "POST /v1/memory/relations": lambda: {
                "source": chance.choice(known),
                "type": "near",
                "target": chance.choice(known),
                "properties": {"owner": self.name},
            },
            "PATCH /v1/memory/{memory_id}": lambda: {"metadata": {"owner": self.name, "n": 1}},
            "POST /v1/memory/purge": lambda: {**selection, "dry_run": chance.random() < 0.7},
            "POST /v1/memory/edit": lambda: {
                **selection,
                "changes": {"set": {"owner": self.name, "e": 1}},
                "dry_run": chance.random() < 0.5,
            },
            "POST /v1/memory/undo": lambda: {"dry_run": chance.random() < 0.5},
            "PUT /v1/memory/retention": lambda: {"max_entities": 100},
        }
        name = f"{method} {route}"
        content = None
        if route.endswith("/import"):
            content = self.export or "{}"
        if route == "/v1/memory" and method == "GET":
            params = {"scope": scope}
        if chance.random() < 0.2 and route.rsplit("/", 1)[1] in ("export", "undo", "retention", "reembed", "apply"):
            params = {"global": "true"}
        body = bodies[name]() if name in bodies else None
        answer = self.http.request(method, path, params=params, json=body, content=content)
        assert answer.status_code < 500, (name, answer.text)
        self.routes.add(name)
        for other in others:
            mark = f'"owner":"{other.name}"'
            if other.name != self.others_global:
                assert mark not in answer.text.replace('": "', '":"'), (self.name, name, answer.text[:500])
        if name == "POST /v1/memory" and answer.status_code == 201:
            self.ids.append(answer.json()["id"])
        if name == "POST /v1/memory/relations" and answer.status_code == 201:
            self.relations.append(answer.json()["id"])
        if route.endswith("/export") and not params and answer.status_code == 200:
            self.export = answer.text


@pytest.mark.requirement("MEM-3")
def test_nobody_ever_sees_or_touches_what_is_anothers(
    api: httpx.Client, caxton_server: RunningServer, workspace: str
) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    chance = random.Random(seed)
    keys = [
        api.post("/v1/keys", json={"name": "boss", "role": "admin", "customer": f"c{n}-{uuid.uuid4().hex[:8]}"}).json()
        for n in range(2)
    ]
    api.post("/v1/memory/purge", json={"scope": "global", "dry_run": False}).raise_for_status()
    with (
        caxton_server.client(workspace, key=keys[0]["key"]) as one,
        caxton_server.client(workspace, key=keys[1]["key"]) as two,
        caxton_server.client(f"{workspace}-b", key=keys[0]["key"]) as beside,
    ):
        tenants = [Tenant("one", one, "beside"), Tenant("two", two, None), Tenant("beside", beside, "one")]
        document = api.get("/openapi.json").json()
        routes = [
            (method.upper(), path)
            for path, methods in document["paths"].items()
            if path.startswith("/v1/memory")
            for method in methods
        ]
        assert len(routes) >= 19
        for tenant in tenants:  # everybody has something, and every route is asked for at least once
            for method, route in [("POST", "/v1/memory")] * 6 + routes:
                tenant.call(method, route, chance, [other for other in tenants if other is not tenant])
        common = [route for route in routes if route[0] != "DELETE"] + [("POST", "/v1/memory")] * 8
        for _ in range(ROUNDS):
            tenant = chance.choice(tenants)
            tenant.call(*chance.choice(common), chance, [other for other in tenants if other is not tenant])
        assert all(len(tenant.routes) == len(routes) for tenant in tenants)
        # Removing everything of one leaves the others as they are.
        two.post("/v1/memory", json={"text": "still here", "metadata": {"owner": "two"}}).raise_for_status()
        before = two.get("/v1/memory/export").text
        one.post("/v1/memory/purge", json={"dry_run": False}).raise_for_status()
        assert two.get("/v1/memory/export").text == before
        assert "still here" in before
