"""`caxton mcp`, `caxton mcp install CLIENT`"""

import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caxton.cli.app import new_app
from caxton.cli.invocation import current
from caxton.cli.output import complain, emit, prose, remark, say, style

if TYPE_CHECKING:
    from caxton.client.discovery import Connection

app = new_app(help="Speak MCP over standard input and output: agents as tools of the client that starts this.")

KEY_HINT = "name a file that has an API key, and nothing else, such as admin.key in the data folder of a server on this machine"

KeyFile = Annotated[
    Path | None,
    typer.Option("--key-file", metavar="FILE", help="Read the API key from this file, in place of the environment."),
]


@app.callback(invoke_without_command=True)
def mcp(context: typer.Context, key_file: KeyFile = None) -> None:
    """Speak MCP over standard input and output: agents as tools of the client that starts this."""
    if context.invoked_subcommand is not None:
        return
    import asyncio

    from caxton.client.mcp_bridge import Bridge

    connection = _connection(key_file)
    if sys.stdin.isatty():
        complain("This speaks MCP with a program. To configure one: caxton mcp install claude")

    def write(line: str) -> None:
        sys.stdout.buffer.write(line.encode(errors="replace") + b"\n")
        sys.stdout.buffer.flush()

    async def run() -> None:
        await Bridge(connection, write).run(_lines())

    asyncio.run(run())


@app.command()
def install(
    client: Annotated[str, typer.Argument(metavar="CLIENT", help="claude, claude-code, cursor or vscode.")],
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="How the client calls the server.")] = "caxton",
    key_file: KeyFile = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write without asking.")] = False,
) -> None:
    """Write the client's configuration, after showing what changes. The key itself is never written."""
    from caxton.cli.mcp_install import plan

    planned = plan(client, name, _connection(key_file), key_file)
    if current().json:
        if yes:
            planned.write()
        emit({"file": str(planned.file), "changes": planned.changes, "written": yes and planned.changes})
        return
    if not planned.changes:
        prose(f"{planned.file} has it already")
        return
    say(style(str(planned.file), "bold"))
    for line in planned.diff:
        say(style(line, {"+": "green", "-": "red"}.get(line[:1], "dim")))
    if not yes and not typer.confirm("Write this?", default=True):
        prose("nothing was written")
        raise typer.Exit(1)
    planned.write()
    remark(planned.then)


def _connection(key_file: Path | None) -> "Connection":
    """Where to connect to and as whom."""
    from caxton.cli.reading import unreadable
    from caxton.client.discovery import discover
    from caxton.domain.errors import UsageError

    given = current()
    key = None
    if key_file is not None:
        try:
            key = key_file.expanduser().read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise unreadable(f"--key-file {key_file}", error, KEY_HINT) from None
        if not key:
            raise UsageError(f"--key-file {key_file}: it is empty", KEY_HINT)
    found = discover(url=given.url, api_key=key, workspace=given.workspace, config=given.config)
    return replace(found, url_from="--url") if given.url else found


async def _lines() -> AsyncIterator[bytes]:
    """Lines of standard input. A thread reads them, for not every kind of input can be waited for."""
    import asyncio
    import threading

    loop = asyncio.get_running_loop()
    queue = asyncio.Queue[bytes]()

    def read() -> None:
        try:
            while line := sys.stdin.buffer.readline():
                loop.call_soon_threadsafe(queue.put_nowait, line)
            loop.call_soon_threadsafe(queue.put_nowait, b"")
        except RuntimeError:  # the loop has ended
            return

    threading.Thread(target=read, daemon=True).start()
    while line := await queue.get():
        yield line
