"""Interrupted and replaced turns, with a server that is killed in between: each message has one answer."""

import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.test_when_busy import begin_slow, code_of, workers, write
from tests.conftest import start_server, stop_server
from tests.support.deploying import deploy_files


@pytest.mark.slow
@pytest.mark.requirement("MSG-10")
def test_each_message_has_one_answer_when_the_server_is_killed_in_between(tmp_path: Path) -> None:
    process, server = start_server(tmp_path / "data")
    with server.client() as api:
        deploy_files(api, tmp_path / "w", workers())
    try:
        for round_number in range(6):
            how = ("interrupt", "replace")[round_number % 2]
            with server.client() as api:
                conversation = api.post("/v1/conversations", json={"capability": "mixed"}).json()["id"]
                slow = begin_slow(api, conversation)
                accepted = write(api, conversation, "quick", how, params={"wait": "false"})
                assert accepted.status_code == 202
                quick = accepted.json()["execution_id"]
                time.sleep(0.02 * round_number)
            process.kill()
            process.wait()
            process, server = start_server(tmp_path / "data")
            with server.client() as api:
                answered = wait_for(api, quick)
                before = 1 if how == "interrupt" else 0
                assert answered["reply"]["content"]["text"] == f"{before} before: quick"
                assert code_of(api, slow) == ("execution_interrupted" if before else "execution_replaced")
                for execution, ends in ((slow, "execution_failed"), (quick, "execution_completed")):
                    assert ends_of(api, execution) == [ends]
    finally:
        stop_server(process)


def ends_of(api: httpx.Client, execution: str) -> list[str]:
    """How often an execution ended, not counting those of its delegates."""
    events = api.get(f"/v1/executions/{execution}/events").json()["events"]
    ends = ("execution_completed", "execution_failed")
    return [each["event_type"] for each in events if each["execution_id"] == execution and each["event_type"] in ends]


def wait_for(api: httpx.Client, execution: str) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    while (turn := api.get(f"/v1/executions/{execution}").json())["state"] == "running":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return turn
