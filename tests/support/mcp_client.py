"""Clients of the server's own MCP face: the official SDK's, and one that sends what it is told."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx
import httpx2
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent

from tests.conftest import RunningServer

MODES = ["legacy", "auto"]
"""As the SDK calls them: revision 2025-11-25, and 2026-07-28."""

Work = Callable[[Client], Awaitable[Any]]
Use = Callable[..., Any]
"""Runs some `Work` in the test's workspace."""

MODERN = "2026-07-28"
VERSION = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
NAMED = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "taskId",
    "tasks/cancel": "taskId",
}


def with_sdk(
    server: RunningServer,
    workspace: str,
    work: Work,
    mode: str = "auto",
    *,
    key: str | None = None,
    **options: Any,
) -> Any:
    """Runs `work` with the official SDK's client; `mode` is "legacy" (2025-11-25) or "auto" (2026-07-28)."""

    async def run() -> Any:
        headers = {"Authorization": f"Bearer {key or server.api_key}", "X-Caxton-Workspace": workspace}
        async with httpx2.AsyncClient(headers=headers, timeout=60, trust_env=False) as http:
            transport = streamable_http_client(f"{server.url}/mcp", http_client=http)
            async with Client(transport, mode=mode, **options) as client:  # pyright: ignore[reportArgumentType]
                return await work(client)

    return asyncio.run(run())


def text_of(result: CallToolResult, number: int = 0) -> str:
    """One of the texts of a result."""
    found = result.content[number]
    assert isinstance(found, TextContent)
    return found.text


@dataclass
class Raw:
    """Sends messages as they are given."""

    http: httpx.Client
    capabilities: Mapping[str, Any] = field(default_factory=dict[str, Any])
    session: str | None = None
    numbers: Any = field(default_factory=lambda: count(1))

    def post(self, message: Any, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """Posts a message."""
        told = {"Accept": "application/json, text/event-stream"}
        return self.http.post("/mcp", json=message, headers={**told, **(headers or {})})

    def begin(self, version: str = "2025-11-25") -> "Raw":
        """Begins as older revisions do."""
        params = {
            "protocolVersion": version,
            "capabilities": self.capabilities,
            "clientInfo": {"name": "t", "version": "1"},
        }
        answer = self.post({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})
        assert answer.status_code == 200, answer.text
        self.session = answer.headers["Mcp-Session-Id"]
        return self

    def legacy(self, method: str, **params: Any) -> httpx.Response:
        """Sends a request of revision 2025-11-25."""
        headers = {"MCP-Protocol-Version": "2025-11-25", **({"Mcp-Session-Id": self.session} if self.session else {})}
        message = {"jsonrpc": "2.0", "id": next(self.numbers), "method": method, "params": params}
        return self.post(message, headers)

    def modern(self, method: str, headers: Mapping[str, str] | None = None, **params: Any) -> httpx.Response:
        """Sends a request of revision 2026-07-28."""
        meta = {VERSION: MODERN, CAPABILITIES: self.capabilities, **params.pop("_meta", {})}
        told = {"MCP-Protocol-Version": MODERN, "Mcp-Method": method}
        if NAMED.get(method) in params:
            told["Mcp-Name"] = str(params.get(NAMED[method]))
        message = {"jsonrpc": "2.0", "id": next(self.numbers), "method": method, "params": {**params, "_meta": meta}}
        return self.post(message, {**told, **(headers or {})})


def messages_of(answer: httpx.Response) -> list[dict[str, Any]]:
    """The messages of an answer, be it JSON or a stream."""
    if answer.headers["content-type"].startswith("application/json"):
        return [answer.json()]
    return [json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line.startswith("data: ")]


def result_of(answer: httpx.Response) -> dict[str, Any]:
    """The result that an answer ends with."""
    last = messages_of(answer)[-1]
    assert "result" in last, last
    return last["result"]
