"""What a read tells is of one moment: under load, no replay and no verification finds a difference that is not there."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import httpx
import pytest

from tests.conftest import RunningServer, start_server, stop_server
from tests.support.agents import agent, hands_over, replies
from tests.support.deploying import deploy_files
from tests.support.postgres import Postgres

AGENTS: dict[str, str | bytes] = {
    **agent("front", rules=hands_over("middle"), more='delegates = ["middle"]\n'),
    **agent("middle", rules=hands_over("back"), more='delegates = ["back"]\n'),
    **agent("back", rules=replies("{{ request }}")),
}
SECONDS = 5


@pytest.fixture(params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunningServer]:
    env: dict[str, str] = {}
    if request.param == "postgresql":
        database: Postgres = request.getfixturevalue("postgres")
        env["CAXTON_STORE__URL"] = database.new_store()
    process, running = start_server(tmp_path / "data", env=env)
    with running.client() as api:
        deploy_files(api, tmp_path / "w", AGENTS)
    yield running
    stop_server(process)


@pytest.mark.requirement("EVT-2")
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_under_load_no_replay_differs_and_the_log_verifies(server: RunningServer) -> None:
    ended, running = Event(), list[str]()

    def ask() -> int:
        with server.client() as api:
            count = 0
            while not ended.is_set():
                sent = api.post("/v1/messages", json={"capability": "front", "content": "x"}, params={"wait": "false"})
                assert sent.status_code in (200, 202), sent.text
                running.append(sent.json()["execution_id"])
                count += 1
                if count % 5 == 0:
                    api.post("/v1/messages", json={"capability": "front", "content": "x"})
            return count

    def look() -> tuple[int, int]:
        looked = at_work = 0
        with server.client() as api:
            while not ended.is_set():
                for execution in running[-4:]:
                    replay = api.get(f"/v1/executions/{execution}/replay")
                    if replay.status_code == 404:  # it waits to begin
                        continue
                    found = replay.json()
                    assert replay.status_code == 200, replay.text
                    assert found["differences"] == [], found["differences"]
                    at_work += any(each["state"] == "Running" for each in found["executions"])
                    looked += 1
                verify(api)
        return looked, at_work

    with ThreadPoolExecutor(8) as pool:
        asking, looking = (
            [pool.submit(ask) for _ in range(4)],
            [pool.submit(look) for _ in range(2)],
        )  # so many verify at once
        until = time.monotonic() + SECONDS
        while time.monotonic() < until and not any(each.done() for each in [*asking, *looking]):
            time.sleep(0.1)
        ended.set()
        assert sum(each.result() for each in asking) > 20
        looked, at_work = map(sum, zip(*(each.result() for each in looking), strict=True))
    assert looked > 30
    assert at_work > 0, "nothing was looked at while it was at work"


def verify(api: httpx.Client) -> None:
    found = api.get("/v1/events/verify").json()
    assert found["ok"], found
