"""How much space data takes, and that it is bounded."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.api.conftest import Deploy
from tests.api.test_deletion import eventually
from tests.conftest import RunningServer, start_server, stop_server
from tests.support.agents import agent, replies


@pytest.mark.requirement("EVT-9")
def test_it_is_told_what_takes_how_much(api: httpx.Client, deploy: Deploy, caxton_server: RunningServer) -> None:
    deploy(agent("echo", rules=replies("I heard you")))
    for _ in range(3):
        api.post("/v1/messages", json={"capability": "echo", "content": "hello"}).raise_for_status()
    found = api.get("/v1/storage", params={"tables": "true"}).json()
    assert found["own"]["rows"]["messages"] == 6
    assert found["own"]["rows"]["executions"] == 3
    assert found["own"]["rows"]["events"] > 10
    assert found["own"]["blobs"] > 0
    server = {part["name"]: part for part in found["server"]}
    assert server["data folder"]["bytes"] >= server["engine"]["bytes"] + server["blobs"]["bytes"] > 0
    assert server["database"]["bytes"] > 0
    assert found["tables"]["messages"] > 0
    assert {each["kind"] for each in found["older"]} >= {"messages", "events"}
    key = api.post("/v1/keys", json={"name": "eyes", "role": "viewer"}).json()["key"]
    with caxton_server.client(api.headers["X-Caxton-Workspace"], key=key) as viewer:
        seen = viewer.get("/v1/storage", params={"tables": "true"}).json()
    assert (seen["server"], seen["tables"]) == (None, None)
    assert seen["own"]["rows"]["messages"] == 6


@pytest.mark.slow
@pytest.mark.requirement("EVT-9")
def test_new_work_is_refused_while_the_data_folder_is_too_large(tmp_path: Path) -> None:
    large = tmp_path / "data" / "logs" / "large"
    large.parent.mkdir(parents=True)
    large.write_bytes(b"\0" * (80 << 20))
    process, server = start_server(tmp_path / "data", env={"CAXTON_LIMITS__DATA_SIZE": "64MB"})
    try:
        with server.client("default") as api:
            asked = {"capability": "echo", "content": "hello"}
            eventually(lambda: api.post("/v1/messages", json=asked).status_code == 507)
            refused = api.post("/v1/messages", json=asked).json()
            assert refused["details"]["limit"] == 64 << 20
            assert "caxton storage" in str(refused["hints"])
            large.unlink()
            assert api.get("/v1/storage").json()["limit"] == 64 << 20, "which measures it again"
            assert api.post("/v1/messages", json=asked).json()["code"] == "no_capable_agent"
    finally:
        assert stop_server(process) == 0
    assert "of its limit (limits.data_size)" in (tmp_path / "data" / "serve.log").read_text()


@pytest.mark.requirement("SEC-3")
def test_who_looks_again_and_again_is_told_to_wait(api: httpx.Client) -> None:
    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda _: api.get("/v1/storage"), range(120)))
    codes = {answer.status_code for answer in answers}
    assert codes <= {200, 429}, codes
    assert 200 in codes
    assert api.get("/v1/storage").status_code == 200, "and may look once it has looked"
