"""Names for the shell to complete: from the server if it answers at once, else from what is remembered."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

_PATIENCE = 0.3
"""Seconds that a person who pressed Tab waits for the server."""


def complete_agent(incomplete: str) -> list[str]:
    """Names of agents."""
    return _complete(incomplete, "/v1/agents", "agents", "agent")


def complete_tool(incomplete: str) -> list[str]:
    """Names of tools."""
    return _complete(incomplete, "/v1/tools", "tools", "tool")


def complete_function(incomplete: str) -> list[str]:
    """Functions of tools: "csv-tools.parse"."""
    try:
        tools = _fetch("/v1/tools")["tools"]
        names = [f"{tool['name']}.{function['name']}" for tool in tools for function in tool["functions"]]
    except Exception:
        names = [f"{name}." for name in _remembered("tool")]
    return _matching(names, incomplete)


def complete_capability(incomplete: str) -> list[str]:
    """Names of capabilities."""
    return _complete(incomplete, "/v1/capabilities", "capabilities", "capability")


def complete_schedule(incomplete: str) -> list[str]:
    """Schedules: "AGENT/NAME"."""
    try:
        names = [f"{each['agent']}/{each['name']}" for each in _fetch("/v1/schedules")["schedules"]]
    except Exception:
        names = []
    return _matching(names, incomplete)


def complete_trigger(incomplete: str) -> list[str]:
    """Triggers: "AGENT/NAME"."""
    try:
        names = [f"{each['agent']}/{each['name']}" for each in _fetch("/v1/triggers")["triggers"]]
    except Exception:
        names = []
    return _matching(names, incomplete)


def complete_conversation(incomplete: str) -> list[str]:
    """Ids of conversations that go on."""
    return _complete(incomplete, "/v1/conversations?active=true&limit=50", "conversations", None)


def _complete(incomplete: str, path: str, key: str, kind: str | None) -> list[str]:
    try:
        names = [each.get("name") or each["id"] for each in _fetch(path)[key]]
    except Exception:  # a broken setting, no server, a wrong key: completion never complains
        names = list(_remembered(kind))
    return _matching(names, incomplete)


def _matching(names: list[str], incomplete: str) -> list[str]:
    return sorted(name for name in set(names) if name.startswith(incomplete))


def _fetch(path: str) -> Any:
    """The answer to a GET, with the standard library: it loads in a tenth of the client's time."""
    import json
    from http.client import HTTPConnection, HTTPSConnection
    from urllib.parse import urlsplit

    from caxton.cli.known_servers import is_known
    from caxton.client.discovery import discover

    found = discover()
    if not is_known(found):
        raise PermissionError("nobody has agreed that the key goes there")
    parts = urlsplit(found.url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_PATIENCE)
    headers = {"Authorization": f"Bearer {found.api_key}", "X-Caxton-Workspace": found.workspace}
    try:
        connection.request("GET", f"{parts.path}{path}", headers=headers)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def _remembered(kind: str | None) -> Iterator[str]:
    from caxton.cli.state import recall
    from caxton.client.discovery import discover

    try:
        server = discover()
    except Exception:  # see above
        return
    for folder in (Path.cwd(), *Path.cwd().parents):
        state = recall(folder, server.workspace, server.url)
        if state is None:
            continue
        if kind == "capability":
            yield from state.capabilities
        else:
            yield from (component["name"] for component in state.components if component.get("kind") == kind)
        return
