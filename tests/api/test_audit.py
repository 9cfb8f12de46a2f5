"""Every change has its event: who, what, from where; and nothing changes whose event cannot be written."""

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from caxton.api.app import build_api
from tests.api.test_approvals import guarded
from tests.api.test_failures import calls, hostile
from tests.conftest import RunningServer
from tests.support.agents import agent, replies
from tests.support.changes import BUDGET, NO_CHANGE, SCHEDULE, TABLE, Walk
from tests.support.deploying import deploy_files

pytestmark = pytest.mark.requirement("SEC-2")


@pytest.fixture
def walk(api: httpx.Client, workspace: str, tmp_path: Path) -> Iterator[Walk]:
    deploy_files(
        api,
        tmp_path / "workspace",
        {
            **hostile(),
            **guarded(),
            **agent("quick", rules=replies("done"), more=SCHEDULE),
            **agent("idle", rules=replies("done")),
            **agent("slow", rules=replies("done", delay=20)),
            **agent("caller", rules=calls("ok"), more='tools = ["hostile"]\n'),
        },
    )
    return Walk(api, tmp_path, {"workspace": workspace, "role": f"r-{workspace}"})


def unsafe_routes() -> set[tuple[str, str]]:
    paths: dict[str, dict[str, Any]] = build_api().openapi()["paths"]
    methods = ("post", "put", "patch", "delete")
    return {(method.upper(), path) for path, found in paths.items() for method in methods if method in found}


@pytest.mark.requirement("SEC-8")
def test_every_route_that_changes_something_is_in_the_table() -> None:
    assert unsafe_routes() == {*TABLE, *NO_CHANGE}, "a new route: tell here which events describe what it changes"


@pytest.mark.requirement("SEC-8")
def test_every_change_is_told_with_who_what_and_from_where(
    walk: Walk, api: httpx.Client, caxton_server: RunningServer
) -> None:
    wrong: list[str] = []
    with caxton_server.client("default") as home:
        clients = {"here": api, "default": home}
        for (method, path), (change, wanted) in TABLE.items():
            heads = {
                name: client.get("/v1/events", params={"order": "newest", "limit": 1}).json()
                for name, client in clients.items()
            }
            after = {name: (head["events"] or [{"sequence": 0}])[0]["sequence"] for name, head in heads.items()}
            answer = change(walk)
            if answer.status_code >= 300:
                wrong.append(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
                continue
            request = answer.headers["x-request-id"]
            found = _told(clients, after, request, wanted)
            missing = [kind for kind in wanted if kind not in found]
            if missing:
                wrong.append(f"{method} {path}: no {missing} of request {request}, only {sorted(found)}")
                continue
            for kind in wanted:
                event = found[kind]
                origin = event["payload"]["origin"]
                channel = "mcp" if path == "/mcp" else "api"
                if not origin["key"].startswith("k_") or origin["peer"] != "127.0.0.1" or origin["channel"] != channel:
                    wrong.append(f"{method} {path}: {kind} from {origin}")
                if kind != "execution_triggered" and not event["actor"].startswith("founder:"):
                    wrong.append(f"{method} {path}: {kind} by {event['actor']}")
            if len({found[kind]["event_id"] for kind in wanted}) != len(wanted):
                wrong.append(f"{method} {path}: one event for several")
    assert not wrong, "\n".join(wrong)


def _told(
    clients: dict[str, httpx.Client], after: dict[str, int], request: str, wanted: tuple[str, ...]
) -> dict[str, dict[str, Any]]:
    """Events of a request by their types; keys and roles are told in the customer's default workspace."""
    deadline = time.monotonic() + 15
    while True:
        found: dict[str, dict[str, Any]] = {}
        for name, client in clients.items():
            page = client.get("/v1/events", params={"order": "newest", "limit": 300}).json()["events"]
            for event in page:
                if event["sequence"] > after[name] and event["payload"].get("origin", {}).get("request") == request:
                    found[event["event_type"]] = event
        if all(kind in found for kind in wanted) or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def test_before_and_after_are_told(walk: Walk, api: httpx.Client) -> None:
    walk.post("/v1/agents/idle/stop").raise_for_status()
    (asked,) = [e for e in _events(api, "change_requested") if e["payload"]["operation"] == "agent.stop"]
    assert (asked["payload"]["subject"], asked["payload"]["before"]) == ("idle", "Running")
    for limit in (5.0, 7.0):
        body = {**BUDGET, "limit": limit, "agent": "quick", "workspace": walk.known["workspace"]}
        api.put("/v1/budgets", json=body).raise_for_status()
    last = _events(api, "budget_set")[0]["payload"]
    assert (last["before"], last["limit"]) == (5.0, 7.0)


def _events(api: httpx.Client, kind: str) -> list[dict[str, Any]]:
    found = api.get("/v1/events", params={"type": kind, "order": "newest", "limit": 500}).raise_for_status()
    return list(found.json()["events"])


# --- refusals and reads ---


@pytest.mark.requirement("SEC-3")
def test_refusals_are_told_and_a_flood_of_them_is_one_event(
    api: httpx.Client, caxton_server: RunningServer, workspace: str
) -> None:
    made = api.post("/v1/keys", json={"name": "onlooker", "role": "viewer"}).json()
    with caxton_server.client(workspace, key=made["key"]) as viewer:
        for _ in range(30):
            assert viewer.post("/v1/messages", json={"capability": "x", "content": "x"}).status_code == 403
            assert viewer.get("/v1/capabilities").status_code == 200
            assert viewer.post("/v1/memory/search", json={"text": "x"}).status_code == 200
        refused = [e for e in _events(api, "change_refused") if e["payload"]["origin"]["key"] == made["id"]]
        assert len(refused) == 1, "the first at once, the others with the next minute's"
        assert refused[0]["actor"] == "operator:onlooker"
        assert refused[0]["payload"]["operation"] == "POST /v1/messages"
        for kind in ("skills_discovered", "memories_found"):
            mine = [e for e in _events(api, kind) if e["payload"].get("origin", {}).get("key") == made["id"]]
            assert len(mine) <= 1, f"{kind}: reads do not make the log grow"
        api.delete(f"/v1/keys/{made['id']}").raise_for_status()
        deadline = time.monotonic() + 10
        while viewer.get("/v1/agents").status_code != 401 and time.monotonic() < deadline:
            time.sleep(0.1)
    with caxton_server.client("default") as home:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            found = [e for e in _events(home, "authentication_failed") if e["payload"].get("key_id") == made["id"]]
            if found:
                break
            time.sleep(0.2)
        assert found, "a key that was revoked and is still used"
        assert found[0]["payload"]["addresses"] == ["127.0.0.1"]
        with caxton_server.client(workspace, key="cx_nobody-has-this-key") as nobody:
            for _ in range(20):
                assert nobody.get("/v1/agents").status_code == 401
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            strangers = [e for e in _events(home, "authentication_failed") if e["payload"]["reason"] == "unknown"]
            if strangers:
                break
            time.sleep(0.2)
        moments = sorted(datetime.fromisoformat(event["timestamp"]) for event in strangers)
        minutes = (moments[-1] - moments[0]).total_seconds() / 60
        assert 1 <= len(strangers) <= 3 + minutes, "one a minute, not one for each"
