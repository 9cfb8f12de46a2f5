"""Tools that are ordinary MCP servers over HTTP: granted origins only, checked addresses, headers that nobody sees."""

import hashlib
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from tests.conftest import RunningServer, start_server, stop_server
from tests.support.deploying import deploy_folder, write_files
from tests.support.mcp_tools import ServerFolder, mcp_tool
from tests.support.waiting import until

pytestmark = pytest.mark.xdist_group("mcp-servers")

TOKEN = "s3cr3t-token-of-the-test"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that has a secret for tools."""
    process, running = start_server(tmp_path_factory.mktemp("mcp-http") / "data", env={"TOOL_TOKEN": TOKEN})
    yield running
    stop_server(process)


@pytest.fixture
def api(server: RunningServer, workspace: str) -> Iterator[httpx.Client]:
    with server.client(workspace) as client:
        yield client


@contextmanager
def answering(status: int, headers: dict[str, str], body: bytes = b"") -> Iterator[tuple[str, list[str]]]:
    """A web server that answers every request in one way; its origin, and the paths that it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            asked.append(self.path)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=made.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{made.server_port}", asked
    finally:
        made.shutdown()
        made.server_close()


def grant(api: httpx.Client, **body: Any) -> httpx.Response:
    return api.post("/v1/tool-grants", json={"tool": "other", **body})


def deploy(api: httpx.Client, path: Path, files: dict[str, str | bytes]) -> dict[str, Any]:
    return deploy_folder(api, write_files(path / uuid.uuid4().hex, files)).json()


def why_refused(api: httpx.Client, path: Path, files: dict[str, str | bytes]) -> str:
    answer = deploy(api, path, files)
    assert answer.get("code") == "invalid_definitions", answer
    return str(answer["details"]["problems"][0]["message"])


def call(api: httpx.Client, function: str, **arguments: Any) -> dict[str, Any]:
    return api.post("/v1/tools/other/call", json={"function": function, "arguments": arguments}).json()


@pytest.mark.requirement("TOL-11", "TOL-12")
def test_a_server_over_http_gets_its_headers_and_nobody_else_sees_them(
    api: httpx.Client, server: RunningServer, tmp_path: Path
) -> None:
    folder = ServerFolder(tmp_path)
    with folder.over_http() as origin:
        files = mcp_tool(url=f"{origin}/mcp", headers={"Authorization": "Bearer env:TOOL_TOKEN"})
        assert "needs what nobody has granted" in why_refused(api, tmp_path, files)
        grant(api, network=[origin])
        assert "TOOL_TOKEN" in why_refused(api, tmp_path, files)
        grant(api, environment=["TOOL_TOKEN"])
        assert deploy(api, tmp_path, files)["state"] == "Running"
        shown = api.get("/v1/tools/other").json()
        assert (shown["sandboxed"], shown["server"]) == (False, f"{origin}/mcp")
        assert shown["permissions"]["network"] == [origin]
        assert call(api, "echo", text="hello")["content"][0]["text"] == "hello"
        answer = call(api, "secret")["content"][0]["text"]
        assert answer.startswith("[redacted] None")
        assert folder.noted("authorization") == [hashlib.sha256(f"Bearer {TOKEN}".encode()).hexdigest()]
        assert TOKEN not in api.get("/v1/events", params={"limit": 1000}).text
        assert call(api, "big", bytes=2_000_000)["code"] == "tool_message_too_large"
        assert call(api, "big", bytes=30_000_000)["code"] == "tool_message_too_large"

        folder.say("surface", "other thing")
        error = until(lambda: (found := call(api, "echo", text="x")).get("code") and found, 60)
        assert error["code"] == "tool_surface_changed"
    # The server is gone.
    gone = until(lambda: (found := call(api, "echo", text="x")).get("code") == "tool_unreachable" and found, 60)
    assert f"{origin}/mcp" in gone["detail"]
    log = (server.data_dir / "serve.log").read_text()
    assert TOKEN not in log


@pytest.mark.requirement("TOL-4", "TOL-11")
@pytest.mark.parametrize("target", ["http://169.254.169.254/latest/meta-data", "http://127.0.0.1:{port}/elsewhere"])
def test_redirects_lead_nowhere_else(api: httpx.Client, tmp_path: Path, target: str) -> None:
    with answering(200, {}) as (other, asked):
        location = target.format(port=other.rpartition(":")[2])
        with answering(307, {"Location": location}) as (origin, first):
            grant(api, network=[origin])
            assert "cannot be used" in why_refused(api, tmp_path, mcp_tool(url=f"{origin}/mcp"))
            assert first
        assert not asked


@pytest.mark.requirement("TOL-4", "TOL-11")
def test_no_server_is_where_no_tool_may_connect(api: httpx.Client, server: RunningServer, tmp_path: Path) -> None:
    for origin in ("http://169.254.169.254", "http://metadata.google.internal", server.url):
        assert grant(api, network=[origin]).json()["code"] == "not_grantable"
    # A name that leads to this machine, although its grant is one for the internet.
    grant(api, network=["http://localtest.invalid"])
    message = why_refused(api, tmp_path, mcp_tool(url="http://localtest.invalid/mcp"))
    assert "cannot be used" in message
    assert "cannot be resolved" in message


@pytest.mark.requirement("TOL-11")
@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Content-Type": "application/json"}, b"{" + b'"a":' * 5_000),
        ({"Content-Type": "application/json"}, b'{"x": "' + b"x" * 40_000_000 + b'"}'),
        ({"Content-Type": "text/event-stream"}, b"data: " + b"x" * 20_000_000),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, b"\x1f\x8b" + b"\0" * 1_000),
        ({"Content-Type": "text/html"}, b"<html>"),
    ],
)
def test_what_is_no_mcp_is_refused(api: httpx.Client, tmp_path: Path, headers: dict[str, str], body: bytes) -> None:
    with answering(200, headers, body) as (origin, _):
        grant(api, network=[origin])
        assert "server of other" in why_refused(api, tmp_path, mcp_tool(url=f"{origin}/mcp", connect_timeout="20s"))
    assert json.loads(api.get("/v1/tools").text)["tools"] == []
