"""`kill -9` while an agent that is a component works: what it keeps counts each message once."""

from pathlib import Path

import pytest

from tests.api.test_conversations import say, send, start
from tests.conftest import running_server, start_server, stop_server
from tests.e2e.test_conversations_under_kills import wait_for
from tests.e2e.test_durability import kill_engine, kill_server
from tests.support.agents import agent, replies
from tests.support.deploying import deploy_files
from tests.support.wasm_agents import wasm_agent

MESSAGES = 5


@pytest.mark.requirement("AGT-7", "SRV-5")
@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("kill", [kill_server, kill_engine])
def test_each_step_of_each_message_counts_once(kill, tmp_path: Path) -> None:
    """Each message counts, asks another agent, which takes its time, and counts again."""
    data_dir = tmp_path / "data"
    process, server = start_server(data_dir)
    files = {**wasm_agent(more='delegates = ["slow"]'), **agent("slow", rules=replies("done", delay=0.3))}
    try:
        with server.client() as api:
            deploy_files(api, tmp_path / "workspace", files)
            conversation = start(api, capability="clerk")
            sent = [send(api, conversation, "count-and-ask slow").json()["execution_id"] for _ in range(MESSAGES)]
            wait_for(api, sent[1])
        process = kill(process, data_dir)
        with running_server(data_dir).client() as api:
            last = say(api, conversation, "count").json()["reply"]["content"]["text"]
            assert last == str(2 * MESSAGES + 1)
            said = api.get(f"/v1/conversations/{conversation}/messages").json()["messages"]
            counted = [each["content"]["text"] for each in said if each["type"] == "Response"]
            assert counted == [str(2 * n) for n in range(1, MESSAGES + 1)] + [last]
    finally:
        if process.poll() is None:
            stop_server(process)
