"""Where the event log cannot be written, nothing is changed, and the answer says so."""

import json
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.test_approvals import guarded, pending, send
from tests.api.test_failures import hostile
from tests.conftest import RunningServer, start_server, stop_server
from tests.support.agents import agent, replies
from tests.support.changes import SCHEDULE, TABLE, Walk, remember
from tests.support.deploying import deploy_files

pytestmark = [pytest.mark.requirement("SEC-8"), pytest.mark.slow]

WAIT = {
    ("POST", "/v1/messages"),
    ("POST", "/v1/messages/batch"),
    ("POST", "/v1/conversations/{conversation_id}/messages"),
    ("POST", "/v1/executions/{execution_id}/cancel"),
}
"""Messages, and what begins with one: the engine keeps them until the store is back, and then they begin with their events."""


class Prepared(Walk):
    """Has made beforehand what its changes need, so that what they change is all that they write."""

    def prepare(self) -> None:
        self.known |= {"memories": [super(Prepared, self).memory() for _ in range(8)]}
        self.known["executions"] = [super().execution()]
        self.known |= {"conversations": [super(Prepared, self).conversation() for _ in range(4)]}
        for key in ("POST", "/v1/memory/relations"), ("POST", "/v1/keys"), ("PUT", "/v1/metrics/{name}"):
            TABLE[key][0](self).raise_for_status()
        for key in ("PUT", "/v1/budgets"), ("PUT", "/v1/roles/{name}"), ("POST", "/v1/deployments"):
            TABLE[key][0](self).raise_for_status()
        for key in ("POST", "/v1/memory/edit"), ("PUT", "/v1/memory/retention"), ("POST", "/v1/tool-grants"):
            TABLE[key][0](self).raise_for_status()
        send(self.api, "teller")
        self.known["approval"] = pending(self.api)[0]["id"]
        remember(self)

    def memory(self) -> str:
        return str(self.known["memories"].pop()) if self.known.get("memories") else super().memory()

    def execution(self) -> str:
        return str(self.known["executions"].pop()) if self.known.get("executions") else super().execution()

    def conversation(self, capability: str = "quick") -> str:
        return str(self.known["conversations"].pop()) if self.known.get("conversations") else super().conversation()


def everything(api: httpx.Client) -> dict[str, Any]:
    """What can be seen of all that changes change."""
    found: dict[str, Any] = {}
    for path in (
        "/v1/agents", "/v1/deployments", "/v1/conversations", "/v1/messages", "/v1/approvals", "/v1/budgets", "/v1/keys",
        "/v1/roles", "/v1/memory", "/v1/memory/retention", "/v1/tools", "/v1/memory/stats",
    ):  # fmt: skip
        body = api.get(path).raise_for_status().json()
        found[path] = json.loads(json.dumps(body), object_hook=_lasting)
    events = api.get("/v1/events", params={"limit": 1000}).raise_for_status().json()["events"]
    found["events"] = [
        each["event_id"] for each in events if each["actor"] != "system"
    ]  # milestones, counts of refusals
    return found


def _lasting(value: dict[str, Any]) -> dict[str, Any]:
    """Without what moves by itself."""
    moving = (
        "last_used_at",
        "bytes",
        "indexed",
        "statistics",
        "running",
        "last_accessed_at",
        "accessed_at",
        "access_count",
    )
    return {key: each for key, each in value.items() if key not in moving}


@pytest.fixture
def prepared(tmp_path: Path) -> Iterator[tuple[RunningServer, Prepared]]:
    process, server = start_server(tmp_path / "data", env={"CAXTON_STORE__LOCK_TIMEOUT": "0.5"})
    try:
        with server.client() as api:
            files = {
                **hostile(),
                **guarded(),
                **agent("quick", rules=replies("done"), more=SCHEDULE),
                **agent("idle", rules=replies("done")),
            }
            deploy_files(api, tmp_path / "w", {**files, **agent("slow", rules=replies("done", delay=20))})
            walk = Prepared(api, tmp_path, {"workspace": "default", "role": "a-role"})
            walk.prepare()
            yield server, walk
    finally:
        stop_server(process)


def test_nothing_changes_while_the_database_is_locked(prepared: tuple[RunningServer, Prepared]) -> None:
    server, walk = prepared
    before = everything(walk.api)
    lock = sqlite3.connect(server.data_dir / "caxton.db", isolation_level=None, timeout=30)
    lock.execute("BEGIN IMMEDIATE")
    try:
        with ThreadPoolExecutor(8) as pool:
            rows = {route: row for route, row in TABLE.items() if route not in WAIT}
            answers = dict(zip(rows, pool.map(lambda row: _status(walk, row[0]), rows.values()), strict=True))
        assert walk.api.get("/v1/agents").status_code == 200, "reading goes on"
    finally:
        lock.execute("ROLLBACK")
        lock.close()
    wrong = {f"{method} {path}": told for (method, path), told in answers.items() if not is_refused(*told)}
    assert not wrong, wrong
    after = everything(walk.api)
    for name, known in before.items():
        assert after[name] == known, f"{name} has changed"
    assert walk.api.get("/v1/events/verify").json()["ok"]
    assert walk.post("/v1/agents/idle/stop").status_code == 200, "and afterwards everything is as usual"


def _status(walk: Prepared, change: Callable[[Walk], httpx.Response]) -> tuple[int, str]:
    try:
        answer = change(walk)
    except httpx.HTTPStatusError as error:
        answer = error.response
    except httpx.TimeoutException as error:
        return 0, f"no answer to {error.request.method} {error.request.url.path}"
    except AssertionError as error:  # of a step before: it was refused
        return (503, "") if "503" in str(error) else (0, str(error)[:300])
    return answer.status_code, answer.text[:500]


def is_refused(status: int, text: str) -> bool:
    """Whether it was told that the store does not answer. JSON-RPC tells it in the answer to a request that was in order."""
    return status == 503 or (status == 200 and '"jsonrpc"' in text and "the database " in text)


@contextmanager
def small_disk(path: Path, size: str) -> Iterator[Path]:
    """A file system of that size; skips where none can be made."""
    path.mkdir(parents=True, exist_ok=True)
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("only root can make a small file system")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


def test_nothing_changes_while_the_disk_is_full(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "96m") as disk:
        process, server = start_server(disk / "data", env={"CAXTON_LIMITS__FREE_DISK": "0"})
        try:
            with server.client() as api:
                deploy_files(api, tmp_path / "w", agent("quick", rules=replies("done")))
                before = everything(api)
                filler = disk / "filler"
                with pytest.raises(OSError, match="No space left"):
                    _fill(filler)
                # What is in files that are there already still fits; so the log is filled up first.
                statuses: list[int] = []
                while len(statuses) < 3_000 and statuses[-3:].count(507) + statuses[-3:].count(503) < 3:
                    statuses.append(
                        api.put("/v1/metrics/a", json={"count": {"type": "execution_completed"}}).status_code
                    )
                assert set(statuses) <= {200, 503, 507}
                known = everything(api)
                for method, path, body in (
                    ("POST", "/v1/keys", {"name": "late", "role": "viewer"}),
                    ("POST", "/v1/agents/quick/stop", {}),
                    ("PUT", "/v1/budgets", {"resource": "requests", "period": "day", "limit": 1}),
                    ("PUT", "/v1/roles/late", {"permissions": ["events:read"]}),
                    ("POST", "/v1/memory", {"text": "late"}),
                ):
                    refused = api.request(method, path, json=body)
                    assert refused.status_code in (503, 507), f"{path}: {refused.status_code} {refused.text[:200]}"
                    assert refused.json()["code"] in ("disk_full", "store_unavailable")
                    assert refused.json()["hints"] or refused.json()["detail"]
                assert everything(api) == known
                filler.unlink()
                made = api.post("/v1/keys", json={"name": "late", "role": "viewer"})
                assert made.status_code == 201
                assert api.get("/v1/events/verify").json()["ok"]
                assert before.keys() == known.keys()
        finally:
            stop_server(process)
