"""`caxton storage`"""

from typing import Annotated

import typer

from caxton.cli.app import new_app
from caxton.cli.connection import connect
from caxton.cli.invocation import current
from caxton.cli.output import emit, remark, say, style
from caxton.cli.tables import table

app = new_app()


@app.command()
def storage(
    tables: Annotated[
        bool, typer.Option("--tables", help="Also the size of each table; SQLite reads the whole database for that.")
    ] = False,
) -> None:
    """Show how much space each kind of data takes, and what retention removes next."""
    from caxton.domain.quantities import format_size

    with connect() as caxton:
        found = caxton.storage(tables=tables)
    if current().json:
        emit(found)
        return
    if found.server is not None:
        say(style("on the server's disk, of all customers", "bold"))
        rows: list[list[str]] = []
        for part in found.server:
            then = "used again, and more than a reserve given back" if part.shrinks else "used again"
            note = f"{format_size(part.free)} of it free: {then}" if part.free else ""
            if part.name == "data folder" and found.limit:
                note = f"of {format_size(found.limit)} (limits.data_size)"
            rows.append([f"  {part.name}", format_size(part.bytes), note])
        for line in table(rows):
            say(line)
    for name, size in sorted((found.tables or {}).items(), key=lambda each: -each[1]):
        say(f"    {name:<24}{format_size(size)}")
    if tables and found.tables is None:
        remark("The size of tables is not known: the key may not inspect the server, or its SQLite does not tell.")
    say(style(f"of the workspace {caxton.connection.workspace}", "bold"))
    older = {each.kind: each.outside for each in found.older if each.outside}
    counted = {name: count for name, count in found.own.rows.items() if name != "events"}
    for line in table([[f"  {name}", f"{count:,}", _older(older.get(name))] for name, count in counted.items()]):
        say(line)
    if found.own.memory is not None:
        say(f"  memory  {format_size(found.own.memory)}")
    say(style("of the customer", "bold"))
    say(f"  events in the database  {found.own.rows['events']:,}  {_older(older.get('events'))}".rstrip())
    say(f"  events in segments      {format_size(found.own.archive)}")
    say(f"  contents                {format_size(found.own.blobs)}")
    if all(each.seconds is None for each in found.older):
        remark("Nothing is deleted by itself. Set a period: caxton retention set --steps 90d")


def _older(count: int | None) -> str:
    return f"{count:,} older than their period, going" if count else ""
