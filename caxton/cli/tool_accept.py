"""`caxton tool accept`"""

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caxton.cli.completions import complete_tool
from caxton.cli.connection import connect
from caxton.cli.deploy import Yes
from caxton.cli.invocation import current
from caxton.cli.output import complain, emit, is_terminal, prose, remark, say, style

if TYPE_CHECKING:
    from caxton.domain.mcp_servers import SurfaceChange
    from caxton.views.tools import SurfaceView

LONGEST_LINE = 2_000
"""Characters of a text that is shown."""


def accept(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The tool.", autocompletion=complete_tool)],
    yes: Yes = False,
) -> None:
    """Show how a tool's MCP server has changed since it was deployed, and accept that. Needs the role operator."""
    with connect() as caxton:
        found = caxton.tool_surface(name)
        if not current().json:
            _show(found)
        if not found.changes:
            _told(found)
            return
        if not yes and not _agreed(name):
            raise typer.Exit(1)
        _told(caxton.accept_surface(name, found.found))


def _told(view: "SurfaceView") -> None:
    if current().json:
        emit(view)
    elif view.changes:
        prose(f"{style('✓', 'green')} {view.tool} may be called as its server offers it now ({view.found[:12]})")


def _agreed(name: str) -> bool:
    if current().json or not (is_terminal() and sys.stdin.isatty()):
        complain("Nothing was accepted.")
        complain(f"Accept it with: caxton tool accept {name} --yes")
        return False
    return typer.confirm("Accept this? Agents see it from the next call on.", default=False)


def _show(view: "SurfaceView") -> None:
    if not view.changes:
        prose(f"{view.tool}: its server offers what it did when it was deployed ({view.pinned[:12]})")
        return
    for each in view.changes:
        colour = {"added": "green", "removed": "red"}.get(each.change, "yellow")
        prose(f"{style(each.function, 'bold')}  {style(each.change, colour)}")
        for line in _lines(each):
            say(line)
    remark("What you read here was written by whoever runs that server.")


def _lines(change: "SurfaceChange") -> Iterator[str]:
    from caxton.domain.deceptive import revealed

    before, after = change.before or {}, change.after or {}
    for part in ("description", "inputSchema", "outputSchema", "annotations"):
        old, new = before.get(part), after.get(part)
        if old == new or not (old or new):
            continue
        yield f"  {part}"
        for mark, colour, value in (("-", "red", old), ("+", "green", new)):
            for line in revealed(_text(value)).splitlines():
                yield style(f"    {mark} {line[:LONGEST_LINE]}", colour)


def _text(value: Any) -> str:
    if value in (None, "", {}):
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True)
