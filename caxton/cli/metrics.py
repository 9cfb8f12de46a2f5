"""`caxton metrics list|define|remove`"""

from typing import Annotated, Any

import typer

from caxton.cli.app import new_app
from caxton.cli.connection import connect
from caxton.cli.events import moment_of
from caxton.cli.invocation import current
from caxton.cli.output import emit, percent, prose, say, style
from caxton.cli.tables import table

app = new_app(help="Metrics that derive from events.", no_args_is_help=True)

_CONDITIONS = ("agent", "capability", "action_type", "tool", "error_code")
Name = Annotated[str, typer.Argument(metavar="NAME", help="Lower-case letters, digits and -.")]


@app.command("list")
def list_metrics(
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help='From then on, in whole hours: "2d" ago, or a moment.')
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Before then.")] = None,
) -> None:
    """Show all metrics: of the last day, unless a span is given."""
    with connect() as caxton:
        metrics = caxton.metrics(since=moment_of(since, "--since"), until=moment_of(until, "--until"))
    if current().json:
        emit({"metrics": metrics})
        return
    rows: list[list[str]] = []
    for metric in metrics:
        of = f"{metric.count} of {metric.per}" if metric.per is not None else ""
        rows.append(
            [style(metric.name, "bold"), _shown(metric.value, ratio=metric.per is not None), of, metric.description]
        )
        rows += [
            [f"  {name}", _shown(value, ratio=metric.per is not None), "", ""] for name, value in metric.by.items()
        ]
    for line in table(rows, ["metric", "value", "", ""]):
        say(line)


@app.command()
def define(
    name: Name,
    count: Annotated[str, typer.Option(metavar="TYPE", help="Count events of this type.")],
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help=f"Only those; NAME is one of {', '.join(_CONDITIONS)}. Repeatable."),
    ] = None,
    per: Annotated[
        str | None, typer.Option(metavar="TYPE", help="Divide by the number of events of this type.")
    ] = None,
    by: Annotated[str | None, typer.Option(metavar="NAME", help="Also for each value of this.")] = None,
    description: Annotated[str, typer.Option(metavar="TEXT", help="What it means.")] = "",
) -> None:
    """Define a metric of the workspace, over all events."""
    selector: dict[str, Any] = {"type": count, **_conditions(where or [])}
    definition: dict[str, Any] = {"count": selector, "description": description}
    if per:
        definition["per"] = {"type": per}
    if by:
        definition["by"] = by
    with connect() as caxton:
        caxton.define_metric(name, definition)
    if current().json:
        emit({"name": name, **definition})
        return
    prose(f'the metric "{name}" is defined: caxton metrics list')


@app.command()
def remove(name: Name) -> None:
    """Remove a metric of the workspace."""
    with connect() as caxton:
        caxton.remove_metric(name)
    if current().json:
        emit({"removed": name})
        return
    prose(f'the metric "{name}" is removed')


def _conditions(where: list[str]) -> dict[str, str]:
    """The conditions that `where` gives.

    Raises:
        UsageError: one is not NAME=VALUE, or of a name that events are not counted by.
    """
    from caxton.definitions.suggestions import did_you_mean
    from caxton.domain.errors import UsageError

    found: dict[str, str] = {}
    for condition in where:
        name, equals, value = condition.partition("=")
        if not equals or name not in _CONDITIONS or not value:
            guess = did_you_mean(name, _CONDITIONS)
            hints = [guess] if guess else []
            raise UsageError(
                f'--where "{condition}" is not a condition',
                *hints,
                f"write NAME=VALUE; NAME is one of {', '.join(_CONDITIONS)}",
            )
        found[name] = value
    return found


def _shown(value: float | None, *, ratio: bool) -> str:
    if value is None:
        return "-"
    return percent(value, 1) if ratio else f"{value:,.0f}"
