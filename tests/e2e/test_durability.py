"""`kill -9` of any process, with 200 requests in flight: nothing that was accepted is lost, nothing is answered twice."""

import asyncio
import json
import math
import os
import signal
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import psutil
import pytest
from sqlalchemy import create_engine

from caxton.adapters.store.database import sqlite_url
from caxton.api.transport.server import STOP_WITHIN
from caxton.service.log_feed import LOOK_ANYWAY
from tests.conftest import RunningServer, start_server, stop_server
from tests.support.deploying import deploy_files
from tests.support.tools import BUNDLED_TOOLS, bundled_tool

FAST_PATH, WRITER = "caxton.runtime.fast_path_worker", "caxton.adapters.store.writer"
ALWAYS = {"CAXTON_SERVER__FAST_PATH": "always"}
"""The process that accepts requests runs from the start, not only while there are many."""
REQUESTS = 200

AGENTS: dict[str, str | bytes] = {
    "agents/front.toml": """
name = "front"
version = "1.0.0"
capabilities = ["front"]
delegates = ["back"]
tools = ["http-client"]
model = "scripted"
script = "front.script.toml"
""",
    # Every third request books something over HTTP with a tool that must not be repeated.
    "agents/front.script.toml": """
[[rules]]
when = { matches = "book (?P<url>[^ ]+)" }
[[rules.steps]]
tool = "http-client.post"
arguments = { url = "{{ match.url }}", body = "booking" }
[[rules.steps]]
capability = "back"
[[rules.steps]]
reply = "booked: {{ results[1].text }}"

[[rules]]
[[rules.steps]]
capability = "back"
[[rules.steps]]
reply = "front heard: {{ results[0].text }}"
""",
    "agents/back.toml": """
name = "back"
version = "1.0.0"
capabilities = ["back"]
model = "scripted"
script = "back.script.toml"
""",
    "agents/back.script.toml": """
[[rules]]
[[rules.steps]]
reply = "back got {{ request }}"
""",
}


@dataclass
class Bookings:
    """An outside service that counts what it is asked to do."""

    url: str
    at: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


@pytest.fixture
def bookings() -> Iterator[Bookings]:
    """The outside service."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            found.at[self.path.strip("/")].append(time.time())
            body = b"done"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Bookings(f"http://127.0.0.1:{server.server_address[1]}")
    Thread(target=server.serve_forever, daemon=True).start()
    yield found
    server.shutdown()
    server.server_close()


def http_client_tool(origin: str) -> dict[str, str | bytes]:
    """The bundled http-client, which requests one origin and the time that a busy machine may need."""
    folder = BUNDLED_TOOLS / "http-client"
    manifest = (folder / "tool.toml").read_text()
    granted = "\n".join(
        f'network = ["{origin}"]' if line.strip().startswith("network") else line for line in manifest.splitlines()
    )
    return {**bundled_tool("http-client"), "tools/http-client/tool.toml": granted.replace('"5s"', '"30s"')}


def grant(client: httpx.Client, origin: str) -> None:
    """Grants the tool what it requests."""
    body = {"tool": "http-client", "network": [origin], "limits": {"wall_time": "30s"}}
    client.post("/v1/tool-grants", json=body).raise_for_status()


class Clients:
    """200 clients, each with a key of its own, that ask until they are answered."""

    def __init__(self, bookings: Bookings) -> None:
        self.bookings = bookings
        self.answers: dict[str, dict[str, Any]] = {}
        self.url = ""
        self.key = ""

    def question(self, number: int) -> dict[str, str]:
        """What client `number` asks: for a booking, for work that is handed over, or for what is answered in one transaction."""
        content = f"book {self.bookings.url}/{number}" if number % 3 == 0 else f"request {number}"
        return {"capability": "back" if number % 3 == 2 else "front", "content": content}

    async def run(self) -> None:
        """Until all are answered."""
        limits = httpx.Limits(max_connections=REQUESTS)
        async with httpx.AsyncClient(timeout=60, trust_env=False, limits=limits) as client:
            await asyncio.gather(*(self.ask(client, number) for number in range(REQUESTS)))

    async def ask(self, client: httpx.AsyncClient, number: int) -> None:
        """One client: tries again with the same key whenever it was not answered."""
        deadline = time.monotonic() + 100
        while time.monotonic() < deadline:
            try:
                response = await client.post(
                    f"{self.url}/v1/messages",
                    json=self.question(number),
                    headers={"Authorization": f"Bearer {self.key}", "Idempotency-Key": f"k{number}"},
                )
            except httpx.TransportError:
                await asyncio.sleep(0.1)
                continue
            if response.status_code == 200:
                self.answers[f"k{number}"] = response.json()
                return
            assert response.status_code in (202, 429, 503), response.text
            await asyncio.sleep(0.1)
        pytest.fail(f"request {number} was not answered")


def kill_server(process: subprocess.Popen[bytes], data_dir: Path) -> subprocess.Popen[bytes]:
    """Kills the server, and with it its engine; starts another on the same folder."""
    process.kill()
    process.wait()
    started, _ = start_server(data_dir, env=ALWAYS)
    return started


def kill_engine(process: subprocess.Popen[bytes], data_dir: Path) -> subprocess.Popen[bytes]:
    """Kills the engine under the server, which starts it again."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:  # it may be on its way back from an earlier kill
        try:
            os.kill(json.loads((data_dir / "temporal.pid").read_text())["pid"], signal.SIGKILL)
        except (ProcessLookupError, ValueError):
            time.sleep(0.02)
        else:
            return process
    raise AssertionError("the engine did not come back")


def helper(server: int, sign: str) -> psutil.Process:
    """The process that works for `server` whose command line holds `sign`. It may be on its way back."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for process in psutil.Process(server).children(recursive=True):
            with suppress(psutil.Error):
                if sign in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                    return process
        time.sleep(0.02)
    raise AssertionError(f"no {sign} came back")


def wait_until_dead(process: psutil.Process) -> None:
    """Returns when a process that was killed does nothing any more, within 10 s; whoever started it may not have noticed yet."""
    deadline = time.monotonic() + 10
    with suppress(psutil.NoSuchProcess):
        while process.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def kill_fast_path_worker(process: subprocess.Popen[bytes], _: Path) -> subprocess.Popen[bytes]:
    """Kills the process that accepts requests."""
    helper(process.pid, FAST_PATH).kill()
    return process


def kill_writer(process: subprocess.Popen[bytes], _: Path) -> subprocess.Popen[bytes]:
    """Kills the processes that write what turns leave behind. They come back with the next that there is to write."""
    for child in psutil.Process(process.pid).children(recursive=True):
        with suppress(psutil.Error):
            if WRITER in " ".join(child.cmdline()):
                child.kill()
    return process


@pytest.mark.requirement("SRV-5")
@pytest.mark.requirement("MSG-8")
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kill", [kill_server, kill_engine, kill_fast_path_worker, kill_writer])
async def test_every_request_has_one_answer_although_processes_are_killed(
    kill: Any, tmp_path: Path, bookings: Bookings
) -> None:
    data_dir = tmp_path / "data"
    process, server = start_server(data_dir, env=ALWAYS)
    try:
        with server.client() as client:
            deploy_files(client, tmp_path / "workspace", {**AGENTS, **http_client_tool(bookings.url)})
            grant(client, bookings.url)
        clients = Clients(bookings)
        clients.url, clients.key = server.url, server.api_key
        asking = asyncio.create_task(clients.run())
        for wanted in (10, 80):
            while len(clients.answers) < wanted and not asking.done():
                await asyncio.sleep(0.005)
            process = await asyncio.to_thread(kill, process, data_dir)
            clients.url = json.loads((data_dir / "server.json").read_text())["url"]
        await asking
        check_answers(clients, sqlite_url(data_dir / "caxton.db"), bookings)
        await check_retries(clients, data_dir)
    finally:
        stop_server(process)


def check_answers(clients: Clients, store: str, bookings: Bookings) -> None:
    """One reply a request, the right one, and no booking repeated after it was recorded."""
    assert len(clients.answers) == REQUESTS
    for number in range(REQUESTS):
        text = clients.answers[f"k{number}"]["reply"]["content"]["text"]
        assert text.startswith(("booked:", "front heard:", "back got")[number % 3]), text
        assert f"{number}" in text
    engine = create_engine(store)
    with engine.connect() as database:
        executions = [answer["execution_id"] for answer in clients.answers.values()]
        assert len(set(executions)) == REQUESTS
        replies = Counter(
            row[0]
            for row in database.exec_driver_sql(
                "SELECT execution_id FROM messages WHERE receiver = 'user' AND type != 'Request'"
            )
        )
        assert replies == Counter(executions)
        unfinished = database.exec_driver_sql("SELECT count(*) FROM executions WHERE state = 'Running'").scalar()
        assert unfinished == 0
        booked = database.exec_driver_sql("SELECT execution_id, created_at FROM steps WHERE tool = 'http-client'")
        recorded = {row[0]: row[1] for row in booked}
    engine.dispose()
    for number in range(0, REQUESTS, 3):
        times = bookings.at[str(number)]
        written = recorded[clients.answers[f"k{number}"]["execution_id"]] / 1_000_000
        late = [at for at in times if at > written]
        assert times
        assert not late, f"booking {number} was made again {late[0] - written:.3f} s after its result was recorded"


async def check_retries(clients: Clients, data_dir: Path) -> None:
    """Who asks again with the same key gets the same answer."""
    server = RunningServer(clients.url, clients.key, data_dir, 0)
    with server.client() as client:
        for number in range(0, REQUESTS, 20):
            again = client.post(
                "/v1/messages",
                json=clients.question(number),
                headers={"Idempotency-Key": f"k{number}"},
            )
            assert again.json()["reply"] == clients.answers[f"k{number}"]["reply"]


def test_what_helps_a_server_ends_with_it(tmp_path: Path) -> None:
    process, _ = start_server(tmp_path / "data", env=ALWAYS)
    helper(process.pid, FAST_PATH)
    helpers = psutil.Process(process.pid).children(recursive=True)
    assert len(helpers) >= 3
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(helpers, 10)
    assert not alive


def ask_until_helped(client: httpx.Client) -> None:
    """Returns when the helper, which starts with its server, has accepted something."""
    deadline = time.monotonic() + 30
    while 'caxton_batches_accepted_total{where="worker"' not in client.get("/metrics").text:
        assert time.monotonic() < deadline
        client.post("/v1/messages", json={"capability": "back", "content": "hello"}).raise_for_status()


@pytest.mark.requirement("PRF-1")
def test_what_one_transaction_answers_needs_no_engine(tmp_path: Path) -> None:
    process, server = start_server(tmp_path / "data", env=ALWAYS)
    try:
        with server.client() as client:
            deploy_files(client, tmp_path / "workspace", AGENTS | http_client_tool("http://127.0.0.1:9"))
            ask_until_helped(client)
            engine = psutil.Process(json.loads((tmp_path / "data" / "temporal.pid").read_text())["pid"])
            engine.suspend()
            try:
                turn = client.post("/v1/messages", json={"capability": "back", "content": "hello"}).json()
                assert turn["reply"]["content"]["text"] == "back got hello"
                helper(process.pid, FAST_PATH).kill()
                turn = client.post("/v1/messages", json={"capability": "back", "content": "again"}).json()
                assert turn["reply"]["content"]["text"] == "back got again"
                with pytest.raises(httpx.ReadTimeout):  # it is handed over, which takes more than one transaction
                    client.post("/v1/messages", json={"capability": "front", "content": "hello"}, timeout=1)
            finally:
                engine.resume()
            turn = client.post("/v1/messages", json={"capability": "front", "content": "hello"}).json()
            assert turn["reply"]["content"]["text"] == "front heard: back got hello"
            assert client.get("/v1/events/verify").json()["ok"]
    finally:
        stop_server(process)


@pytest.mark.requirement("EVT-3")
def test_events_that_the_helper_writes_are_followed(tmp_path: Path) -> None:
    process, server = start_server(tmp_path / "data", env=ALWAYS)
    tail = "/v1/events/tail?type=execution_completed"
    try:
        with server.client() as client:
            deploy_files(client, tmp_path / "workspace", AGENTS | http_client_tool("http://127.0.0.1:9"))
            ask_until_helped(client)
            # Nobody looks by itself within this time: a listener is told, or hears nothing.
            with client.stream("GET", tail, timeout=LOOK_ANYWAY / 2) as response:
                lines = response.iter_lines()
                next(lines)
                for number in range(5):
                    turn = client.post("/v1/messages", json={"capability": "back", "content": f"{number}"}).json()
                    told = json.loads(next(line for line in lines if line.startswith("data: "))[6:])
                    assert told["execution_id"] == turn["execution_id"]
            assert 'caxton_batches_accepted_total{where="worker"' in client.get("/metrics").text
    finally:
        stop_server(process)


@pytest.mark.requirement("SRV-5")
async def test_a_server_that_is_told_to_stop_answers_what_is_in_hand(tmp_path: Path) -> None:
    process, server = start_server(tmp_path / "data", env=ALWAYS)
    statuses: list[int] = []
    told_at = math.inf

    async def ask_on(client: httpx.AsyncClient, capability: str) -> None:
        with suppress(httpx.TransportError):  # it has stopped
            while True:
                answer = await client.post("/v1/messages", json={"capability": capability, "content": "hello"})
                statuses.append(answer.status_code)
                if answer.status_code != 200:  # the patience of a server that stops is over
                    assert time.monotonic() - told_at >= STOP_WITHIN, answer.text
                    assert answer.json()["detail"] == "the server is stopping"

    try:
        with server.client() as client:
            deploy_files(client, tmp_path / "workspace", AGENTS | http_client_tool("http://127.0.0.1:9"))
            ask_until_helped(client)
        headers = {"Authorization": f"Bearer {server.api_key}"}
        async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=60, trust_env=False) as client:
            asking = [asyncio.create_task(ask_on(client, name)) for name in ["back"] * 15 + ["front"] * 5]
            while len(statuses) < 100:
                await asyncio.sleep(0.01)
            told_at = time.monotonic()
            process.send_signal(signal.SIGINT)
            await asyncio.gather(*asking)
        assert await asyncio.to_thread(process.wait, 15) == 0
        assert set(statuses) <= {200, 503}
    finally:
        stop_server(process)


@pytest.mark.requirement("MSG-8")
def test_a_helper_that_hangs_is_replaced_and_holds_up_nothing(tmp_path: Path) -> None:
    process, server = start_server(tmp_path / "data", env=ALWAYS)
    try:
        with server.client() as client:
            alone = {path: text for path, text in AGENTS.items() if "back" in path}
            deploy_files(client, tmp_path / "workspace", alone)
            hung = helper(process.pid, FAST_PATH)
            ask_until_helped(client)
            hung.suspend()
            turn = client.post("/v1/messages", json={"capability": "back", "content": "hello"}).json()
            assert turn["reply"]["content"]["text"] == "back got hello"
            wait_until_dead(hung)  # it was killed a moment ago
            assert helper(process.pid, FAST_PATH).pid != hung.pid
    finally:
        stop_server(process)
