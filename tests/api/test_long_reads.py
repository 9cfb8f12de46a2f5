"""Reading a long log, or many memories, does not take the server from others."""

import concurrent.futures
import json
import socket
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.conftest import RunningServer
from tests.support.agents import agent, replies
from tests.support.deploying import deploy_files

pytestmark = pytest.mark.xdist_group("long-reads")  # one worker makes what they share

AT_ONCE = 8


@pytest.fixture(scope="module")
def long_log(caxton_server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Keys of two customers; the first one's log has some ten thousand events."""
    keys: list[str] = []
    with caxton_server.client("default") as api:
        for _ in range(2):
            body = {"name": "boss", "role": "admin", "customer": f"reads-{uuid.uuid4().hex[:8]}"}
            keys.append(api.post("/v1/keys", json=body).json()["key"])
    with caxton_server.client("default", key=keys[0]) as owner:
        deploy_files(owner, Path(tmp_path_factory.mktemp("agents")), agent("echo", rules=replies("done")))
        lines = b"\n".join(json.dumps({"agent": "echo", "content": str(number)}).encode() for number in range(1000))
        for _ in range(2):
            headers = {"Content-Type": "application/x-ndjson"}
            assert owner.post("/v1/messages/batch", content=lines, headers=headers, timeout=120).status_code == 200
    return keys[0], keys[1]


class SlowReader:
    """Asks, takes the head of the answer, and no more."""

    def __init__(self, url: str, key: str, path: str) -> None:
        parts = urlsplit(url)
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(30)
        self.socket.connect((parts.hostname, parts.port))
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
        )
        self.status = int(self.socket.recv(12).split()[1])


@pytest.mark.requirement("SEC-3", "EVT-6")
def test_a_customer_has_so_many_exports_under_way_and_takes_none_from_others(
    caxton_server: RunningServer, long_log: tuple[str, str]
) -> None:
    path = "/v1/events/export?everything=true"
    readers = [SlowReader(caxton_server.url, long_log[0], path) for _ in range(AT_ONCE)]
    try:
        assert [reader.status for reader in readers] == [200] * AT_ONCE
        with caxton_server.client("default", key=long_log[0]) as owner:
            refused = owner.get(path)
            assert (refused.status_code, refused.json()["code"]) == (429, "overloaded")
            assert refused.headers["Retry-After"]
        with caxton_server.client("default", key=long_log[1]) as other:
            assert other.get(path).status_code == 200
    finally:
        for reader in readers:
            reader.socket.close()
    with caxton_server.client("default", key=long_log[0]) as owner:
        answer = owner.get(path)
        for _ in range(50):
            if answer.status_code == 200:
                break
            answer = owner.get(path)
        assert len(answer.text.splitlines()) > 5_000


@pytest.mark.requirement("SEC-3", "EVT-6")
def test_many_verifications_of_one_customer_do_not_make_another_wait(
    caxton_server: RunningServer, long_log: tuple[str, str]
) -> None:
    with (
        caxton_server.client("default", key=long_log[0]) as owner,
        caxton_server.client("default", key=long_log[1]) as other,
        concurrent.futures.ThreadPoolExecutor(30) as threads,
    ):
        asked = [threads.submit(owner.get, "/v1/events/verify", timeout=60) for _ in range(30)]
        mine = other.get("/v1/events/verify")
        assert mine.status_code == 200
        assert mine.json()["ok"]
        answers: list[httpx.Response] = [each.result() for each in asked]
    assert {answer.status_code for answer in answers} == {200, 429}
    assert all(answer.json()["ok"] for answer in answers if answer.status_code == 200)
    with caxton_server.client("default", key=long_log[0]) as owner:
        assert owner.get("/v1/events/verify").status_code == 200, "they are all over"
