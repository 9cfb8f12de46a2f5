"""`kill -9` while a slow turn of a conversation has been handed over to its workflow, and others wait behind it."""

import time
from pathlib import Path

import httpx
import pytest

from tests.api.test_conversation_order import mixed, send, texts
from tests.api.test_conversations import say, start
from tests.conftest import running_server, start_server, stop_server
from tests.e2e.test_durability import kill_engine, kill_server
from tests.support.deploying import deploy_files

SENT = ["quick 0", "slow 1", "quick 2", "slow 3", "quick 4"]


def wait_for(api: httpx.Client, execution: str) -> None:
    """Until it has begun."""
    deadline = time.monotonic() + 20
    while api.get(f"/v1/executions/{execution}").status_code != 200 and time.monotonic() < deadline:
        time.sleep(0.02)


@pytest.mark.requirement("SRV-5")
@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("kill", [kill_server, kill_engine])
def test_what_was_handed_over_is_answered_once_and_in_order(kill, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    process, server = start_server(data_dir)
    try:
        with server.client() as api:
            deploy_files(api, tmp_path / "workspace", mixed())
            conversation = start(api, capability="mixed")
            sent = [send(api, conversation, text).json()["execution_id"] for text in SENT]
            wait_for(api, sent[1])
        process = kill(process, data_dir)
        with running_server(data_dir).client() as api:
            last = say(api, conversation, "quick 5").json()["reply"]["content"]["text"]
            assert last == "10 before: quick 5"
            said = [*SENT, "quick 5"]
            expected = [each for n, text in enumerate(said) for each in (text, f"{2 * n} before: {text}")]
            assert texts(api, conversation, 12) == expected
            assert say(api, conversation, "quick 6").json()["reply"]["content"]["text"] == "12 before: quick 6"
            ended = api.post(f"/v1/conversations/{conversation}/end", json={})
            assert ended.json()["state"] == "Completed"
    finally:
        if process.poll() is None:
            stop_server(process)
