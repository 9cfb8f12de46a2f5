"""`caxton health`"""

import typer

from caxton.cli.app import new_app
from caxton.cli.connection import connect
from caxton.cli.errors import NOT_WELL
from caxton.cli.invocation import current
from caxton.cli.output import emit, prose, say, style
from caxton.cli.tables import table

app = new_app()


@app.command()
def health() -> None:
    """Show the health of the server's components. Exit code 9 if a required one is not healthy."""
    with connect(patience=0) as caxton:
        readiness = caxton.ready()
        url = caxton.connection.url
    if current().json:
        emit(readiness)
    else:
        colour = {"ready": "green", "starting": "yellow"}.get(readiness.status, "red")
        prose(f"{style(readiness.status, 'bold', colour)}  {url}")
        rows = [
            [
                _mark(part.status),
                name,
                part.detail or part.status,
                f"{part.latency_ms:.0f} ms" if part.latency_ms else "",
            ]
            for name, part in readiness.components.items()
        ]
        for line in table(rows, indent="  "):
            say(line)
    if readiness.status != "ready":
        raise typer.Exit(NOT_WELL)


def _mark(status: str) -> str:
    known = {"ok": style("✓", "green"), "degraded": style("!", "yellow"), "starting": style("…", "yellow")}
    return known.get(status, style("✗", "red"))
