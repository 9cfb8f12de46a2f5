"""A front end comes back to its run, although the server was killed in the middle of it."""

import json
import os
import signal
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import start_server, stop_server
from tests.support import stand_in
from tests.support.agui import check_order, frames, run_input, text_of, user
from tests.support.deploying import deploy_files
from tests.support.ports import free_port
from tests.support.stand_in import Answer, Remote


@pytest.mark.slow
@pytest.mark.requirement("FAC-7")
def test_a_run_goes_on_after_the_server_was_killed(tmp_path: Path) -> None:
    port = free_port()
    with stand_in.running() as url, httpx.Client(base_url=url, trust_env=False, timeout=30) as service:
        model = Remote(service)
        environment = stand_in.as_provider(int(url.rpartition(":")[2]))
        process, server = start_server(tmp_path / "data", "--port", str(port), env=environment)
        try:
            with server.client() as api:
                text = f'name = "thinker"\nversion = "1.0.0"\ncapabilities = ["think"]\nmodel = "{model.model}"\n'
                deploy_files(api, tmp_path / "workspace", {"agents/thinker.toml": text})
                model.answer(Answer(text="one two three four", chunks=4, took=20), Answer(text="Four words."))
                body = run_input(uuid.uuid4().hex, user("Count"))
                last, seen = _until_text(api, body)
            os.kill(server.pid, signal.SIGKILL)
            process.wait(30)
            process, server = start_server(tmp_path / "data", "--port", str(port), env=environment)
            with server.client() as api:
                rest = [event for _, event in frames(api, "think", body, last)]
                whole = [*seen, *rest]
                check_order(whole)
                assert whole[-1]["outcome"] == {"type": "success"}
                assert text_of(rest) == "Four words."
                again = [event for _, event in frames(api, "think", body)]
                check_order(again)
                assert text_of(again) == "Four words."
        finally:
            stop_server(process)


def _until_text(api: httpx.Client, body: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """The events of a run up to its first text, and the id of the last one."""
    seen: list[dict[str, Any]] = []
    identity = ""
    with api.stream("POST", "/v1/agui/think", json=body) as response:
        for line in response.iter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                identity = value
            elif name == "data":
                seen.append(json.loads(value))
                if seen[-1]["type"] == "TEXT_MESSAGE_CONTENT":
                    return identity, seen
    raise AssertionError(seen)
