"""Tools that are ordinary MCP servers, for tests: their folders, their files, and a server over HTTP."""

import json
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caxton.domain.mcp_servers import command_line
from tests.support.ports import free_port
from tests.support.waiting import until

PROGRAM = Path(__file__).with_name("mcp_server.py")


@dataclass(frozen=True)
class ServerFolder:
    """What a server of tests/support/mcp_server.py offers and how it behaves, and what it noted."""

    path: Path

    @property
    def words(self) -> list[str]:
        """The command that starts it on standard input and output."""
        return [sys.executable, str(PROGRAM), str(self.path)]

    @property
    def line(self) -> str:
        """Likewise, as operators allow it."""
        return command_line(self.words)

    def say(self, name: str, text: str) -> None:
        """Changes how it behaves from now on."""
        (self.path / name).write_text(text)

    def noted(self, key: str) -> list[Any]:
        """What it noted under `key`."""
        log = self.path / "log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [found[key] for line in lines if key in (found := json.loads(line))]

    def as_tool(self, name: str = "other", **more: Any) -> dict[str, str | bytes]:
        """A tool that starts it; see :func:`mcp_tool`."""
        return mcp_tool(name, command=self.words[0], args=self.words[1:], **more)

    @contextmanager
    def over_http(self) -> Generator[str]:
        """Runs it over HTTP; gives its origin."""
        port = free_port()
        process = subprocess.Popen([*self.words, str(port)])
        try:
            until(lambda: _answers(port), 60)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


def mcp_tool(
    name: str = "other",
    *,
    version: str = "1.0.0",
    permissions: dict[str, Any] | None = None,
    limits: dict[str, Any] | None = None,
    **server: Any,
) -> dict[str, str | bytes]:
    """The files of a tool that is an MCP server; `server` is its `[mcp_server]`."""
    lines = [f'name = "{name}"', f'version = "{version}"']
    tables = {"mcp_server": {"connect_timeout": "60s", **server}, "permissions": permissions, "limits": limits}
    for table, values in tables.items():
        if values:
            lines += [f"[{table}]", *(f"{key} = {_toml(value)}" for key, value in values.items())]
    return {f"tools/{name}/tool.toml": "\n".join(lines)}


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {_toml(each)}' for key, each in value.items())} }}"
    return json.dumps(value)


def _answers(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
