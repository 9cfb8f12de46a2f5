"""What version 0.1.0 accepted and had not answered when it was killed, this version answers."""

import json
import sqlite3
import tarfile
import time
from pathlib import Path

import httpx
import pytest

from tests.conftest import start_server, stop_server

ARCHIVE = Path(__file__).parent.parent / "fixtures" / "upgrade" / "data-folder-0.1.0.tar.xz"
"""A data folder of version 0.1.0, whose processes were killed: a conversation with a turn in progress and three
that wait behind it, with variables; a one-shot request in progress; a conversation without any. `facts.json` names them."""


def answered(api: httpx.Client, execution: str) -> str:
    deadline = time.monotonic() + 90
    while (turn := api.get(f"/v1/executions/{execution}").raise_for_status().json())["state"] == "running":
        assert time.monotonic() < deadline, turn
        time.sleep(0.1)
    assert turn["state"] == "completed", turn
    return turn["reply"]["content"]["text"]


@pytest.mark.requirement("OPS-5")
@pytest.mark.requirement("MSG-8")
@pytest.mark.slow
def test_work_that_an_older_version_had_in_hand_is_answered_once_and_in_order(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(data)
    facts = json.loads((data / "facts.json").read_text())
    with sqlite3.connect(data / "caxton.db") as store:  # as if it had been killed just now: agents have a time limit
        store.execute("UPDATE executions SET started_at = ? WHERE state = 'Running'", (time.time_ns() // 1000,))
    store.close()
    process, server = start_server(data)
    try:
        with server.client() as api:
            texts = [answered(api, execution) for execution in facts["waiting"]]
            assert texts == [f"{2 * number}: m{number} c{number}" for number in range(4)]
            assert answered(api, facts["one_shot"]).startswith("0: alone")
            said = api.get(f"/v1/conversations/{facts['conversation']}/messages").json()["messages"]
            assert len(said) == 8
            again = api.post(f"/v1/conversations/{facts['idle']}/messages", json={"content": "y"}, timeout=60)
            assert again.json()["reply"]["content"]["text"] == "quick y"
            ended = api.post(f"/v1/conversations/{facts['conversation']}/end", json={}, timeout=60)
            assert ended.json()["state"] == "Completed", ended.text
            # No workflow of the old types is left.
            assert api.get("/v1/events/verify").json()["ok"]
    finally:
        stop_server(process)
