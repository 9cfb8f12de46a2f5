"""A data folder whose engine begins to encrypt, changes its key, and loses it."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import RunningServer, start_server, stop_server
from tests.support.agents import agent, replies
from tests.support.deploying import deploy_files


def new_key() -> str:
    shown = subprocess.run(
        [sys.executable, "-m", "caxton", "--json", "encryption", "generate"], capture_output=True, text=True, check=True
    )
    return str(json.loads(shown.stdout)["key"])


def engine_holds(folder: Path, text: str) -> bool:
    files = [folder / "temporal.db", folder / "temporal.db-wal"]
    return any(text.encode() in file.read_bytes() for file in files if file.exists())


def send(server: RunningServer, conversation: str, content: str) -> int:
    with server.client() as client:
        return client.post(f"/v1/conversations/{conversation}/messages", json={"content": content}).status_code


@pytest.mark.requirement("SEC-4")
@pytest.mark.slow
def test_a_conversation_goes_on_when_encryption_begins_and_when_its_key_changes(tmp_path: Path) -> None:
    data, first, second = tmp_path / "data", new_key(), new_key()
    settings = "CAXTON_ENGINE__ENCRYPTION__KEYS"
    conversation = ""
    for number, (keys, environment) in enumerate(
        [
            ([], {}),
            (["env:ONE"], {"ONE": first}),
            (["env:TWO", "env:ONE"], {"TWO": second, "ONE": first}),
        ]
    ):
        process, server = start_server(data, env={settings: json.dumps(keys), **environment} if keys else None)
        try:
            if not conversation:
                with server.client() as client:
                    slow = agent("slow", rules=replies("done", delay=0.3))
                    deploy_files(client, tmp_path / "workspace", slow)
                    begun = client.post("/v1/conversations", json={"capability": "slow"}).raise_for_status()
                    conversation = begun.json()["id"]
            assert send(server, conversation, f"canary-message-{number}") == 200
        finally:
            assert stop_server(process) == 0
        assert not engine_holds(data, f"canary-message-{number}"), "contents are in the store, not in the engine"
        for key in (first, second):
            assert not engine_holds(data, key.removeprefix("cxe_"))
    # Without its keys the work waits, and the server says why.
    process, server = start_server(data)
    try:
        with server.client() as client:
            sent = client.post(
                f"/v1/conversations/{conversation}/messages",
                json={"content": "canary-message-3"},
                params={"wait": "false"},
                timeout=60,
            )
            assert sent.status_code in (200, 202, 503), sent.text
        log = (data / "serve.log").read_text()
        assert "is gone from engine.encryption.keys" in log
        deadline = time.monotonic() + 30
        while "which this server does not have" not in (data / "serve.log").read_text():
            assert time.monotonic() < deadline, "the log says which key is missing"
            time.sleep(0.2)
        with server.client() as client:
            changed = client.get("/v1/events", params={"type": "configuration_changed", "order": "newest"}).json()
        told = {event["payload"]["setting"]: event["payload"] for event in reversed(changed["events"])}
        assert len(told["engine.encryption.key_ids"]["old_value"]) == 2, "before and after, as ids"
        assert told["engine.encryption.keys"]["old_value"] == ["env:TWO", "env:ONE"]
    finally:
        stop_server(process)
    # The key is back: what waited goes on.
    process, server = start_server(data, env={settings: '["env:TWO", "env:ONE"]', "TWO": second, "ONE": first})
    try:
        deadline = time.monotonic() + 60  # the engine waits longer after each attempt that failed
        while (status := send(server, conversation, "canary-message-4")) == 503 and time.monotonic() < deadline:
            time.sleep(0.5)
        assert status == 200
    finally:
        stop_server(process)
