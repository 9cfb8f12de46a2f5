"""The event log in a second place: files, syslog and webhooks get every event, in order, across crashes."""

import json
import os
import re
import signal
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from tests.conftest import RunningServer, start_server, stop_server
from tests.support.agents import agent, replies
from tests.support.deploying import deploy_files
from tests.support.ports import free_port

SECRET = "whsec_" + "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"

RFC_5424 = re.compile(
    r"<(?P<priority>\d{1,3})>1 (?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) (?P<host>\S+) caxton \d+ (?P<id>\S{1,32}) "
    r'\[caxton@32473 customer="(?P<customer>[^"]*)" workspace="[^"]*" sequence="(?P<sequence>\d+)"\] (?P<message>\{.*\})'
)


class Syslog(socketserver.ThreadingTCPServer):
    """A syslog server over TCP with octet counting."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        self.messages: list[str] = []
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                while True:
                    length = b""
                    while (digit := self.rfile.read(1)) not in (b" ", b""):
                        length += digit
                    if not digit:
                        return
                    outer.messages.append(self.rfile.read(int(length)).decode())

        super().__init__(("127.0.0.1", 0), Handler)


class Hooks(ThreadingHTTPServer):
    """Takes webhooks and checks their signatures with the library of the specification."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        self.events: list[dict[str, Any]] = []
        self.answer = 204
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if outer.answer == 204:
                    found = Webhook(SECRET).verify(body, dict(self.headers.items()))
                    outer.events += found["data"]["events"]
                self.send_response(outer.answer)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None: ...

        super().__init__(("127.0.0.1", port), Handler)


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield
    server.shutdown()
    server.server_close()
    thread.join()


def until(condition: Callable[[], Any], seconds: float = 40.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def whole_log(server: RunningServer) -> list[dict[str, Any]]:
    with server.client() as client:
        text = client.get("/v1/events/export", params={"everything": "true"}).raise_for_status().text
    return [json.loads(line) for line in text.splitlines()]


def ask(server: RunningServer, count: int) -> list[int]:
    with server.client() as client:
        body = {"capability": "echo", "content": "x"}
        return [client.post("/v1/messages", json=body).status_code for _ in range(count)]


def in_order(sequences: list[int]) -> bool:
    """Whether each first arrival is the next one: repetitions are allowed, gaps and swaps are not."""
    highest = 0
    for sequence in sequences:
        if sequence > highest + 1:
            return False
        highest = max(highest, sequence)
    return True


@pytest.mark.requirement("SEC-2")
@pytest.mark.slow
def test_every_sink_gets_every_event_in_order_also_across_kill_9(tmp_path: Path) -> None:
    data, hook_port = tmp_path / "data", free_port()
    syslog = Syslog()
    sinks = {
        "disk": {"kind": "file", "folder": str(tmp_path / "sink"), "rotate_bytes": 65536},
        "siem": {"kind": "syslog", "address": f"127.0.0.1:{syslog.server_address[1]}", "transport": "tcp"},
        "hook": {
            "kind": "webhook",
            "url": f"http://127.0.0.1:{hook_port}/x",
            "secret": "env:HOOK_SECRET",
            "max_lag_events": 5,
        },
    }
    env = {"CAXTON_AUDIT__SINKS": json.dumps(sinks), "HOOK_SECRET": SECRET}
    with serving(syslog):
        process, server = start_server(data, env=env)
        try:
            with server.client() as client:
                deploy_files(client, tmp_path / "w", agent("echo", rules=replies("{{ request }}")))
                # One sink is down: nobody waits for it, and metrics and health say how far it is behind.
                assert ask(server, 20) == [200] * 20
                lag = r'caxton_audit_sink_lag_events\{sink="hook"\} (\d+)'
                found = until(lambda: (m := re.search(lag, client.get("/metrics").text)) and int(m[1]) > 20)
                assert found
                assert until(lambda: client.get("/ready").json()["components"]["audit hook"]["status"] == "degraded")
                assert client.get("/ready").status_code == 200
            # Killed while it carries.
            working = threading.Thread(target=lambda: _quietly(lambda: ask(server, 200)))
            working.start()
            time.sleep(0.5)
            os.kill(server.pid, signal.SIGKILL)
            process.wait()
            working.join()
            hooks = Hooks(hook_port)
            with serving(hooks):
                process, server = start_server(data, env=env)
                assert ask(server, 20) == [200] * 20
                head = until(lambda: whole_log(server)[-1]["sequence"])

                def files() -> list[dict[str, Any]]:
                    parts = sorted(
                        (tmp_path / "sink").glob("local.jsonl*"),
                        key=lambda p: -int(p.suffix[1:]) if p.suffix[1:].isdigit() else 1,
                    )
                    return [json.loads(line) for part in parts for line in part.read_text().splitlines() if line]

                def messages() -> list[dict[str, Any]]:
                    return [m.groupdict() for text in list(syslog.messages) if (m := RFC_5424.fullmatch(text))]

                for name, arrived in (
                    ("files", lambda: [each["sequence"] for each in files()]),
                    ("syslog", lambda: [int(each["sequence"]) for each in messages()]),
                    ("webhook", lambda: [each["sequence"] for each in list(hooks.events)]),
                ):
                    assert until(lambda arrived=arrived: max(arrived(), default=0) >= head), (
                        f"{name}: {max(arrived(), default=0)} of {head}"
                    )
                    assert in_order(arrived()), name
                assert len(messages()) == len(syslog.messages), "each message is of RFC 5424"
                arrived = [*files(), *hooks.events, *(json.loads(each["message"]) for each in messages())]
                expected = {event["sequence"]: event for event in whole_log(server)}
                for event in arrived:
                    assert event == expected[event["sequence"]], "as the log has it, with its hash"
                assert len(list((tmp_path / "sink").glob("local.jsonl.*"))) >= 1, "it was rotated"
                with server.client() as client:
                    assert until(lambda: client.get("/ready").json()["components"]["audit hook"]["status"] == "ok")
        finally:
            stop_server(process)


def _quietly(work: Callable[[], Any]) -> None:
    try:
        work()
    except httpx.HTTPError:
        return


@pytest.mark.requirement("SEC-8")
@pytest.mark.slow
def test_a_required_sink_that_is_down_stops_changes_and_nothing_else(tmp_path: Path) -> None:
    data, port = tmp_path / "data", free_port()
    sinks = {
        "hook": {
            "kind": "webhook",
            "url": f"http://127.0.0.1:{port}/x",
            "secret": "env:HOOK_SECRET",
            "required": True,
            "max_lag_events": 60,
        }
    }
    env = {"CAXTON_AUDIT__SINKS": json.dumps(sinks), "HOOK_SECRET": SECRET}
    process, server = start_server(data, env=env)
    try:
        with server.client() as client:
            deploy_files(client, tmp_path / "w", agent("echo", rules=replies("{{ request }}")))
            assert until(lambda: 503 in ask(server, 5))
            refused = client.post("/v1/keys", json={"name": "late", "role": "viewer"})
            assert refused.status_code == 503
            assert refused.json()["code"] == "audit_sink_behind"
            assert "hook" in refused.json()["detail"]
            assert client.get("/v1/agents").status_code == 200
            before = client.get("/v1/events", params={"order": "newest", "limit": 1}).json()["events"][0]["sequence"]
            assert all(status == 503 for status in ask(server, 5))
            after = client.get("/v1/events", params={"order": "newest", "limit": 1}).json()["events"][0]["sequence"]
            assert after - before <= 1, "nothing was done"
            hooks = Hooks(port)
            with serving(hooks):
                assert until(
                    lambda: client.post("/v1/keys", json={"name": "late", "role": "viewer"}).status_code == 201, 60
                )
                hooks.answer = 500
                assert until(lambda: 503 in ask(server, 5)), "a sink that refuses is as good as one that is away"
    finally:
        stop_server(process)


def test_a_sink_that_lacks_its_place_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "caxton.toml").write_text('[audit.sinks.siem]\nkind = "syslog"\n')
    shown = subprocess.run(
        [sys.executable, "-m", "caxton", "config", "show"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert shown.returncode != 0
    assert "needs address" in shown.stderr
