"""What the event log tells of changes, of the server, of cancellations; and what it never tells."""

import json
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from caxton.domain.events import CATALOGUE, Event
from caxton.domain.events.invariants import InvariantChecker
from tests.api.conftest import Deploy
from tests.api.test_events import ask, events_of, listed
from tests.api.test_failures import calls, hostile
from tests.support.agents import agent, replies


@pytest.mark.requirement("SEC-2")
@pytest.mark.requirement("EVT-4")
def test_every_change_is_in_the_log_with_its_actor(api: httpx.Client, deploy: Deploy) -> None:
    first = deploy({**hostile(), **agent("worker", rules=calls("ok"), more='tools = ["hostile"]\n')})
    deploy(agent("worker", rules=replies("x"), version="1.1.0"))
    api.post("/v1/agents/worker/stop", json={"grace": 0}).raise_for_status()
    api.post("/v1/agents/worker/start").raise_for_status()
    api.post("/v1/tools/hostile/call", json={"function": "ok", "arguments": {}}).raise_for_status()
    second = api.get("/v1/deployments").json()["deployments"][0]
    api.post(f"/v1/deployments/{second['id']}/rollback").raise_for_status()
    found = listed(api, limit=1000)
    types = [event["event_type"] for event in found]
    for wanted in (
        "deployment_created",
        "deployment_configured",
        "deployment_activated",
        "config_validation_result",
        "version_upgraded",
        "version_rolled_back",
        "deployment_updated",
        "agent_active",
        "agent_config_updated",
        "skills_available",
        "mcp_tool_deployed",
        "agent_state_changed",
        "agent_stopped",
        "tool_called_directly",
    ):
        assert wanted in types, wanted
    versions = [
        e["payload"] for e in listed(api, type=["version_upgraded", "version_rolled_back"]) if e["agent"] == "worker"
    ]
    assert [(each.get("from"), each["to"]) for each in versions] == [
        (None, "1.0.0"),
        ("1.0.0", "1.1.0"),
        ("1.1.0", "1.0.0"),
    ]
    changes = [e for e in found if e["event_type"] == "agent_config_updated"]
    assert changes[0]["payload"]["changes"] == ["version", "tools", "script (rules)"]
    assert {e["actor"] for e in listed(api, deployment=first["id"]) if e["event_type"].startswith("deployment")} == {
        "founder:admin"
    }
    assert {e["actor"] for e in listed(api, type="agent_state_changed")} == {"founder:admin"}


def test_a_deployment_that_fails_tells_what_was_wrong(api: httpx.Client, deploy: Deploy) -> None:
    body = {"bundles": [{"kind": "agent", "name": "ghost", "files": {"ghost.toml": "1" * 64}}]}
    assert api.post("/v1/deployments", json=body).status_code == 422
    by_type = {event["event_type"]: event for event in listed(api)}
    assert not by_type["config_validation_result"]["payload"]["is_valid"]
    assert by_type["config_validation_result"]["payload"]["errors"]
    assert by_type["agent_deployment_failed"]["agent"] == "ghost"
    assert by_type["deployment_failed"]["error_code"] == "invalid_definitions"


@pytest.mark.requirement("EVT-8")
def test_the_catalogue_has_a_schema_for_every_type(api: httpx.Client) -> None:
    found = {each["type"]: each for each in api.get("/v1/events/types").json()["types"]}
    assert set(found) == set(CATALOGUE)
    for each in found.values():
        assert each["description"]
        assert each["payload"]["type"] == "object"


def test_what_a_newer_version_wrote_is_shown_as_it_is() -> None:
    event = Event(
        event_id="e",
        event_type="execution_completed",
        schema_version=99,
        timestamp=datetime.now(UTC),
        customer_id="local",
        workspace="default",
        payload={"shape": "unknown"},
    )
    assert event.typed() is None
    assert event.user_message == "execution_completed"
    assert event.model_copy(update={"event_type": "of_the_future"}).typed() is None


def test_invariants_hold_and_a_missing_end_is_noticed(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("echo", rules=replies("you said: {{ request }}")))
    turn = ask(api, "echo")
    events = events_of(api, turn["execution_id"])
    whole = InvariantChecker("local")
    whole.read(events)
    assert not [violation for violation in whole.violations if violation.invariant != 4]
    assert whole.open == []
    lost = InvariantChecker("local")
    lost.read([event for event in events if event.event_type != "action_dispatched"])
    assert 3 in {violation.invariant for violation in lost.violations}
    twice = InvariantChecker("local")
    twice.read([*events, events[-1]])
    assert 1 in {violation.invariant for violation in twice.violations}
    foreign = InvariantChecker("other")
    foreign.read(events[:1])
    assert [violation.invariant for violation in foreign.violations] == [5]


@pytest.mark.requirement("EVT-8")
def test_first_steps_are_taken_in_once_and_milestones_are_told(api: httpx.Client, deploy: Deploy) -> None:
    event = {
        "id": f"o_{uuid.uuid4().hex}",
        "type": "agent_initialized",
        "at": datetime.now(UTC).isoformat(),
        "payload": {"agent_name": "echo", "template_used": "data-fetcher", "files_created": ["agents/echo.toml"]},
    }
    for _ in range(2):
        assert api.post("/v1/onboarding", json={"events": [event]}).status_code == 204
    (told,) = listed(api, type="agent_initialized")
    assert (told["agent"], told["actor"]) == ("echo", "founder:admin")
    for wrong in ({"type": "execution_completed"}, {"payload": {"agent_name": 7}}, {"at": "now"}, {"id": "x"}):
        assert api.post("/v1/onboarding", json={"events": [{**event, **wrong}]}).status_code == 400, wrong
    deploy(agent("echo", rules=replies("hi")))
    ask(api, "echo")
    deadline = time.monotonic() + 90
    wanted = {"FirstAgentCreated", "FirstDeployment", "FirstMessageProcessed", "SuccessAchieved"}
    while time.monotonic() < deadline:
        reached = [event["payload"]["milestone"] for event in listed(api, type="onboarding_milestone_reached")]
        if set(reached) >= wanted:
            break
        time.sleep(0.2)
    assert sorted(reached) == sorted(wanted)
    api.get("/v1/capabilities", params={"query": "echo"}).raise_for_status()
    (discovered,) = listed(api, type="skills_discovered")
    assert discovered["payload"]["discovered"] == ["echo"]
    assert [event["payload"]["percent_complete"] for event in listed(api, type="progress_update")] == [50.0, 100.0]


@pytest.mark.requirement("EVT-8")
def test_the_server_tells_of_itself(tmp_path: Path) -> None:
    from tests.conftest import start_server, stop_server

    data = tmp_path / "data"
    for env in ({}, {"CAXTON_LIMITS__WAITING": "77"}):
        process, server = start_server(data, env=env)
        with server.client() as client:
            events = listed(client, limit=1000)
        stop_server(process)
    types = [event["event_type"] for event in events]
    assert types.count("caxton_installed") == types.count("first_time_user_detected") == 1
    assert types.count("caxton_ready") == 2
    assert types.count("server_stopped") == 1
    changed = [event["payload"] for event in events if event["event_type"] == "configuration_changed"]
    assert {"component": "limits", "setting": "limits.waiting", "new_value": 77} in changed
    assert server.api_key not in json.dumps(events)


def test_what_people_and_tools_wrote_is_nowhere_in_the_log(api: httpx.Client, deploy: Deploy, tmp_path: Path) -> None:
    """Errors of tools quote what they were given; topics, arguments and replies are contents too."""
    import shutil

    import caxton

    bundled = Path(caxton.__file__).parent / "bundled" / "tools" / "csv-tools"
    shutil.copytree(bundled, tmp_path / "workspace" / "tools" / "csv-tools")
    rules = "[[rules]]\n[[rules.steps]]\ntool = 'csv-tools.read_csv'\narguments = { path = '{{ request }}' }\n"
    rules += "[[rules.steps]]\nreply = 'x'\n"
    deploy(agent("leaky", rules=rules, more='tools = ["csv-tools"]\n'))
    failed = ask(api, "leaky", "CANARY my bank account")
    assert "CANARY" in failed["detail"]  # whoever asked is told
    body = {"capability": "leaky", "topic": "CANARY topic", "metadata": {"note": "CANARY"}}
    talk = api.post("/v1/conversations", json=body).json()["id"]
    api.post(f"/v1/conversations/{talk}/messages", json={"content": "CANARY", "variables": {"a": "CANARY"}})
    exported = api.get("/v1/events/export").text
    assert "execution_failed" in exported
    assert "conversation_started" in exported
    assert "CANARY" not in exported


def test_who_cancels_is_in_the_log(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("slow", rules=replies("done", delay=20)))
    talk = api.post("/v1/conversations", json={"capability": "slow"}).json()["id"]
    path = f"/v1/conversations/{talk}/messages"
    running = api.post(path, json={"content": "x"}, params={"wait": "false"}).json()["execution_id"]
    while api.get(f"/v1/executions/{running}").status_code != 200:
        time.sleep(0.05)
    api.post(f"/v1/executions/{running}/cancel").raise_for_status()
    api.post(f"/v1/conversations/{talk}/cancel").raise_for_status()
    told = listed(api, type="cancellation_requested")
    assert [event["actor"] for event in told] == ["founder:admin"] * 2
    assert [event["execution_id"] for event in told] == [running, None]
    assert [event["payload"]["conversation_ends"] for event in told] == [False, True]
    assert "cancellation_requested" in [event.event_type for event in events_of(api, running)]


def test_a_long_page_is_the_short_ones_together(api: httpx.Client, deploy: Deploy) -> None:
    deploy(agent("echo", rules=replies("you said: {{ request }}")))
    for number in range(30):
        assert api.post("/v1/messages", json={"capability": "echo", "content": f"é\u2028 {number}"}).status_code == 200
    whole = api.get("/v1/events", params={"limit": 1000}).json()
    assert len(whole["events"]) > 200
    assert whole["next"] is None
    short: list[dict[str, Any]] = []
    cursor: str | None = None
    while len(short) < len(whole["events"]):
        page = api.get("/v1/events", params={"limit": 50, **({"cursor": cursor} if cursor else {})}).json()
        short += page["events"]
        cursor = page["next"]
    assert short == whole["events"]
    exported = [json.loads(line) for line in api.get("/v1/events/export").text.split("\n") if line]
    assert exported[: len(short)] == [{k: v for k, v in each.items() if k != "message"} for each in short]
