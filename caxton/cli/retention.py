"""`caxton retention show|set`"""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from caxton.cli.app import new_app
from caxton.cli.connection import connect
from caxton.cli.invocation import current
from caxton.cli.output import emit, is_terminal, prose, remark, say, style
from caxton.cli.tables import table

if TYPE_CHECKING:
    from caxton.views.retention import KindView, RetentionView

app = new_app(help="How long the workspace keeps what.", no_args_is_help=True)

TIME = "TIME"
_HELP = 'such as "30d", "forever", or "default" for what the server\'s settings say'


def _period(text: str | None, option: str, known: float | str | None) -> float | str | None:
    """What a period is to be.

    Raises:
        UsageError: it is none.
    """
    from caxton.domain.errors import UsageError
    from caxton.domain.quantities import parse_duration

    if text is None:
        return known
    if text in ("forever", "default"):
        return text if text == "forever" else None
    try:
        return float(parse_duration(text))
    except (TypeError, ValueError):
        raise UsageError(f'{option} "{text}" is not a time', f"write one {_HELP}") from None


@app.command()
def show() -> None:
    """Show the retention periods of the workspace, and how much data is older."""
    with connect() as caxton:
        found = caxton.retention()
    if current().json:
        emit(found)
        return
    _show(found)
    if all(each.seconds is None for each in found.periods):
        remark("Nothing is deleted by itself. Set a period: caxton retention set --steps 90d")


@app.command("set")
def set_periods(
    conversations: Annotated[
        str | None, typer.Option(metavar=TIME, help=f"Conversations that have ended, with all that they left: {_HELP}.")
    ] = None,
    messages: Annotated[str | None, typer.Option(metavar=TIME, help="What was said.")] = None,
    executions: Annotated[
        str | None, typer.Option(metavar=TIME, help="Executions, with their steps and approvals.")
    ] = None,
    steps: Annotated[
        str | None, typer.Option(metavar=TIME, help="Answers of models, arguments and results of calls.")
    ] = None,
    contents: Annotated[
        str | None, typer.Option(metavar=TIME, help="Uploaded files that belong to no version of an agent or tool.")
    ] = None,
    events: Annotated[
        str | None,
        typer.Option(
            metavar=TIME, help="The event log of all workspaces: older events move from the database to files."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Set the retention periods of the workspace. Periods that are not given stay as they are."""
    from caxton.domain.errors import UsageError

    given = {
        "conversations": conversations,
        "messages": messages,
        "executions": executions,
        "steps": steps,
        "contents": contents,
    }
    if all(value is None for value in [*given.values(), events]):
        raise UsageError(
            "nothing to set", 'give a period, such as --steps 90d, or see them with "caxton retention show"'
        )
    with connect() as caxton:
        known = {each.kind: _own(each) for each in caxton.retention().periods}
        of_log = _period(events, "--events", known.pop("events", None))
        wanted = {kind: _period(text, f"--{kind}", known[kind]) for kind, text in given.items()}
        would = caxton.set_retention(wanted, dry_run=True)
        going = [each for each in would.periods if each.outside and each.kind != "events"]
        if going and not yes:
            _ask(going)
        if events is not None:
            caxton.set_events_retention(of_log)
        found = caxton.set_retention(wanted)
    if current().json:
        emit(found)
        return
    _show(found)
    if any(each.outside for each in found.periods):
        remark("What is older goes within minutes; events leave the database for files: caxton events segments")


def _own(known: "KindView") -> float | str | None:
    if known.default:
        return None
    return "forever" if known.seconds is None else known.seconds


def _ask(going: "list[KindView]") -> None:
    """Asks whether what is older is to be deleted.

    Raises:
        UsageError: nobody can be asked.
        Exit: the answer was no.
    """
    from caxton.domain.errors import UsageError

    what = ", ".join(f"{each.outside:,} {each.kind}" for each in going)
    if current().json or not (is_terminal() and sys.stdin.isatty()):
        raise UsageError(f"this deletes for good what is older: {what}; and nobody can be asked here", "add --yes")
    if not typer.confirm(f"Delete for good what is older: {what}?", default=False):
        prose("Nothing was changed.")
        raise typer.Exit(1)


def _show(found: "RetentionView") -> None:
    from caxton.domain.quantities import format_duration

    rows: list[list[str]] = []
    for each in found.periods:
        period = "forever" if each.seconds is None else format_duration(each.seconds)
        source = style("by the server's settings", "dim") if each.default and each.seconds is not None else ""
        older = f"{each.outside:,} older" if each.outside else ""
        rows.append([each.kind, period, older, source])
    for line in table(rows):
        say(line)
