"""Runs the official compatibility kit of A2A (https://github.com/a2aproject/a2a-tck) against a server.

    python -m tests.support.a2a_tck FOLDER [ARGUMENTS OF PYTEST…]

FOLDER is a clone of the kit, branch 1.0-dev, with its packages in FOLDER/.venv (`uv sync`). It is on no registry, so no test runs
it by itself; `tests/api/test_a2a_tck.py` does where CAXTON_A2A_TCK names FOLDER.

The kit talks to one agent without a key, and says by the beginning of a `messageId` what that agent is to do. So it talks to a
proxy, which brings the key along and names the skill in the message's metadata; answers go back as they are.
"""

import base64
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tests.conftest import RunningServer, start_server, stop_server
from tests.support.agents import agent, replies
from tests.support.deploying import deploy_files
from tests.support.modules import answering
from tests.support.ports import free_port

SKILLS: Final = {
    "tck-artifact-text": "text",
    "tck-artifact-file": "file",
    "tck-artifact-data": "data",
    "tck-input-required": "reviewed",
    "tck-stream": "streamed",
    "test-resubscribe": "slow",
}
"""Skills by what the ids of messages begin with; all others are for "hello"."""

RELAY: Final = "/relay/"
"""Below it, the proxy passes push notifications on to a port of this machine: the kit's receiver has another one each time, and
a server pushes to origins that an operator has named."""

_VERBS: Final = ["GET", "POST", "DELETE"]

_RECEIVER: Final = re.compile(rb"http://localhost:(\d+)")

_NOT_PASSED_ON: Final = frozenset({"content-length", "transfer-encoding", "connection", "date", "server"})


def agents() -> dict[str, str | bytes]:
    """Agents that do what the kit's scenarios want."""
    document = {"uri": "file:///output.txt", "mimeType": "text/plain", "blob": base64.b64encode(b"A file.\n").decode()}
    result = {"content": [{"type": "resource", "resource": document}]}
    data = '{ name = "data", output = { type = "object", required = ["key"], properties = { key = { type = "string" } } } }'
    reviewed = '{ name = "reviewed", approval_mode = "operator", risk_level = "low", approval_timeout = "1h" }'
    printing = "[[rules]]\n[[rules.steps]]\ntool = 'printer.run'\n[[rules.steps]]\nreply = ''\n"
    return {
        **agent("hello", rules=replies("Hello from TCK")),
        **agent("text", rules=replies("Generated text content")),
        **agent("streamed", rules=replies("Stream hello from TCK", delay=0.2)),
        **agent("slow", rules=replies("At last.", delay=10)),
        **agent("data", capabilities=f"[{data}]", rules=replies('{"key": "value", "count": 42}')),
        **agent("reviewed", capabilities=f"[{reviewed}]", rules=replies("Hello from TCK")),
        **agent("file", rules=printing, more='tools = ["printer"]\n'),
        "tools/printer/tool.toml": 'name = "printer"\nversion = "1.0.0"\nmodule = "m.wasm"\n',
        "tools/printer/m.wasm": answering(json.dumps(result)),
    }


def _routed(content: bytes) -> bytes:
    """A request, with the skill that its message is for, and an id of its own: the kit means another message by the same id.

    What the kit says to go on with a task is a decision here.
    """
    try:
        body: Any = json.loads(content)
        message: dict[str, Any] = body.get("params", body)["message"]
        identity = str(message["messageId"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return content
    skill = next((name for prefix, name in SKILLS.items() if identity.startswith(prefix)), "hello")
    message["metadata"] = {**(message.get("metadata") or {}), "skill": skill}
    message["messageId"] = f"{identity}-{uuid.uuid4().hex[:8]}" if identity else identity
    if identity.startswith(("tck-complete-task", "tck-infer-ctx")) and message.get("taskId"):
        parts: list[dict[str, Any]] = message.get("parts") or []
        message["parts"] = [{"text": f"approve: {part.get('text')}"} for part in parts]
    return json.dumps(body).encode()


def _proxy(server: RunningServer, workspace: str, origin: str) -> Starlette:
    ours = {"Authorization": f"Bearer {server.api_key}", "X-Caxton-Workspace": workspace}
    client = httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=60)

    async def pass_on(request: Request) -> Response:
        headers = {name: text for name, text in request.headers.items() if name != "content-length"}
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        content = _RECEIVER.sub(rf"{origin}{RELAY}\1".encode(), _routed(await request.body()))
        asked = client.build_request(request.method, path, content=content, headers={**headers, **ours})
        answer = await client.send(asked, stream=True)

        told = {name: text for name, text in answer.headers.items() if name not in _NOT_PASSED_ON}
        if not told.get("content-type", "").startswith("text/event-stream"):
            whole = (await answer.aread()).replace(f"{origin}{RELAY}".encode(), b"http://localhost:")
            return Response(whole, answer.status_code, told)

        async def rest() -> AsyncIterator[bytes]:
            try:
                async for block in answer.aiter_raw():
                    yield block
            finally:
                await answer.aclose()

        return StreamingResponse(rest(), answer.status_code, told)

    async def relay(request: Request) -> Response:
        address = f"http://localhost:{request.path_params['port']}/{request.path_params['path']}"
        headers = {name: text for name, text in request.headers.items() if name not in ("host", "content-length")}
        answer = await client.post(address, content=await request.body(), headers=headers)
        return Response(status_code=answer.status_code)

    relayed = Route(f"{RELAY}{{port:int}}/{{path:path}}", relay, methods=["POST"])
    return Starlette(routes=[relayed, Route("/{path:path}", pass_on, methods=_VERBS)])


@contextmanager
def ready(folder: Path) -> Generator[str]:
    """The address at which the kit finds an agent, with a server behind it that keeps its data in `folder`."""
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    settings = {"CAXTON_A2A__PUSH_ORIGINS": json.dumps(["https://*", origin])}
    process, server = start_server(folder / "data", env=settings)
    try:
        with server.client("tck") as api:
            deploy_files(api, folder / "workspace", agents())
        proxy = uvicorn.Server(uvicorn.Config(_proxy(server, "tck", origin), port=port, log_level="warning"))
        thread = threading.Thread(target=proxy.run)
        thread.start()
        try:
            while not proxy.started:
                time.sleep(0.05)
            yield origin
        finally:
            proxy.should_exit = True
            thread.join(30)
    finally:
        stop_server(process)


def run(kit: Path, *arguments: str) -> dict[str, Any]:
    """What the kit reports, by requirement."""
    with tempfile.TemporaryDirectory() as folder, ready(Path(folder)) as address:
        report = Path(folder) / "report"
        command = [str(kit / ".venv/bin/python"), "-m", "pytest", "tests/compatibility", f"--sut-host={address}"]
        command += [f"--compatibility-report={report}", "-q", "-p", "no:cacheprovider", "--tb=short", *arguments]
        subprocess.run(command, cwd=kit, check=False)
        return cast("dict[str, Any]", json.loads(report.with_suffix(".json").read_text()))


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), *sys.argv[2:]), indent=1))
