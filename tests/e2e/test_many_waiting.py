"""Much that waits for long: for people, or for a slow model. It starves nobody, and is not given up."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest

from caxton.domain.ids import Scope
from caxton.runtime.fast_path_ports import build_fast_path_ports
from caxton.runtime.settings import Settings
from caxton.turns.accept import accept
from tests.api.test_approvals import finished, guarded, send
from tests.conftest import RunningServer, start_server, stop_server
from tests.support.agents import agent, replies
from tests.support.deploying import deploy_files
from tests.support.provider import Said, model_agent, running_provider
from tests.support.turns import turn_request

APPROVALS = 150
CALLS = 300

QUICK: dict[str, str | bytes] = {
    **agent("echo", rules=replies("{{ request }}")),
    **agent("slow", rules=replies("{{ request }}", delay=0.1)),
}


@pytest.mark.requirement("GOV-1")
@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_what_waits_for_people_starves_nobody_and_is_not_given_up(
    caxton_server: RunningServer, workspace: str, tmp_path: Path
) -> None:
    with caxton_server.client(workspace) as api:
        deploy_files(api, tmp_path / "w", {**guarded(), **QUICK})
        with ThreadPoolExecutor(8) as pool:
            waiting = list(pool.map(partial(send, api, "teller"), (f"x{n}" for n in range(APPROVALS))))
        deadline = time.monotonic() + 60
        while len(api.get("/v1/approvals", params={"state": "Pending", "limit": 500}).json()["approvals"]) < APPROVALS:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        ports, close = build_fast_path_ports(Settings(data_dir=caxton_server.data_dir))
        try:
            # One more, that nobody is told of; those before it are told again and again meanwhile.
            left = turn_request("slow", "left behind", scope=Scope(workspace=workspace))
            [accepted] = await accept(ports, [left])
            assert accepted.state == "running"
        finally:
            close()
        turn = finished(api, left.execution_id)
        assert turn["reply"]["content"]["text"] == "left behind"
        for capability in ("echo", "slow"):
            answer = api.post("/v1/messages", json={"capability": capability, "content": "x"})
            assert answer.json()["reply"]["content"]["text"] == "x"
        with ThreadPoolExecutor(8) as pool:
            states = list(pool.map(partial(state_of, api), waiting))
        assert states == ["running"] * APPROVALS

        def grant(approval: dict[str, Any]) -> int:
            return api.post(f"/v1/approvals/{approval['id']}/grant", json={"reason": "r"}).status_code

        found = api.get("/v1/approvals", params={"state": "Pending", "limit": 500}).json()["approvals"]
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(grant, found)) == {200}
            texts = list(pool.map(partial(text_of, api), waiting))
        assert all(text.startswith("ok: ") for text in texts)


@pytest.mark.requirement("PRF-4")
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_hundreds_of_slow_calls_hold_up_no_script_and_nobody_is_refused(tmp_path: Path) -> None:
    released = Event()

    def says(_: dict[str, Any]) -> Said:
        released.wait(120)
        return Said("at last")

    with running_provider(says) as provider, running_provider(lambda _: Said("at once")) as another:
        providers = {
            name: {"kind": "ollama", "base_url": each.url} for name, each in (("mock", provider), ("another", another))
        }
        process, server = start_server(tmp_path / "data", env={"CAXTON_MODELS__PROVIDERS": json.dumps(providers)})
        try:
            with server.client() as api:
                other = {path: str(text).replace("mock:", "another:") for path, text in model_agent("other").items()}
                deploy_files(api, tmp_path / "w", {**QUICK, **model_agent("asks"), **other})
                with ThreadPoolExecutor(8) as pool:
                    sent = list(pool.map(partial(send, api, "asks"), (f"x{n}" for n in range(CALLS))))
                deadline = time.monotonic() + 60
                while provider.in_flight < CALLS:
                    assert time.monotonic() < deadline, f"{provider.in_flight} calls in flight"
                    time.sleep(0.05)
                took: list[float] = []
                for number in range(100):
                    began = time.monotonic()
                    answer = api.post("/v1/messages", json={"capability": "echo", "content": f"{number}"})
                    took.append(time.monotonic() - began)
                    assert answer.status_code == 200, answer.text
                    assert answer.json()["reply"]["content"]["text"] == f"{number}"
                assert sorted(took)[50] < 2  # some milliseconds on a quiet machine
                assert (
                    api.post("/v1/messages", json={"capability": "slow", "content": "x"}, timeout=10).status_code == 200
                )
                # Nor does a call to another provider wait for them.
                told = api.post("/v1/messages", json={"capability": "other", "content": "x"}, timeout=10)
                assert told.json()["reply"]["content"]["text"] == "at once"
                assert provider.in_flight
                released.set()
                with ThreadPoolExecutor(8) as pool:
                    texts = list(pool.map(partial(finished_after, api, seconds=60), sent))
                assert texts == ["at last"] * CALLS
                assert len(provider.asked) == CALLS
        finally:
            released.set()
            stop_server(process)


def state_of(api: httpx.Client, execution: str) -> str:
    return api.get(f"/v1/executions/{execution}").json()["state"]


def text_of(api: httpx.Client, execution: str) -> str:
    return finished(api, execution)["reply"]["content"]["text"]


def finished_after(api: httpx.Client, execution: str, seconds: float) -> str:
    deadline = time.monotonic() + seconds
    while (turn := api.get(f"/v1/executions/{execution}").json())["state"] == "running":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return turn["reply"]["content"]["text"]


@pytest.mark.requirement("SRV-5")
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_model_call_begins_again_soon_after_its_server_was_killed(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with running_provider(lambda _: Said("done", delay=4)) as provider:
        process, server = start_server(tmp_path / "data", env=provider.env)
        try:
            with server.client() as api:
                deploy_files(api, tmp_path / "w", model_agent("asks"))
                sent = send(api, "asks")
                conversation = api.post("/v1/conversations", json={"capability": "asks"}).json()["id"]
                path = f"/v1/conversations/{conversation}/messages"
                also = api.post(path, json={"content": "x"}, params={"wait": "false"}).json()["execution_id"]
            while len(provider.asked) < 2:
                time.sleep(0.02)
            process.kill()
            process.wait()
            process, server = start_server(tmp_path / "data", env=provider.env)
            ready = time.monotonic()
            while len(provider.asked) < 4:
                assert time.monotonic() - ready < 12, "it is not begun again"  # the heartbeat's time-out is 15
                time.sleep(0.02)
            took = max(moment for moment, _ in provider.asked[2:]) - ready
            record_property("begun again after the server was ready", round(took, 2))
            print(f"begun again {took:.2f} s after the server was ready")
            with server.client() as api:
                for execution in (sent, also):
                    assert finished_after(api, execution, 60) == "done"
                    assert api.get(f"/v1/executions/{execution}/replay").json()["differences"] == []
            assert len(provider.asked) == 4
        finally:
            stop_server(process)
