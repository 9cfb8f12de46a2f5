"""Schedules: each due time is one request, accepted like any other, in the order of their times."""

import itertools
import time
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.conftest import Deploy
from tests.conftest import RunningServer, start_server, stop_server
from tests.support.agents import agent, replies
from tests.support.deploying import deploy_files, deploy_folder, write_files
from tests.support.waiting import until

RUN = "schedule_run_begun"


def scheduled(
    name: str = "clock", *, delay: float = 0, more: str = "", interval: str | None = "1s", script: str | None = None
) -> dict[str, str | bytes]:
    """An agent with one schedule, "tick"."""
    when = f'interval = "{interval}"\n' if interval else ""
    table = f'\n[[schedules]]\nname = "tick"\n{when}content = "due {{{{ schedule.due_at }}}}"\n{more}'
    return agent(name, rules=script or replies("done: {{ request }}", delay=delay), more=table)


def events(api: httpx.Client, kind: str, **params: Any) -> list[dict[str, Any]]:
    return api.get("/v1/events", params={"type": kind, "limit": 500, **params}).raise_for_status().json()["events"]


def tick(api: httpx.Client, name: str = "clock") -> dict[str, Any]:
    return api.get(f"/v1/schedules/{name}/tick").raise_for_status().json()


def pause(api: httpx.Client, name: str = "clock") -> None:
    """Pauses, and waits until nothing of the schedule is at work."""
    api.post(f"/v1/schedules/{name}/tick/pause", json={"reason": "enough"}).raise_for_status()


def ended(api: httpx.Client, runs: list[dict[str, Any]]) -> bool:
    ids = [run["execution_id"] for run in runs if run["state"] == "begun"]
    return all(api.get(f"/v1/executions/{each}").json()["state"] != "running" for each in ids)


@pytest.mark.requirement("AGT-9")
def test_each_due_time_is_asked_once_and_told(api: httpx.Client, deploy: Deploy) -> None:
    deploy(scheduled())
    until(lambda: len(events(api, RUN)) >= 3)
    pause(api)
    time.sleep(1.5)  # one that was due at that moment has begun by then
    found = tick(api)
    until(lambda: ended(api, found["runs"]))
    assert (found["timing"], found["overlap"], found["paused"], found["reason"]) == (
        "every 1 s",
        "skip",
        True,
        "enough",
    )
    runs = found["runs"]
    due = [datetime.fromisoformat(run["due_at"]) for run in reversed(runs)]
    assert [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(due)] == [1.0] * (len(due) - 1)
    begun = [run for run in runs if run["state"] == "begun"]  # others found the one before still at work
    assert begun
    for run in begun:
        turn = api.get(f"/v1/executions/{run['execution_id']}").json()
        assert turn["state"] == "completed", turn
        at = datetime.fromisoformat(run["due_at"]).isoformat(timespec="seconds")
        assert turn["reply"]["content"]["text"] == f"done: due {at}"
        told = api.get(f"/v1/executions/{run['execution_id']}/events").json()["events"]
        kinds = Counter(event["event_type"] for event in told)
        assert kinds["execution_completed"] == kinds[RUN] == 1
        assert {event["channel_type"] for event in told} <= {"schedule", None}
    assert len(events(api, RUN)) == len(begun)
    time.sleep(2)
    assert len(tick(api)["runs"]) == len(runs), "it is paused"
    assert [event["payload"]["reason"] for event in events(api, "schedule_paused")] == ["enough"]
    again = api.post("/v1/schedules/clock/tick/pause")
    assert (again.status_code, again.json()["code"]) == (409, "invalid_state")
    api.post("/v1/schedules/clock/tick/resume", json={}).raise_for_status()
    until(lambda: len(events(api, RUN)) > len(begun))
    pause(api)


@pytest.mark.requirement("AGT-9")
def test_a_due_time_is_left_out_while_an_earlier_run_is_at_work(api: httpx.Client, deploy: Deploy) -> None:
    deploy(scheduled(delay=2.5))
    until(lambda: len(events(api, "schedule_run_skipped")) >= 3 and len(events(api, RUN)) >= 2)
    pause(api)
    runs = tick(api)["runs"]
    until(lambda: ended(api, runs))
    at_work = {run["execution_id"] for run in runs if run["state"] == "begun"}
    for run in runs:
        if run["state"] == "skipped" and run["reason"] != "paused":
            assert (run["reason"], run["execution_id"] in at_work) == ("overlap", True)
    due = [datetime.fromisoformat(run["due_at"]) for run in reversed(runs) if run["state"] == "begun"]
    assert all((later - earlier).total_seconds() >= 2 for earlier, later in itertools.pairwise(due))


@pytest.mark.requirement("AGT-9")
def test_a_due_time_waits_for_the_earlier_run_in_order(api: httpx.Client, deploy: Deploy) -> None:
    deploy(scheduled(delay=1.6, more='overlap = "buffer"\n'))
    until(lambda: len(events(api, RUN)) >= 4, 40)
    pause(api)
    begun = events(api, RUN, order="oldest")
    due = [event["payload"]["due_at"] for event in begun]
    assert due == sorted(due)
    first = datetime.fromisoformat(due[0])
    assert [datetime.fromisoformat(each) - first for each in due] == [timedelta(seconds=n) for n in range(len(due))]
    started = [datetime.fromisoformat(event["timestamp"]) for event in begun]
    waited = [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(started)]
    assert all(1.5 < each < 8 for each in waited), waited
    assert {event["payload"]["reason"] for event in events(api, "schedule_run_skipped")} <= {"paused"}


@pytest.mark.requirement("AGT-9")
def test_a_due_time_cancels_the_earlier_run(api: httpx.Client, deploy: Deploy) -> None:
    deploy(scheduled(delay=30, interval="2s", more='overlap = "cancel"\n'))
    until(lambda: len(events(api, RUN)) >= 3, 40)
    pause(api)
    *_, last = runs = [run for run in reversed(tick(api)["runs"]) if run["state"] == "begun"]
    until(lambda: ended(api, runs[:-1]))
    for run in runs[:-1]:
        turn = api.get(f"/v1/executions/{run['execution_id']}").json()
        assert (turn["state"], turn["error"]["code"]) == ("failed", "execution_cancelled")
    api.post(f"/v1/executions/{last['execution_id']}/cancel").raise_for_status()


@pytest.mark.requirement("AGT-9")
def test_schedules_are_deployed_and_rolled_back_with_their_agent(
    api: httpx.Client, deploy: Deploy, caxton_server: RunningServer
) -> None:
    morning = 'cron = "0 7 * * mon-fri"\ntime_zone = "Europe/Berlin"\njitter = "5m"\ncatch_up = "2h"\n'
    deploy(scheduled(interval=None, more=morning))
    before = tick(api)
    assert (before["cron"], before["time_zone"], before["jitter"], before["catch_up"]) == (
        "0 7 * * mon-fri",
        "Europe/Berlin",
        300.0,
        7200.0,
    )
    assert len(before["next"]) == 10
    for moment in before["next"]:
        assert datetime.fromisoformat(moment).hour in (5, 6)
        assert datetime.fromisoformat(moment).weekday() < 5

    changed = deploy(scheduled(interval="1h", more="paused = true\n"))
    found = tick(api)
    assert (found["interval"], found["paused"], found["next"]) == (3600.0, True, [])
    api.post(f"/v1/deployments/{changed['id']}/rollback").raise_for_status()
    assert tick(api) == {**before, "next": tick(api)["next"]}

    gone = deploy(agent("clock", rules=replies("x")), prune=True)
    assert api.get("/v1/schedules").json()["schedules"] == []
    answer = api.get("/v1/schedules/clock/tick")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    api.post(f"/v1/deployments/{gone['id']}/rollback").raise_for_status()
    assert tick(api)["next"]
    kinds = Counter(event["event_type"] for event in events(api, "schedule_deployed") + events(api, "schedule_removed"))
    assert kinds == {"schedule_deployed": 4, "schedule_removed": 1}
    # One that an operator has paused stays so when the rest of its agent changes.
    pause(api)
    deploy(scheduled(interval=None, more=morning, script=replies("other")))
    assert tick(api)["paused"]
    with caxton_server.client(f"other-{uuid.uuid4().hex[:6]}") as elsewhere:
        assert elsewhere.get("/v1/schedules/clock/tick").status_code == 404
        assert elsewhere.get("/v1/schedules").json()["schedules"] == []


@pytest.mark.requirement("AGT-9")
def test_a_run_by_hand_goes_beside_the_clock(api: httpx.Client, deploy: Deploy) -> None:
    deploy(scheduled(interval="1h", more="paused = true\n"))
    path = "/v1/schedules/clock/tick/trigger"
    key = {"Idempotency-Key": "today"}
    first = api.post(path, params={"wait": True}, headers=key)
    assert first.status_code == 200
    assert first.json()["reply"]["content"]["text"].startswith("done: due 20")
    assert api.post(path, params={"wait": True}, headers=key).json()["execution_id"] == first.json()["execution_id"]
    other = api.post(path)
    assert other.status_code in (200, 202)
    assert other.json()["execution_id"] != first.json()["execution_id"]
    runs = tick(api)["runs"]
    assert [(run["cause"], run["by"]) for run in runs] == [("hand", "founder:admin")] * 2
    assert api.post("/v1/schedules/clock/tack/trigger").json()["details"] == {"agent": "clock", "schedule": "tack"}


@pytest.mark.requirement("AGT-9")
@pytest.mark.parametrize("jitter", ["", 'jitter = "2s"\n'])
def test_due_times_of_the_past_are_run_once(api: httpx.Client, deploy: Deploy, jitter: str) -> None:
    deploy(scheduled(interval="1h", delay=0.3, more="paused = true\n" + jitter))
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(minutes=30)
    body = {"start": (end - timedelta(hours=5)).isoformat(), "end": end.isoformat()}
    path = "/v1/schedules/clock/tick/backfill"
    asked = api.post(path, json=body)
    assert (asked.status_code, asked.json()["due"], asked.json()["known"]) == (202, 5, 0)
    until(lambda: len(tick(api)["runs"]) == 5)
    assert {run["cause"] for run in tick(api)["runs"]} == {"backfill"}
    until(lambda: ended(api, tick(api)["runs"]))
    wider = {**body, "start": (end - timedelta(hours=7)).isoformat()}
    again = api.post(path, json=wider).json()
    assert (again["due"], again["known"]) == (7, 5)
    until(lambda: len(tick(api)["runs"]) == 7)
    due = [run["due_at"] for run in tick(api)["runs"]]
    assert len(set(due)) == len(events(api, "execution_triggered")) == 7
    for wrong in (
        {"start": body["end"], "end": body["start"]},
        {"start": body["start"], "end": (end + timedelta(days=1)).isoformat()},
        {"start": (end + timedelta(minutes=1)).isoformat(), "end": (end + timedelta(minutes=2)).isoformat()},
        {"start": "2020-01-01T00:00:00Z", "end": body["end"]},
    ):
        assert api.post(path, json=wrong).status_code == 400, wrong
    assert len(events(api, "schedule_backfilled")) == 2


@pytest.mark.requirement("AGT-9")
def test_a_run_that_nobody_can_do_is_told(api: httpx.Client, deploy: Deploy) -> None:
    deploy(scheduled())
    api.post("/v1/agents/clock/stop", json={"grace": 0}).raise_for_status()
    failed = until(lambda: events(api, "schedule_run_failed"))[0]
    pause(api)
    assert (failed["payload"]["reason"], failed["error_code"]) == ("all_agents_unavailable", "all_agents_unavailable")
    run = next(each for each in tick(api)["runs"] if each["state"] == "failed")
    assert (run["reason"], run["execution_id"]) == ("all_agents_unavailable", None)


@pytest.mark.requirement("SEC-3")
def test_a_customer_is_asked_by_the_clock_only_so_often(tmp_path: Path) -> None:
    process, server = start_server(tmp_path / "data", env={"CAXTON_LIMITS__SCHEDULED_PER_SECOND": "2.5"})
    try:
        with server.client("here") as here, server.client("there") as there:
            deploy_files(here, tmp_path / "two", {**scheduled("a"), **scheduled("b")})
            refused = deploy_folder(there, write_files(tmp_path / "more", scheduled("c")))
            assert refused.status_code == 422, refused.text
            (problem,) = refused.json()["details"]["problems"]
            assert "are due 3 times a second, and 2.5 are allowed" in problem["message"]
            assert problem["file"] == "agents/c.toml"
            deploy_files(there, tmp_path / "slow", scheduled("c", interval="10s"))
            deploy_files(there, tmp_path / "none", agent("plain", rules=replies("x")))
            body = {"name": "boss", "role": "admin", "customer": "another"}
            with server.client("here", key=here.post("/v1/keys", json=body).json()["key"]) as another:
                deploy_files(another, tmp_path / "another", {**scheduled("a"), **scheduled("b")})
    finally:
        stop_server(process)
