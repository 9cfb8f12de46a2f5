"""Views and metrics derive from the log alone: dropped and built again, they are the same."""

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caxton.adapters.store.database import Database
from caxton.domain.events import Event
from caxton.domain.ids import Scope
from caxton.projections.projection import catch_up
from caxton.projections.views import PROJECTIONS
from tests.api.test_events import ask
from tests.api.test_failures import calls, hostile
from tests.conftest import RunningServer
from tests.support.agents import agent, hands_over, replies
from tests.support.deploying import deploy_files
from tests.support.stores import new_sqlite_store


@pytest.fixture(scope="module")
def shop(caxton_server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A customer of its own in whose log is a bit of everything."""
    with caxton_server.client() as admin:
        body = {"name": "boss", "role": "admin", "customer": f"acme-{uuid.uuid4().hex[:8]}"}
        key = admin.post("/v1/keys", json=body).json()["key"]
    more = 'tools = ["hostile"]\n[tool_policies.hostile]\naction_type = "lead-capture"\n'
    files = {
        **hostile(),
        **agent("front", rules=hands_over("back"), more='delegates = ["back"]\n'),
        **agent("back", rules=calls("ok"), more=more),
        **agent("trapped", rules=calls("trap"), more='tools = ["hostile"]\n'),
        **agent("broken", rules="[[rules]]\nwhen = { contains = 'never' }\n[[rules.steps]]\nreply = 'no'\n"),
        **agent("gone", rules=replies("bye")),
    }
    folder = tmp_path_factory.mktemp("shop")
    with caxton_server.client("shop", key=key) as client:
        deploy_files(client, folder, files)
        for capability in ("front", "front", "front", "back", "trapped", "broken", "gone"):
            ask(client, capability)
        ask(client, "nobody-does-this")
        talk = client.post("/v1/conversations", json={"capability": "front", "topic": "t"}).json()["id"]
        client.post(f"/v1/conversations/{talk}/messages", json={"content": "hello"}).raise_for_status()
        ended = client.post("/v1/conversations", json={"capability": "front"}).json()["id"]
        client.post(f"/v1/conversations/{ended}/end", json={}).raise_for_status()
        client.post("/v1/tools/hostile/call", json={"function": "ok", "arguments": {}}).raise_for_status()
        client.post("/v1/agents/gone/stop", json={"grace": 0}).raise_for_status()
        yield client


def view(api: httpx.Client, name: str) -> dict[str, Any]:
    answer = api.get(f"/v1/views/{name}")
    assert answer.status_code == 200, answer.text
    assert answer.json()["behind"] == 0
    return answer.json()["documents"]


@pytest.mark.requirement("TOL-8")
def test_lists_show_what_the_views_counted(shop: httpx.Client) -> None:
    tools = {tool["name"]: tool["statistics"] for tool in shop.get("/v1/tools").json()["tools"]}
    # Three times handed over, once by itself, once in a conversation; it trapped when "trapped" called, twice; once by hand.
    assert tools["hostile"]["calls"] == view(shop, "tools")["hostile"]["calls"] > 6
    assert 0 < tools["hostile"]["succeeded"] < tools["hostile"]["calls"]
    assert tools["hostile"]["mean_cpu_ms"] > 0
    agents = {found["name"]: found["statistics"] for found in shop.get("/v1/agents").json()["agents"]}
    assert (agents["front"]["calls"], agents["front"]["succeeded"]) == (4, 4)
    assert (agents["broken"]["calls"], agents["broken"]["succeeded"]) == (1, 0)
    assert agents["front"]["p95_ms"] >= agents["front"]["mean_ms"] * 0.5 > 0
    assert agents == {name: shop.get(f"/v1/agents/{name}").json()["statistics"] for name in agents}
    offered = {each["name"]: each["statistics"] for each in shop.get("/v1/capabilities").json()["capabilities"]}
    assert offered["back"]["calls"] == 5
    assert offered["back"]["last_used"] is not None


@pytest.mark.requirement("RTE-3")
@pytest.mark.requirement("TOL-8")
@pytest.mark.requirement("MSG-6")
def test_views_show_what_happened(shop: httpx.Client) -> None:
    agents = view(shop, "agents")
    assert agents["front"]["state"] == "Running"
    assert agents["front"]["messages"]["handled"] == 4
    assert agents["front"]["messages"]["p95_ms"] > 0
    assert agents["broken"]["messages"]["failed"] == 1
    assert agents["gone"]["state"] == "Stopped"
    capabilities = view(shop, "capabilities")
    assert capabilities["back"]["providers"] == {"back": "1.0.0"}
    assert (capabilities["back"]["requests"], capabilities["back"]["succeeded"]) == (5, 5)
    assert (capabilities["broken"]["requests"], capabilities["broken"]["succeeded"]) == (1, 0)
    tool = view(shop, "tools")["hostile"]
    assert (tool["status"], tool["version"], tool["calls"], tool["succeeded"]) == ("Available", "1.0.0", 7, 6)
    assert tool["by_agent"]["back"] == {"calls": 5, "succeeded": 5}
    assert tool["by_agent"]["by hand"] == {"calls": 1, "succeeded": 1}
    routing = view(shop, "routing")["routing"]
    assert routing["requests"] >= 12
    (talk,) = view(shop, "active-conversations").values()
    assert (talk["participants"], talk["messages"]) == (["user", "front", "back"], 4)
    messages = view(shop, "messages")
    assert messages[f"conversation {talk['conversation_id']}"]["messages"][0]["from"] == "user"
    assert {entry["to"] for entry in messages["agent trapped"]["messages"]} == {"trapped", "user"}
    single = shop.get("/v1/views/agents", params={"key": "front"}).json()["documents"]
    assert list(single) == ["front"]


@pytest.mark.requirement("EVT-4")
@pytest.mark.parametrize("name", sorted(PROJECTIONS))
def test_a_view_that_is_dropped_is_built_again_with_the_same_result(shop: httpx.Client, name: str) -> None:
    before = shop.get(f"/v1/views/{name}").json()
    again = shop.post(f"/v1/views/{name}/rebuild")
    assert again.status_code == 200, again.text
    assert _without_changes(again.json()["documents"]) == _without_changes(before["documents"])


def _without_changes(documents: dict[str, Any]) -> dict[str, Any]:
    """Without what the log tells of requests themselves: to build a view again is told, too."""
    return {
        key: {
            **found,
            "counts": [each for each in found["counts"] if each["type"] not in ("change_requested", "view_rebuilt")],
        }
        if isinstance(found, dict) and "counts" in found
        else found
        for key, found in documents.items()
    }


@pytest.mark.requirement("EVT-4")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_result_does_not_depend_on_how_the_log_was_read(
    shop: httpx.Client, tmp_path: Path, data: st.DataObject
) -> None:
    """In one go, or in batches of any size: the same documents."""
    lines = shop.get("/v1/events/export", params={"everything": "true"}).text.splitlines()
    events = [Event.model_validate(json.loads(line)) for line in lines]
    customer, scope = events[0].customer_id, Scope(customer=events[0].customer_id, workspace="shop")
    database = Database(new_sqlite_store(tmp_path / f"{uuid.uuid4().hex}.db"))
    for event in events:
        own = Scope(customer=customer, workspace=event.workspace)
        database.write_now(lambda transaction, event=event, own=own: transaction.add_events(own, [event]))
    projection = data.draw(st.sampled_from(sorted(PROJECTIONS.values(), key=lambda each: each.name)))

    def build() -> dict[str, Any]:
        database.write_now(lambda transaction: transaction.drop_documents(customer, projection.name))
        while True:
            batch = data.draw(st.integers(1, 60))
            if database.write_now(lambda t, batch=batch: catch_up(t, customer, projection, batch)) < batch:
                return database.read_now(lambda transaction: transaction.documents(scope, projection.name))

    assert build() == build()
    database.close()


@pytest.mark.requirement("EVT-5")
def test_metrics_derive_from_events(shop: httpx.Client) -> None:
    found = {metric["name"]: metric for metric in shop.get("/v1/metrics").json()["metrics"]}
    errors = found["error-rate"]
    assert errors["value"] == round(errors["count"] / errors["per"], 6)
    assert errors["by"]["broken"] == 1.0
    assert errors["by"]["front"] == 0.0
    assert found["actions"]["by"]["lead-capture"] == 5
    assert found["sla-breach-rate"]["value"] == 0
    definition = {
        "count": {"type": "action_dispatched", "action_type": "lead-capture"},
        "per": {"type": "execution_completed"},
        "by": "agent",
        "description": "leads an answer",
    }
    assert shop.put("/v1/metrics/leads", json=definition).status_code == 200
    leads = next(m for m in shop.get("/v1/metrics").json()["metrics"] if m["name"] == "leads")
    assert leads["count"] == 5
    assert leads["by"]["back"] == 1.0
    old = (datetime.now(UTC) - timedelta(days=3)).isoformat()
    older = (datetime.now(UTC) - timedelta(days=2)).isoformat()
    past = {m["name"]: m for m in shop.get("/v1/metrics", params={"since": old, "until": older}).json()["metrics"]}
    assert (past["leads"]["value"], past["leads"]["count"], past["actions"]["value"]) == (None, 0, 0)
    assert shop.delete("/v1/metrics/leads").status_code == 204
    assert shop.delete("/v1/metrics/leads").status_code == 404
    assert "leads" not in {m["name"] for m in shop.get("/v1/metrics").json()["metrics"]}


def test_wrong_views_and_metrics_are_refused(shop: httpx.Client, caxton_server: RunningServer) -> None:
    missing = shop.get("/v1/views/agent")
    assert missing.status_code == 404
    assert "agents" in str(missing.json()["hints"])
    for name, body in (
        ("leads", {"count": {"type": "action_dispached"}}),
        ("leads", {"count": {"type": "action_dispatched", "colour": "red"}}),
        ("leads", {"count": {"type": "action_dispatched"}, "by": "payload"}),
        ("Leads!", {"count": {"type": "action_dispatched"}}),
        ("error-rate", {"count": {"type": "action_dispatched"}}),
    ):
        assert shop.put(f"/v1/metrics/{name}", json=body).status_code == 400, (name, body)
    assert shop.get("/v1/metrics", params={"since": "2020-01-01T00:00:00Z"}).status_code == 400
    key = shop.post("/v1/keys", json={"name": "eyes", "role": "viewer"}).json()["key"]
    with caxton_server.client("shop", key=key) as viewer:
        assert viewer.get("/v1/views/agents").status_code == 200
        assert viewer.post("/v1/views/agents/rebuild").status_code == 403
        assert viewer.put("/v1/metrics/x", json={"count": {"type": "key_created"}}).status_code == 403
    with caxton_server.client("shop") as another:
        assert another.get("/v1/views/agents").json()["documents"].get("front") is None
