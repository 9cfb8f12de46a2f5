"""`caxton breaker list|reset`"""

from typing import TYPE_CHECKING, Annotated

import typer

from caxton.cli.app import new_app
from caxton.cli.connection import connect
from caxton.cli.invocation import current
from caxton.cli.output import ago, emit, prose, remark, say, style
from caxton.cli.tables import table
from caxton.domain.state_words import in_words

if TYPE_CHECKING:
    from caxton.views.breakers import BreakerView

app = new_app(help="Circuit breakers: what keeps failing and rests.", no_args_is_help=True)

_COLOURS = {"Open": "red", "HalfOpen": "yellow", "Closed": "green"}


@app.command("list")
def list_breakers() -> None:
    """List circuit breakers that are open, or have failures to remember."""
    with connect() as caxton:
        found = caxton.breakers()
    if current().json:
        emit({"breakers": found})
        return
    if not found:
        prose("all circuit breakers are closed, and nothing has failed lately")
        return
    for line in table(breaker_rows(found), ["what", "state", "", "failures", "last error", "since"]):
        say(line)
    if any(each.state != "Closed" for each in found):
        remark("Close one by hand: caxton breaker reset KIND NAME")


@app.command()
def reset(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="agent, tool, or model for a provider of models.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="As `caxton breaker list` shows it.")],
) -> None:
    """Close a circuit breaker, and forget its failures: work goes there again at once."""
    from caxton.domain.errors import UsageError

    if kind not in ("agent", "tool", "model"):
        raise UsageError(f'"{kind}" has no circuit breaker', "write agent, tool or model")
    with connect() as caxton:
        was = caxton.reset_breaker(kind, name)
    if current().json:
        emit(was)
        return
    prose(f"the circuit breaker of {kind} {name} is closed; it was {in_words(was.state)}")


def breaker_rows(found: "list[BreakerView]") -> list[list[str]]:
    """Rows of a table of breakers."""
    rows: list[list[str]] = []
    for each in found:
        of = f" of {each.calls}" if each.calls > each.failures else ""
        rows.append(
            [
                f"{each.kind} {each.name}",
                style(in_words(each.state), _COLOURS.get(each.state, "bold")),
                each.message,
                f"{each.failures}{of}",
                each.last_error or "",
                ago(each.since),
            ]
        )
    return rows
