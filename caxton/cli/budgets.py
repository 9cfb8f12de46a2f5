"""`caxton budgets list|set|remove`"""

from typing import Annotated

import typer

from caxton.cli.app import new_app
from caxton.cli.connection import connect
from caxton.cli.invocation import current
from caxton.cli.output import emit, percent, prose, remark, say, style
from caxton.cli.tables import table

app = new_app(help="Limit what a customer, a workspace or an agent may use.", no_args_is_help=True)

_RESOURCES = ("tokens", "cost_usd", "requests")
_PERIODS = ("hour", "day", "month", "total")

Resource = Annotated[str, typer.Argument(metavar="RESOURCE", help=f"{', '.join(_RESOURCES)}.")]
Period = Annotated[str, typer.Option("--per", metavar="PERIOD", help=f"{', '.join(_PERIODS)}.")]
OfWorkspace = Annotated[
    str | None, typer.Option("--of-workspace", metavar="NAME", help="Only this workspace; else all of them together.")
]
OfAgent = Annotated[
    str | None,
    typer.Option("--of-agent", metavar="NAME", help="Only this agent, of --of-workspace or the current one."),
]


@app.command("list")
def list_budgets() -> None:
    """Show all budgets and what is used of them."""
    with connect() as caxton:
        budgets = caxton.budgets()
    if current().json:
        emit({"budgets": budgets})
        return
    if not budgets:
        prose("there are no budgets: nothing is limited")
        remark("Next: caxton budgets set tokens 1000000 --per day")
        return
    rows: list[list[str]] = []
    for each in budgets:
        share = each.used / each.limit if each.limit else 1.0
        colour = "red" if share >= 1 else "yellow" if share >= 0.8 else "green"
        until = f"until {each.ends_at:%Y-%m-%d %H:%M} UTC" if each.ends_at else ""
        used = f"{each.used:,.10g} of {each.limit:,.10g}"
        rows.append([each.subject, each.resource, _per(each.period), used, style(percent(share), colour), until])
    for line in table(rows, ["who", "what", "period", "used", "", ""]):
        say(line)


@app.command("set")
def set_budget(
    resource: Resource,
    limit: Annotated[float, typer.Argument(metavar="LIMIT", min=0, help="How much.")],
    per: Period = "day",
    of_workspace: OfWorkspace = None,
    of_agent: OfAgent = None,
) -> None:
    """Set a budget. What its period has used already counts."""
    from math import isfinite

    from caxton.domain.errors import UsageError

    _check(resource, per)
    if not isfinite(limit):
        raise UsageError(f"{limit} is not a limit", "to lift a limit: caxton budgets remove")
    with connect() as caxton:
        workspace = of_workspace or (caxton.connection.workspace if of_agent else None)
        budget = caxton.set_budget(resource, per, limit, workspace=workspace, agent=of_agent)
    if current().json:
        emit(budget)
        return
    prose(f"{budget.subject} may use {budget.limit:,.10g} {resource} {_per(per)}; {budget.used:,.10g} are used already")


@app.command()
def remove(resource: Resource, per: Period = "day", of_workspace: OfWorkspace = None, of_agent: OfAgent = None) -> None:
    """Remove a budget."""
    _check(resource, per)
    with connect() as caxton:
        workspace = of_workspace or (caxton.connection.workspace if of_agent else None)
        caxton.remove_budget(resource, per, workspace=workspace, agent=of_agent)
    if current().json:
        emit({"removed": True})
        return
    prose("the budget is removed")


def _per(period: str) -> str:
    return {"total": "in total", "hour": "an hour"}.get(period, f"a {period}")


def _check(resource: str, period: str) -> None:
    from caxton.domain.errors import UsageError

    if resource not in _RESOURCES:
        raise UsageError(f'"{resource}" is nothing that a budget can limit', f"write {', '.join(_RESOURCES)}")
    if period not in _PERIODS:
        raise UsageError(f'"{period}" is not a period', f"periods are {', '.join(_PERIODS)}")
