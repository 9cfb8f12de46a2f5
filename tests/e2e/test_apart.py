"""API and worker as processes of their own, against a Temporal service: the same parts, and the same promises."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.test_schedules import RUN, events, pause, scheduled
from tests.api.test_triggers import github, triggered
from tests.conftest import HOOK_SECRETS, stop_server
from tests.e2e.test_durability import (
    AGENTS,
    Bookings,
    Clients,
    bookings,
    check_answers,
    check_retries,
    grant,
    http_client_tool,
)
from tests.support.agents import agent, replies
from tests.support.apart import Apart, on_a_temporal_service
from tests.support.deploying import deploy_files
from tests.support.ports import free_port
from tests.support.stand_in import Answer, running
from tests.support.stores import new_sqlite_store
from tests.support.streams import Listener, text_of
from tests.support.waiting import until

__all__ = ["bookings"]


@pytest.fixture(params=["sqlite", "postgresql"])
def apart(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Apart]:
    """The Temporal service and a database; tests start what they need."""
    on_sqlite = request.param == "sqlite"
    store = new_sqlite_store(tmp_path / "caxton.db") if on_sqlite else request.getfixturevalue("postgres").new_store()
    with on_a_temporal_service(tmp_path, store) as found:
        yield found


@pytest.mark.requirement("MSG-8")
@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_every_request_has_one_answer_although_workers_are_killed(apart: Apart, bookings: Bookings) -> None:
    await apart.engine.wait_until_ready()
    apart.start("api", "--port", str(apart.port))
    worker = apart.start("worker")
    apart.start("worker")
    server = await asyncio.to_thread(apart.wait_until_ready)
    with server.client() as client:
        deploy_files(client, apart.folder / "workspace", {**AGENTS, **http_client_tool(bookings.url)})
        grant(client, bookings.url)
    clients = Clients(bookings)
    clients.url, clients.key = server.url, server.api_key
    asking = asyncio.create_task(clients.run())
    for wanted in (10, 80):
        while len(clients.answers) < wanted and not asking.done():
            await asyncio.sleep(0.005)
        worker.kill()
        worker.wait()
        worker = apart.start("worker")
    await asking
    check_answers(clients, apart.store, bookings)
    await check_retries(clients, server.data_dir)


@pytest.mark.requirement("SRV-3")
def test_a_wrong_temporal_address_is_told_with_what_to_do(tmp_path: Path) -> None:
    environment = {**os.environ, "CAXTON_DATA_DIR": str(tmp_path / "data"), "CAXTON_METRICS_PORT": "0"}
    command = [sys.executable, "-m", "caxton", "worker", "--temporal-address", f"127.0.0.1:{free_port()}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 5
    assert "no Temporal service answers at 127.0.0.1:" in done.stderr
    assert "--temporal-address" in done.stderr


@pytest.mark.requirement("MSG-8")
@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.parametrize("apart", ["sqlite"], indirect=True)
@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_a_step_outlives_more_workers_than_it_has_attempts(apart: Apart, how: str) -> None:
    """A tool call has two attempts, but a worker that goes away is not the tool's failure."""
    await apart.engine.wait_until_ready()
    apart.start("api", "--port", str(apart.port))
    worker = apart.start("worker")
    server = await asyncio.to_thread(apart.wait_until_ready)
    with server.client() as client:
        files = agent("slow", rules=replies("{{ request }}", delay=4))
        deploy_files(client, apart.folder / "workspace", files)
        sent = client.post("/v1/messages", json={"capability": "slow", "content": "x"}, params={"wait": "false"}).json()
        for _ in range(6):  # a model call has five attempts
            await asyncio.sleep(1.0)
            if how == "kill":
                worker.kill()
                worker.wait()
            else:
                await asyncio.to_thread(stop_server, worker)
            worker = apart.start("worker")
            if how == "kill":
                await asyncio.sleep(1.5)
        deadline = time.monotonic() + 120
        turn: dict[str, Any] = {"state": "running"}
        while turn["state"] == "running" and time.monotonic() < deadline:
            turn = client.get(f"/v1/executions/{sent['execution_id']}").json()
            await asyncio.sleep(0.2)
    assert turn["state"] == "completed", turn


@pytest.mark.requirement("MSG-7")
@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.parametrize("apart", ["postgresql"], indirect=True)
async def test_text_reaches_listeners_of_another_process(apart: Apart) -> None:
    """And the end of a turn wakes who waits for the reply."""
    await apart.engine.wait_until_ready()
    with running(Answer(chunks=20, took=3.0)) as url:
        apart.more = {"CAXTON_MODELS__PROVIDERS": json.dumps({"stand-in": {"base_url": f"{url}/v1"}})}
        apart.start("api", "--port", str(apart.port))
        apart.start("worker")
        server = await asyncio.to_thread(apart.wait_until_ready)
        with server.client() as client:
            definition = 'name = "thinker"\nversion = "1.0.0"\ncapabilities = ["think"]\nmodel = "stand-in:m"\n'
            deploy_files(client, apart.folder / "workspace", {"agents/thinker.toml": definition})
            body = {"capability": "think", "content": "x"}
            turn = client.post("/v1/messages", json=body, params={"wait": "false"}).json()["execution_id"]
            listeners = [Listener(client, turn) for _ in range(3)]
            for listener in listeners:
                events = await asyncio.to_thread(listener.events)
                deltas = [event for event in events if event.kind == "delta"]
                assert text_of(events) == events[-1].data["reply"]["content"]["text"]
                assert len(deltas) > 10
                assert deltas[-1].at - deltas[0].at > 1.5
                assert events[-1].at - deltas[-1].at < 3.0
            waited = client.post("/v1/messages", json=body).json()
            assert waited["state"] == "completed"
            assert httpx.get(f"{url}/stats", trust_env=False).json()["streams"] == 1


@pytest.mark.requirement("OPS-4")
@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.parametrize("apart", ["postgresql"], indirect=True)
async def test_an_api_without_a_worker_says_so_and_what_it_accepts_is_done_later(apart: Apart) -> None:
    await apart.engine.wait_until_ready()
    apart.start("api", "--port", str(apart.port))
    worker = apart.start("worker")
    server = await asyncio.to_thread(apart.wait_until_ready)
    with server.client() as client:
        files = {
            **agent("slow", rules=replies("re: {{ request }}", delay=0.1)),
            **agent("echo", rules=replies("{{ request }}")),
        }
        deploy_files(client, apart.folder / "workspace", files)
        worker.kill()
        worker.wait()
        began = time.monotonic()
        body, key = {"capability": "slow", "content": "x"}, {"Idempotency-Key": "k"}
        told = await asyncio.to_thread(lambda: client.post("/v1/messages", json=body, headers=key))
        took = time.monotonic() - began
        assert (told.status_code, told.json()["code"]) == (503, "no_worker"), told.text
        assert took < 40
        assert told.json()["hints"][0]["command"] == "caxton worker"
        ready = client.get("/ready")
        assert ready.status_code == 503
        assert ready.json()["status"] == "degraded"
        assert ready.json()["components"]["worker"]["status"] == "failed"
        assert "worker" in ready.json()["components"]["worker"]["detail"]
        # What is answered as it is accepted needs none.
        echoed = client.post("/v1/messages", json={"capability": "echo", "content": "x"})
        assert echoed.json()["reply"]["content"]["text"] == "x"
        execution = told.json()["details"]["execution_id"]
        assert client.get(f"/v1/executions/{execution}").json()["state"] == "running"
        apart.start("worker")
        deadline = time.monotonic() + 60
        while (turn := client.get(f"/v1/executions/{execution}").json())["state"] == "running":
            assert time.monotonic() < deadline
            await asyncio.sleep(0.2)
        assert turn["reply"]["content"]["text"] == "re: x"
        again = client.post("/v1/messages", json=body, headers=key).json()
        assert (again["execution_id"], again["state"]) == (execution, "completed")
        await asyncio.to_thread(apart.wait_until_ready)


@pytest.mark.requirement("AGT-9", "AGT-10")
@pytest.mark.slow
def test_clocks_and_webhooks_ask_agents_of_other_processes(apart: Apart) -> None:
    apart.more = {"HOOK_GITHUB": HOOK_SECRETS["HOOK_GITHUB"]}
    apart.start("api", "--port", str(apart.port))
    first, second = apart.start("worker"), apart.start("worker")
    server = apart.wait_until_ready()
    with server.client() as api:
        buffered = scheduled("clock", delay=1.2, more='overlap = "buffer"\ncatch_up = "5m"\n')
        deploy_files(api, apart.folder / "w", {**buffered, **triggered("github", delay=0.2)})
        until(lambda: len(events(api, RUN)) >= 2, 60)
        first.kill()
        path = api.get("/v1/triggers/clerk/orders").json()["path"]
        for number in range(20):
            body = json.dumps({"order": {"number": number}}).encode()
            headers = {"Content-Type": "application/json", **github(body, f"d-{number // 2 * 2}")}
            answer = httpx.post(server.url + path, content=body, headers=headers, timeout=60, trust_env=False)
            assert answer.status_code == 202, answer.text
        until(lambda: len(events(api, RUN)) >= 5, 60)
        pause(api)
        due = [event["payload"]["due_at"] for event in events(api, RUN, order="oldest")]
        assert due == sorted(set(due))
        taken = {event["payload"]["delivery_id"] for event in events(api, "delivery_accepted")}
        assert taken == {f"d-{number}" for number in range(0, 20, 2)}
        until(lambda: len(events(api, "execution_completed")) == len(events(api, "execution_triggered")), 60)
        triggered_once = Counter(event["execution_id"] for event in events(api, "execution_triggered"))
        assert max(triggered_once.values()) == 1
        assert len(triggered_once) == len(due) + len(taken)
    assert second.poll() is None
