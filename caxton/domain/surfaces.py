"""The surface of an MCP server: the functions that agents see of it, pinned by hash when it is deployed."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from caxton.domain.ids import Digest, digest_of
from caxton.domain.mcp_servers import McpServer, SurfaceChange
from caxton.domain.tools import ToolFunction

PARTS: Final = ("description", "inputSchema", "outputSchema", "annotations")
"""What belongs to the surface of a function, beside its name: all that models see, and what policy is told."""


def surface_of(functions: Iterable[ToolFunction]) -> Digest:
    """The hash of a surface, whatever the order in which functions are listed."""
    told = sorted(({"name": each.name, **_parts(each)} for each in functions), key=lambda each: str(each["name"]))
    return digest_of(json.dumps(told, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode())


def chosen(server: McpServer, functions: Sequence[ToolFunction]) -> list[ToolFunction]:
    """Those of a server's functions that its manifest lets agents have."""
    return [each for each in functions if not server.functions or each.name in server.functions]


def differences(pinned: Sequence[ToolFunction], found: Sequence[ToolFunction]) -> list[SurfaceChange]:
    """What has changed, by the names of functions."""
    before, after = {each.name: each for each in pinned}, {each.name: each for each in found}
    changes: list[SurfaceChange] = []
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old is None:
            assert new is not None
            changes.append(SurfaceChange(function=name, change="added", after=_parts(new)))
        elif new is None:
            changes.append(SurfaceChange(function=name, change="removed", before=_parts(old)))
        elif _parts(old) != _parts(new):
            one, two = _parts(old), _parts(new)
            fields = [part for part in PARTS if one[part] != two[part]]
            changes.append(SurfaceChange(function=name, change="changed", fields=fields, before=one, after=two))
    return changes


def told(changes: Sequence[SurfaceChange], most: int = 20) -> list[str]:
    """The changes in a few words each, without the server's own texts."""
    lines = [
        f"{each.function} {each.change}" + (f" ({', '.join(each.fields)})" if each.fields else "") for each in changes
    ]
    return [*lines[:most], *([f"{len(lines) - most} more"] if len(lines) > most else [])]


def _parts(function: ToolFunction) -> dict[str, Any]:
    return {part: getattr(function, part) for part in PARTS}
