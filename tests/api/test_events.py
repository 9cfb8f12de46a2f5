"""The event log over HTTP: what is told, found, followed, exported, verified, and who sees it."""

import json
import socket
import threading
import time
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from caxton.domain.events import Event
from caxton.domain.events.chain import ChainCheck
from tests.api.conftest import Deploy
from tests.api.test_failures import calls, hostile
from tests.conftest import RunningServer
from tests.support.agents import agent, hands_over, replies
from tests.support.raw import RawConnection


def ask(api: httpx.Client, capability: str, content: str = "x", **more: Any) -> dict[str, Any]:
    return api.post("/v1/messages", json={"capability": capability, "content": content}, **more).json()


def events_of(api: httpx.Client, execution_id: str) -> list[Event]:
    found = api.get(f"/v1/executions/{execution_id}/events")
    assert found.status_code == 200, found.text
    return [Event.model_validate(event) for event in found.json()["events"]]


def listed(api: httpx.Client, **filters: Any) -> list[dict[str, Any]]:
    answer = api.get("/v1/events", params=filters)
    assert answer.status_code == 200, answer.text
    return answer.json()["events"]


@pytest.fixture
def echo(deploy: Deploy) -> None:
    deploy(agent("echo", rules=replies("you said: {{ request }}")))


@pytest.mark.usefixtures("echo")
@pytest.mark.requirement("EVT-2")
def test_an_execution_tells_the_minimum_sequence(api: httpx.Client) -> None:
    turn = ask(api, "echo", "secret words")
    events = events_of(api, turn["execution_id"])
    types = [event.event_type for event in events]
    wanted = [
        "execution_triggered",
        "message_sent",
        "request_handled",
        "message_delivered",
        "execution_processing",
        "model_called",
        "action_prepared",
        "action_dispatched",
        "message_sent",
        "execution_completed",
    ]
    assert types == wanted
    assert [event.sequence for event in events] == sorted(event.sequence or 0 for event in events)
    assert "secret words" not in json.dumps([event.model_dump(mode="json") for event in events])
    for event in events:
        assert event.typed() is not None
        assert event.user_message
        assert (event.skill_id, event.skill_version, event.agent) == ("echo", "1.0.0", "echo")
        assert event.correlation_id == event.execution_id == turn["execution_id"]
        assert event.conversation_id == turn["conversation_id"]
        assert event.deployment_id
        assert event.customer_id == "local"
        assert event.risk_level == "low"
        assert event.approval_mode == "auto"
        assert len(event.hash or "") == 64
        assert uuid.UUID(event.event_id).version == 8
    actors = {event.event_type: event.actor for event in events}
    assert actors["execution_triggered"] == "external_user"
    assert actors["request_handled"] == "system"
    assert actors["action_dispatched"] == "agent:echo"
    assert events[0].channel_type == "api"
    assert events[-1].latency_ms is not None


@pytest.mark.requirement("EVT-4")
def test_a_turn_with_hand_over_and_tool_is_rebuilt_from_events_alone(api: httpx.Client, deploy: Deploy) -> None:
    deploy(
        {
            **hostile(),
            **agent("front", rules=hands_over("back"), more='delegates = ["back"]\n'),
            **agent("back", rules=calls("ok"), more='tools = ["hostile"]\n'),
        }
    )
    turn = ask(api, "front")
    types = Counter(event.event_type for event in events_of(api, turn["execution_id"]))
    assert types["execution_triggered"] == types["execution_completed"] == 2
    assert types["action_prepared"] == types["action_dispatched"] == 4  # hand-over, its reply, tool, reply
    assert types["tool_executed"] == 1
    rebuilt = api.get(f"/v1/executions/{turn['execution_id']}/replay").json()
    assert rebuilt["differences"] == []
    front, back = rebuilt["executions"]
    assert (front["agent"], front["state"], back["parent_id"]) == ("front", "Completed", turn["execution_id"])
    assert front["reply_id"] == turn["reply"]["id"]
    assert back["actions"] == ["tool hostile.ok: dispatched", "reply: dispatched"]
    assert back["usage"]["tool_calls"] == 1
    # From the part of another agent the whole turn is found.
    assert api.get(f"/v1/executions/{back['execution_id']}/replay").json() == rebuilt


@pytest.mark.parametrize("function", ["trap", "spin"])
def test_a_tool_that_fails_is_told_with_what_it_used(api: httpx.Client, deploy: Deploy, function: str) -> None:
    deploy({**hostile(), **agent("worker", rules=calls(function), more='tools = ["hostile"]\n')})
    turn = ask(api, "worker")
    events = {event.event_type: event for event in events_of(api, turn["execution_id"])}
    failed = events["tool_execution_failed"]
    assert failed.error_code
    assert failed.payload["reason"] in ("RuntimeError", "ResourceExhausted", "Timeout")
    assert failed.payload["fuel"] > 0
    assert events["action_failed"].payload["action_id"] == "1.1"
    assert events["execution_completed"].payload["tool_calls"] == 1
    rebuilt = api.get(f"/v1/executions/{turn['execution_id']}/replay").json()
    assert rebuilt["differences"] == []


def test_a_request_that_nobody_can_do_and_one_that_fails_have_their_end_told(api: httpx.Client, deploy: Deploy) -> None:
    deploy(
        {
            **agent("front", rules=hands_over("gone", on_error="so be it"), more='delegates = ["gone"]\n'),
            **agent("gone", rules=replies("x")),
            **agent("broken", rules="[[rules]]\nwhen = { contains = 'never' }\n[[rules.steps]]\nreply = 'no'\n"),
        }
    )
    api.post("/v1/agents/gone/stop", json={"grace": 0}).raise_for_status()
    turn = ask(api, "front")
    assert turn["reply"]["content"]["text"] == "so be it"
    told = {event.event_type: event for event in events_of(api, turn["execution_id"])}
    assert told["routing_failed"].payload["reason"] == "AllAgentsUnavailable"
    assert told["routing_failed"].payload["suggested_actions"]
    assert told["message_failed"].error_code == "all_agents_unavailable"
    assert told["action_failed"].execution_id == turn["execution_id"]
    assert told["action_failed"].payload["action_id"] == "1.1"
    assert api.get(f"/v1/executions/{turn['execution_id']}/replay").json()["differences"] == []
    failed = ask(api, "broken")
    events = {event.event_type: event for event in events_of(api, failed["details"]["execution_id"])}
    assert events["execution_failed"].error_code == "no_script_rule"
    assert events["execution_failed"].payload["user_message"]
    assert "action_dispatched" not in events
    rebuilt = api.get(f"/v1/executions/{failed['details']['execution_id']}/replay").json()
    assert rebuilt["differences"] == []
    assert rebuilt["executions"][0]["error_code"] == "no_script_rule"


@pytest.mark.usefixtures("echo")
@pytest.mark.requirement("EVT-3")
def test_events_are_filtered_and_paged_both_ways(api: httpx.Client) -> None:
    turns = [ask(api, "echo", f"m{number}") for number in range(7)]
    triggered = [event["execution_id"] for event in listed(api, type="execution_triggered")]
    assert triggered == [turn["execution_id"] for turn in turns]
    both = {event["event_type"] for event in listed(api, type=["execution_triggered", "execution_completed"])}
    assert both == {"execution_triggered", "execution_completed"}
    for order in ("oldest", "newest"):
        seen: list[str] = []
        cursor = None
        while True:
            params = {"type": "message_sent", "order": order, "limit": 4, **({"cursor": cursor} if cursor else {})}
            page = api.get("/v1/events", params=params).json()
            seen += [event["event_id"] for event in page["events"]]
            cursor = page["next"]
            if cursor is None:
                break
        assert len(seen) == len(set(seen)) == 14
        everything = [event["event_id"] for event in listed(api, type="message_sent", order=order)]
        assert seen == everything
    assert {event["execution_id"] for event in listed(api, execution=turns[2]["execution_id"])} == {
        turns[2]["execution_id"]
    }
    assert listed(api, agent="nobody") == []
    assert {event["actor"] for event in listed(api, actor="agent:echo")} == {"agent:echo"}
    assert len(listed(api, conversation=turns[0]["conversation_id"])) == 10
    started = datetime.fromisoformat(listed(api, execution=turns[3]["execution_id"])[0]["timestamp"])
    later = listed(api, type="execution_triggered", since=started.isoformat())
    assert [event["execution_id"] for event in later] == triggered[3:]
    earlier = listed(api, type="execution_triggered", until=started.isoformat())
    assert [event["execution_id"] for event in earlier] == triggered[:3]
    future = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert listed(api, since=future) == []
    single = api.get(f"/v1/events/{listed(api)[0]['event_id']}").json()
    assert single == listed(api)[0]


@pytest.mark.usefixtures("echo")
def test_wrong_filters_and_forged_cursors_are_refused(api: httpx.Client, caxton_server: RunningServer) -> None:
    for _ in range(3):
        ask(api, "echo")
    cursor = api.get("/v1/events", params={"limit": 2}).json()["next"]
    assert api.get("/v1/events", params={"limit": 2, "cursor": cursor}).status_code == 200
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"typ": "message_sent"}, "invalid_input"),
        ({"type": "mesage_sent"}, "invalid_input"),
        ({"since": "yesterday"}, "invalid_input"),
        ({"since": "2026-01-01T00:00:00"}, "invalid_input"),
        ({"limit": 0}, "invalid_input"),
        ({"limit": 100_000}, "invalid_input"),
        ({"agent": "a\0b"}, "invalid_input"),
        ({"cursor": "garbage"}, "cursor_invalid"),
        ({"cursor": "%00"}, "cursor_invalid"),
        ({"cursor": cursor[:-2] + "AA"}, "cursor_invalid"),
        ({"cursor": cursor, "type": "message_sent"}, "cursor_invalid"),
        ({"cursor": cursor, "order": "newest"}, "cursor_invalid"),
    ]
    for params, code in wrong:
        answer = api.get("/v1/events", params=params)
        assert (answer.status_code, answer.json()["code"]) == (400, code), params
    meant = api.get("/v1/events", params={"type": "mesage_sent"}).json()
    assert meant["details"]["similar"][0] == "message_sent"
    with caxton_server.client("elsewhere") as elsewhere:
        assert elsewhere.get("/v1/events", params={"cursor": cursor}).status_code == 400
    assert api.get("/v1/events/tail", params={"cursor": "garbage"}).status_code == 400
    assert api.get("/v1/events/export", params={"type": "x"}).status_code == 400
    assert api.get("/v1/events/nope").status_code == 404
    assert api.get("/v1/executions/x_nope/replay").status_code == 404


@pytest.mark.requirement("EVT-6")
@pytest.mark.usefixtures("echo")
def test_no_read_crosses_customers(api: httpx.Client, caxton_server: RunningServer, workspace: str) -> None:
    turn = ask(api, "echo")
    event = next(each for each in listed(api) if each["deployment_id"])
    body = {"name": "boss", "role": "admin", "customer": f"acme-{uuid.uuid4().hex[:8]}"}
    key = api.post("/v1/keys", json=body).json()["key"]
    with caxton_server.client(workspace, key=key) as stranger:
        assert listed(stranger) == []
        for path in (
            f"/v1/events/{event['event_id']}",
            f"/v1/executions/{turn['execution_id']}/events",
            f"/v1/executions/{turn['execution_id']}/replay",
        ):
            assert stranger.get(path).status_code == 404, path
        for field, value in (
            ("execution", turn["execution_id"]),
            ("conversation", turn["conversation_id"]),
            ("deployment", event["deployment_id"]),
            ("agent", "echo"),
        ):
            assert listed(stranger, **{field: value}) == []
        assert "echo" not in stranger.get("/v1/events/export", params={"everything": "true"}).text
        assert stranger.get("/v1/events/verify").json()["ok"]


@pytest.mark.usefixtures("echo")
@pytest.mark.requirement("EVT-3")
def test_the_tail_shows_events_as_they_are_written_and_goes_on_from_a_cursor(api: httpx.Client) -> None:
    arrived: list[tuple[float, str, dict[str, Any]]] = []
    ready = threading.Event()

    def follow(limit: int, cursor: str | None) -> None:
        params = {"type": ["execution_triggered", "execution_completed"], **({"cursor": cursor} if cursor else {})}
        with api.stream("GET", "/v1/events/tail", params=params) as lines:
            identity = ""
            for line in lines.iter_lines():
                ready.set()
                if line.startswith("id: "):
                    identity = line[4:]
                elif line.startswith("data: "):
                    arrived.append((time.monotonic(), identity, json.loads(line[6:])))
                    if len(arrived) >= limit:
                        return

    follower = threading.Thread(target=follow, args=(4, None))
    follower.start()
    assert ready.wait(10)
    first = ask(api, "echo")
    second = ask(api, "echo")
    answered = time.monotonic()
    follower.join(10)
    assert not follower.is_alive()
    assert arrived[-1][0] - answered < 5
    ids = [data["execution_id"] for _, _, data in arrived]
    assert ids == [first["execution_id"]] * 2 + [second["execution_id"]] * 2
    cursor = arrived[1][1]
    del arrived[:]
    follow(2, cursor)
    assert [data["execution_id"] for _, _, data in arrived] == [second["execution_id"]] * 2


@pytest.mark.requirement("SEC-2")
@pytest.mark.usefixtures("echo")
def test_an_export_is_told_although_its_client_does_not_take_all_of_it(
    caxton_server: RunningServer, api: httpx.Client, workspace: str
) -> None:
    lines = "\n".join(json.dumps({"agent": "echo", "content": "x" * 500}) for _ in range(500))
    batch = {"Content-Type": "application/x-ndjson"}
    api.post("/v1/messages/batch", content=lines, headers=batch).raise_for_status()
    port = urlsplit(caxton_server.url).port
    assert port
    with RawConnection(port) as connection:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        authorization = f"Authorization: Bearer {caxton_server.api_key}\r\nX-Caxton-Workspace: {workspace}\r\n"
        head = f"GET /v1/events/export HTTP/1.1\r\nHost: 127.0.0.1\r\n{authorization}\r\n"
        connection.send(head.encode())
        taken = b""
        while b'"sequence"' not in taken:
            taken += connection.socket.recv(4096)
    told = listed(api, type="events_exported")
    assert told
    assert all(event["payload"]["first_sequence"] is not None for event in told)
    assert told[0]["payload"]["count"] > 100


@pytest.mark.requirement("EVT-7")
@pytest.mark.usefixtures("echo")
def test_the_log_verifies_and_an_export_can_be_checked_without_the_server(
    caxton_server: RunningServer, api: httpx.Client, deploy: Deploy, tmp_path: Path
) -> None:
    body = {"name": "boss", "role": "admin", "customer": f"acme-{uuid.uuid4().hex[:8]}"}
    key = api.post("/v1/keys", json=body).json()["key"]
    with caxton_server.client("books", key=key) as books:
        from tests.support.deploying import deploy_files

        deploy_files(books, tmp_path / "books", agent("echo", rules=replies("{{ request }}")))
        for _ in range(5):
            ask(books, "echo")
        found = books.get("/v1/events/verify").json()
        assert found["ok"], found
        assert found["checked"] == found["head_sequence"]
        assert found["violations"] == []
        place = f"{found['head_sequence']}:{found['head_hash']}"
        assert books.get("/v1/events/verify", params={"expect": place}).json()["ok"]
        forged = f"{found['head_sequence']}:{'0' * 64}"
        denied = books.get("/v1/events/verify", params={"expect": forged}).json()
        assert not denied["ok"]
        assert "rewritten" in denied["problem"]
        text = books.get("/v1/events/export", params={"everything": "true"}).text
        lines = [json.loads(line) for line in text.splitlines()]
        assert [line["sequence"] for line in lines] == list(range(1, len(lines) + 1))
        assert len(lines) >= found["head_sequence"] + 3  # looking into the log is told as well
        told = listed(books, type="events_exported")
        assert told[0]["payload"]["count"] == len(lines)
        few = books.get("/v1/events/export", params={"type": "execution_completed"}).text.splitlines()
        assert len(few) == 5
    events = [Event.model_validate(line) for line in lines]
    assert _problem(events) is None
    for change in (
        {"actor": "somebody else"},
        {"payload": {**events[3].payload, "amount": 1}},
        {"timestamp": events[3].timestamp + timedelta(microseconds=1)},
        {"hash": "f" * 64},
        {"workspace": "another"},
        {"error_code": "none"},
    ):
        forged_events = [*events]
        forged_events[3] = events[3].model_copy(update=change)
        assert _problem(forged_events) is not None, change
    assert "is missing" in (_problem(events[:4] + events[5:]) or "")
    assert _problem([*events[:3], events[4], events[3], *events[5:]]) is not None


def _problem(events: list[Event]) -> str | None:
    check = ChainCheck()
    for event in events:
        check.read(event)
    check.end(None)
    return check.problem


def test_reading_and_taking_copies_need_the_right_role(
    api: httpx.Client, caxton_server: RunningServer, workspace: str
) -> None:
    key = api.post("/v1/keys", json={"name": "eyes", "role": "viewer"}).json()["key"]
    with caxton_server.client(workspace, key=key) as viewer:
        assert viewer.get("/v1/events").status_code == 200
        assert viewer.get("/v1/events/export").status_code == 403
        assert viewer.get("/v1/events/verify").status_code == 403
        assert viewer.post("/v1/messages", json={"capability": "x", "content": "x"}).status_code == 403
    refused = listed(api, type="change_refused")
    assert [event["payload"]["operation"] for event in refused] == [
        "GET /v1/events/export",
        "GET /v1/events/verify",
        "POST /v1/messages",
    ]
    assert {event["actor"] for event in refused} == {"operator:eyes"}
