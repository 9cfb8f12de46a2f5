"""Streams and batches end with the right to them."""

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.conftest import RunningServer
from tests.support.agents import agent, replies
from tests.support.deploying import deploy_files

Make = Callable[..., dict[str, Any]]


@pytest.fixture
def owner(api: httpx.Client, caxton_server: RunningServer) -> Iterator[httpx.Client]:
    """An administrator of a customer of its own."""
    body = {"name": "boss", "role": "admin", "customer": f"lasting-{uuid.uuid4().hex[:8]}"}
    with caxton_server.client("here", key=api.post("/v1/keys", json=body).json()["key"]) as client:
        yield client


@pytest.fixture
def make(owner: httpx.Client) -> Make:
    def made(**body: Any) -> dict[str, Any]:
        answer = owner.post("/v1/keys", json={"name": f"k{uuid.uuid4().hex[:6]}", "role": "viewer", **body})
        assert answer.status_code == 201, answer.text
        return answer.json()

    return made


class Listener:
    """Reads a stream in a thread, until it ends."""

    def __init__(self, client: httpx.Client, path: str, *, waits: bool = True) -> None:
        self.lines: list[str] = []
        self.opened, self.began = threading.Event(), threading.Event()
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._read, args=(client, path), daemon=True)
        self.thread.start()
        assert self.opened.wait(30)
        assert not waits or self.began.wait(30)

    def _read(self, client: httpx.Client, path: str) -> None:
        with client.stream("GET", path, timeout=60) as answer:
            assert answer.status_code == 200
            self.opened.set()
            for line in answer.iter_lines():
                self.lines.append(line)
                self.began.set()
        self.ended.set()

    @property
    def told(self) -> str:
        return "\n".join(self.lines)


def something_happens(owner: httpx.Client) -> str:
    """An event in the owner's log that names what is returned."""
    name = f"seen{uuid.uuid4().hex[:8]}"
    assert owner.post("/v1/keys", json={"name": name, "role": "viewer"}).status_code == 201
    return name


@pytest.mark.requirement("SEC-1")
@pytest.mark.parametrize("how", ["revoked", "expired", "narrowed"])
def test_who_follows_the_log_hears_nothing_after_the_key_has_ended(
    how: str, owner: httpx.Client, make: Make, caxton_server: RunningServer
) -> None:
    role = f"follower-{how}"
    assert owner.put(f"/v1/roles/{role}", json={"permissions": ["events:read"]}).status_code == 200
    made = make(role=role, **({"expires_in": 3} if how == "expired" else {}))
    with caxton_server.client("default", key=made["key"]) as client:
        listener = Listener(client, "/v1/events/tail")
        first = something_happens(owner)
        deadline = time.monotonic() + 20
        while first not in listener.told:
            assert time.monotonic() < deadline, "a good key hears what happens"
            time.sleep(0.02)
        if how == "revoked":
            assert owner.delete(f"/v1/keys/{made['id']}").status_code == 204
        elif how == "narrowed":
            assert owner.put(f"/v1/roles/{role}", json={"permissions": ["agents:read"]}).status_code == 200
        else:
            while client.get("/v1/events").status_code == 200:
                time.sleep(0.1)
        second = something_happens(owner)
        assert listener.ended.wait(10), "the stream ends"
        assert second not in listener.told
        assert client.get("/v1/events/tail").status_code == (403 if how == "narrowed" else 401)


@pytest.mark.requirement("SEC-1")
def test_who_listens_to_a_turn_hears_no_reply_after_the_key_is_revoked(
    owner: httpx.Client, make: Make, caxton_server: RunningServer, tmp_path: Any
) -> None:
    deploy_files(owner, tmp_path, agent("slow", rules=replies("the secret", delay=3)))
    turn = owner.post("/v1/messages?wait=false", json={"agent": "slow", "content": "x"}).json()["execution_id"]
    made = make()
    with caxton_server.client("here", key=made["key"]) as client:
        listener = Listener(client, f"/v1/executions/{turn}/stream")
        assert owner.delete(f"/v1/keys/{made['id']}").status_code == 204
        assert listener.ended.wait(30)
    assert "secret" not in listener.told
    assert "secret" in owner.get(f"/v1/executions/{turn}/stream").text, "who may still listen hears all of it"


@pytest.mark.requirement("SEC-1")
@pytest.mark.parametrize("how", ["revoked", "expired", "narrowed"])
@pytest.mark.parametrize("kind", ["turn", "log"])
def test_a_stream_in_which_nothing_happens_ends_with_its_key_and_says_why(
    kind: str, how: str, owner: httpx.Client, make: Make, caxton_server: RunningServer, tmp_path: Any
) -> None:
    deploy_files(owner, tmp_path, agent("slow", rules=replies("late", delay=60)))
    turn = owner.post("/v1/messages?wait=false", json={"agent": "slow", "content": "x"}).json()["execution_id"]
    role = f"silent-{how}"
    seen = ["messages:read", "events:read"]
    assert owner.put(f"/v1/roles/{role}", json={"permissions": seen}).status_code == 200
    made = make(role=role, **({"expires_in": 4} if how == "expired" else {}))
    path = f"/v1/executions/{turn}/stream" if kind == "turn" else "/v1/events/tail?type=key_rotated"
    with caxton_server.client("here", key=made["key"]) as client:
        listener = Listener(client, path, waits=kind == "turn")
        if how == "revoked":
            assert owner.delete(f"/v1/keys/{made['id']}").status_code == 204
        elif how == "narrowed":
            assert owner.put(f"/v1/roles/{role}", json={"permissions": ["agents:read"]}).status_code == 200
        assert listener.ended.wait(13), "it does not wait for the next sign of life, which comes every 15 s"
    kind_of_last, told = [line for line in listener.lines if line][-2:]
    assert kind_of_last == "event: error"
    code = json.loads(told.removeprefix("data: "))["code"]
    assert code == ("not_permitted" if how == "narrowed" else "not_authenticated")
    assert owner.get(f"/v1/executions/{turn}").json()["state"] == "running", "the turn goes on"
    owner.post(f"/v1/executions/{turn}/cancel").raise_for_status()


@pytest.mark.requirement("SEC-1")
def test_a_batch_begins_no_further_line_after_the_key_is_revoked(
    owner: httpx.Client, make: Make, caxton_server: RunningServer, tmp_path: Any
) -> None:
    deploy_files(owner, tmp_path, agent("slow", rules=replies("done", delay=2)))
    made = make(role="developer")
    body = b"\n".join(json.dumps({"agent": "slow", "content": str(n)}).encode() for n in range(300))
    headers = {"Content-Type": "application/x-ndjson"}
    with caxton_server.client("here", key=made["key"]) as client:
        failed: list[Exception] = []

        def send() -> None:
            try:
                client.post("/v1/messages/batch", content=body, headers=headers, timeout=60)
            except httpx.HTTPError as error:
                failed.append(error)

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        deadline = time.monotonic() + 20
        while not owner.get("/v1/messages").json()["messages"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert owner.delete(f"/v1/keys/{made['id']}").status_code == 204
        sender.join(40)
        assert not sender.is_alive()
        assert failed, "the answer is broken off, so that nobody takes it for complete"
    asked = owner.get("/v1/events", params={"type": "execution_triggered", "limit": 1000}).json()["events"]
    assert 0 < len(asked) <= 100


@pytest.mark.requirement("SEC-1")
@pytest.mark.parametrize("how", ["revoked", "expired", "narrowed"])
def test_who_waits_for_a_reply_gets_none_after_the_key_has_ended(
    how: str, owner: httpx.Client, make: Make, caxton_server: RunningServer, tmp_path: Any
) -> None:
    deploy_files(owner, tmp_path, agent("slow", rules=replies("the secret", delay=4)))
    role = f"asker-{how}"
    assert owner.put(f"/v1/roles/{role}", json={"permissions": ["messages:send", "messages:read"]}).status_code == 200
    made = make(role=role, **({"expires_in": 2} if how == "expired" else {}))
    got: list[httpx.Response] = []
    with caxton_server.client("here", key=made["key"]) as client:

        def ask() -> None:
            got.append(client.post("/v1/messages", json={"agent": "slow", "content": "x"}, timeout=60))

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        deadline = time.monotonic() + 20
        while not owner.get("/v1/messages").json()["messages"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        if how == "revoked":
            assert owner.delete(f"/v1/keys/{made['id']}").status_code == 204
        elif how == "narrowed":
            assert owner.put(f"/v1/roles/{role}", json={"permissions": ["agents:read"]}).status_code == 200
        asking.join(40)
    assert got[0].status_code == (403 if how == "narrowed" else 401), got[0].text
    assert "secret" not in got[0].text
    assert got[0].headers["X-Request-Id"]


def test_a_key_that_ends_itself_is_told_that_it_has(make: Make, caxton_server: RunningServer) -> None:
    made = make(role="admin")
    with caxton_server.client("here", key=made["key"]) as client:
        new = client.post(f"/v1/keys/{made['id']}/rotate", json={"overlap": 0})
        assert new.status_code == 201
        assert new.json()["key"].startswith("cx_")
