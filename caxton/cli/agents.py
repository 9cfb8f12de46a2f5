"""`caxton agent list|show|start|stop|restart|resume`"""

from typing import TYPE_CHECKING, Annotated

import typer

from caxton.cli.app import new_app
from caxton.cli.completions import complete_agent
from caxton.cli.invocation import connect, current
from caxton.cli.output import ago, columns, emit, milliseconds, remark, say, shorten, style, table

if TYPE_CHECKING:
    from caxton.client.views import AgentView, Statistics

app = new_app(help="List, show, start and stop agents.", no_args_is_help=True)

AgentName = Annotated[
    str, typer.Argument(metavar="NAME", help="As `caxton agent list` shows it.", autocompletion=complete_agent)
]
Grace = Annotated[
    str | None,
    typer.Option(
        metavar="TIME", help='Time for work in hand to finish, such as "30s"; new work goes elsewhere at once.'
    ),
]

_COLOURS = {"Running": "green", "Failed": "red", "Draining": "yellow", "Stopped": "dim"}


def _state(agent: "AgentView") -> str:
    """In which state it is; one that runs and may take no work is suspended."""
    if agent.suspended and agent.state == "Running":
        return style("Suspended", "yellow")
    return style(agent.state, _COLOURS.get(agent.state, "bold"))


@app.command("list")
def list_agents() -> None:
    """List the agents that are deployed."""
    with connect() as caxton:
        agents = caxton.agents()
    if current().json:
        emit({"agents": agents})
        return
    if not agents:
        say("no agents are deployed")
        remark("Next: caxton init my-agent, then caxton deploy")
        return
    rows = [
        [
            agent.name,
            agent.version,
            _state(agent),
            ", ".join(capability.name for capability in agent.capabilities),
            success(agent.statistics),
            f"{agent.running} running" if agent.running else "",
        ]
        for agent in agents
    ]
    for line in table(rows, ["agent", "version", "state", "capabilities", "calls", "now"]):
        say(line)


@app.command()
def show(name: AgentName) -> None:
    """Show one agent: what it offers, what it uses, how it has done."""
    with connect() as caxton:
        agent = caxton.agent(name)
    if current().json:
        emit(agent)
        return
    say(f"{style(agent.name, 'bold')} {agent.version}  {_state(agent)}")
    if agent.reason:
        say(f"  {agent.reason}")
    if agent.suspended:
        say(style(f"  takes no work: {agent.suspended}", "yellow"))
        remark(f"  let it: caxton agent resume {agent.name}")
    if agent.description:
        say(f"  {agent.description}")
    for line in table(_facts(agent), indent="  "):
        say(line)
    if agent.documentation:
        say()
        say(agent.documentation.strip())


@app.command()
def resume(
    name: AgentName,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for the log.")] = "",
) -> None:
    """Let an agent take work again that was suspended after it had broken its promises."""
    with connect() as caxton:
        agent = caxton.resume_agent(name, reason)
    if current().json:
        emit(agent)
        return
    say(f'"{agent.name}" takes work again')


@app.command()
def start(name: AgentName) -> None:
    """Start an agent that was stopped."""
    with connect() as caxton:
        _changed(caxton.start_agent(name))


@app.command()
def stop(name: AgentName, grace: Grace = None) -> None:
    """Stop an agent: new work goes elsewhere, work in hand has time to finish."""
    with connect() as caxton:
        _changed(caxton.stop_agent(name, seconds(grace)))


@app.command()
def restart(name: AgentName, grace: Grace = None) -> None:
    """Stop an agent and start it again."""
    with connect() as caxton:
        _changed(caxton.restart_agent(name, seconds(grace)))


def seconds(text: str | None) -> float | None:
    """The seconds of a duration that was typed.

    Raises:
        UsageError: it is none.
    """
    from caxton.domain.errors import UsageError
    from caxton.domain.quantities import parse_duration

    if text is None:
        return None
    try:
        return float(text) if text.replace(".", "", 1).isdigit() else float(parse_duration(text))
    except ValueError as error:
        raise UsageError(f'"{text}" is no time: {error}') from None


def success(statistics: "Statistics | None") -> str:
    """ "12 calls, 100 % ok, 18 ms"."""
    from caxton.cli.output import plural

    if statistics is None or not statistics.calls:
        return "never used"
    share = round(100 * statistics.succeeded / statistics.calls)
    mean = f", {milliseconds(statistics.mean_ms)}" if statistics.mean_ms is not None else ""
    return f"{plural(statistics.calls, 'call')}, {share} % ok{mean}"


def _changed(agent: "AgentView") -> None:
    if current().json:
        emit(agent)
        return
    running = f", {agent.running} still running" if agent.running else ""
    say(f"{agent.name} is {agent.state}{running}" + (f": {agent.reason}" if agent.reason else ""))


def _facts(agent: "AgentView") -> list[list[str]]:
    from caxton.domain.quantities import format_duration

    rows = [
        [capability.name, f"{capability.version}  {capability.description}".rstrip()]
        for capability in agent.capabilities
    ]
    facts = [["offers" if index == 0 else "", "  ".join(row)] for index, row in enumerate(rows)]
    if agent.tools:
        facts.append(["tools", ", ".join(agent.tools)])
    if agent.delegates:
        names = [str(each["name"]) if isinstance(each, dict) else str(each) for each in agent.delegates]  # type: ignore[index]
        facts.append(["may ask for", ", ".join(names)])
    if agent.model:
        resolved = agent.model.resolved
        chosen = ", ".join(resolved) if isinstance(resolved, list) else resolved or str(agent.model.configured)
        facts.append(["model", f"{chosen}{' (scripted)' if agent.model.scripted and chosen != 'scripted' else ''}"])
        if agent.model.note:
            facts.append(["", agent.model.note])
    if agent.limits:
        shown = (
            {**agent.limits, "time": format_duration(agent.limits["time"])} if "time" in agent.limits else agent.limits
        )
        facts.append(["limits", ", ".join(f"{name} {value}" for name, value in shown.items())])
    facts.append(["used", success(agent.statistics)])
    if agent.running:
        facts.append(["now", f"{agent.running} running"])
    facts.append(["deployed", f"{ago(agent.updated_at)}  {agent.deployment_id or ''}".rstrip()])
    facts.append(["digest", agent.digest[:12]])
    space = columns() - 16
    return [[name, shorten(value, space) if name in ("offers", "") else value] for name, value in facts]
