"""Circuit breakers hold in every process, on every path of a message, and over a kill."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.test_breakers import ask, breakers, fragile, open_it, state
from tests.conftest import start_server, stop_server
from tests.support.agents import agent, replies
from tests.support.apart import Apart, on_a_temporal_service
from tests.support.deploying import deploy_files
from tests.support.postgres import Postgres
from tests.support.provider import Said, running_provider
from tests.support.waiting import until

ALWAYS = {"CAXTON_SERVER__FAST_PATH": "always"}


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


@pytest.mark.requirement("RTE-5")
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_fast_path_refuses_too_and_a_killed_server_comes_back_with_the_breaker_open(tmp_path: Path) -> None:
    process, server = start_server(tmp_path / "data", env=ALWAYS)
    try:
        with server.client() as api:
            files = {
                **fragile(breaker='failures = 3\nopen_for = "10m"\nlongest = "10m"'),
                **agent("steady", rules=replies("steadily")),
            }
            deploy_files(api, tmp_path / "workspace", files)
            until(lambda: ask(api, "steady", "x").is_success and _accepted_by_the_worker(api), 60)
            open_it(api)
            # Many at a time, so that the process that accepts them has batches of them.
            with ThreadPoolExecutor(8) as pool:
                answers = list(pool.map(lambda _: ask(api, "fragile", "good"), range(60)))
            assert {answer.json()["code"] for answer in answers} == {"circuit_breaker_open"}
            assert ask(api, "steady", "x").is_success
        kill(process.pid)
        process.wait()
        process, server = start_server(tmp_path / "data", env=ALWAYS)
        with server.client() as api:
            assert state(api) == "Open"
            refused = ask(api, "fragile", "good")
            assert refused.json()["code"] == "circuit_breaker_open"
            assert 0 < refused.json()["retry_after"] < 600
            assert api.post("/v1/breakers/agent/fragile/reset").is_success
            assert ask(api, "fragile", "good").is_success
            until(lambda: "agent fragile" not in breakers(api))
            assert api.get("/v1/events/verify").json()["ok"]
    finally:
        stop_server(process)


def _accepted_by_the_worker(api: httpx.Client) -> bool:
    return 'caxton_batches_accepted_total{where="worker"}' in api.get("/metrics").text


@pytest.mark.requirement("RTE-5")
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_model_provider_that_is_down_is_not_asked_for_a_while_and_the_next_model_answers(tmp_path: Path) -> None:
    down = True

    def says(_body: dict[str, Any]) -> Said:
        return Said(status=503) if down else Said("the real one")

    with running_provider(says) as provider:
        settings = {
            **provider.env,
            "CAXTON_BREAKER__FAILURES": "3",
            "CAXTON_BREAKER__OPEN_FOR": "2s",
            "CAXTON_BREAKER__LONGEST": "2s",
        }
        process, server = start_server(tmp_path / "data", env=settings)
        try:
            with server.client() as api:
                files = agent("clerk", rules=replies("by the script"))
                files["agents/clerk.toml"] = str(files["agents/clerk.toml"]).replace(
                    'model = "scripted"', 'model = ["mock:m", "scripted"]'
                )
                deploy_files(api, tmp_path / "workspace", files)
                for _ in range(3):
                    assert ask(api, "clerk", "x").json()["reply"]["content"]["text"] == "by the script"
                until(lambda: state(api, "model mock") == "Open")
                asked = len(provider.asked)
                reply = ask(api, "clerk", "x").json()["reply"]
                assert reply["content"]["text"] == "by the script"
                if len(provider.asked) == asked:  # unless this one was slow enough to be the try
                    assert reply["metadata"]["fallback_from"][0]["code"] == "model_breaker_open"
                down = False
                until(lambda: ask(api, "clerk", "x").json()["reply"]["content"]["text"] == "the real one", 60)
                until(lambda: "model mock" not in breakers(api))
        finally:
            stop_server(process)


@pytest.fixture
def apart(postgres: Postgres, tmp_path: Path) -> Iterator[Apart]:
    """A Temporal service and a PostgreSQL."""
    with on_a_temporal_service(tmp_path, postgres.new_store()) as found:
        yield found


@pytest.mark.requirement("RTE-5")
@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_two_workers_on_postgresql_share_a_breaker(apart: Apart) -> None:
    await apart.engine.wait_until_ready()
    down = True

    def says(_body: dict[str, Any]) -> Said:
        return Said(status=503) if down else Said("it works")

    with running_provider(says) as provider:
        apart.more = {**provider.env, "CAXTON_BREAKER__FAILURES": "6", "CAXTON_BREAKER__OPEN_FOR": "3s"}
        apart.more["CAXTON_BREAKER__LONGEST"] = "3s"
        apart.start("api", "--port", str(apart.port))
        apart.start("worker")
        apart.start("worker")
        server = apart.wait_until_ready()
        with server.client() as api:
            files = {
                "agents/clerk.toml": 'name = "clerk"\nversion = "1.0.0"\ncapabilities = ["clerk"]\nmodel = "mock:m"\n'
                "[breaker]\nenabled = false\n"
            }
            deploy_files(api, apart.folder / "workspace", files)
            with ThreadPoolExecutor(8) as pool:
                turns = [pool.submit(ask, api, "clerk", "x") for _ in range(8)]
                until(lambda: state(api, "model mock") == "Open", 90)
                down = False
                # Nobody's turn is lost: all wait for the one that tries, in whichever worker, and are answered then.
                answers = [turn.result(timeout=200) for turn in turns]
            said = [answer.json()["reply"]["content"]["text"] for answer in answers if answer.is_success]
            assert said
            assert set(said) == {"it works"}
            until(lambda: "model mock" not in breakers(api), 60)
            told = api.get("/v1/events", params={"type": "circuit_breaker_opened"}).json()["events"]
            assert told[-1]["payload"]["failures"] >= 6
            assert api.get("/v1/events/verify").json()["ok"]
