"""`caxton agent list|show|start|stop|restart|resume|init|wit`"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from caxton.cli import agent_starters
from caxton.cli.app import new_app
from caxton.cli.completions import complete_agent
from caxton.cli.connection import connect
from caxton.cli.drains import draining, show_drains_of
from caxton.cli.interrupts import told_if_interrupted
from caxton.cli.invocation import current
from caxton.cli.output import ago, complain, emit, milliseconds, prose, remark, say, style, wrapped
from caxton.cli.tables import table
from caxton.domain.state_words import in_words

if TYPE_CHECKING:
    from caxton.client import Caxton
    from caxton.views.agents import AgentView
    from caxton.views.rollouts import RolloutView
    from caxton.views.statistics import Statistics

app = new_app(help="List, show, start and stop agents.", no_args_is_help=True)

AgentName = Annotated[
    str, typer.Argument(metavar="NAME", help="As `caxton agent list` shows it.", autocompletion=complete_agent)
]
Grace = Annotated[
    str | None,
    typer.Option(
        metavar="TIME", help='Time for work in progress to finish, such as "30s"; new work goes elsewhere at once.'
    ),
]

_COLOURS = {"Running": "green", "Failed": "red", "Draining": "yellow", "Stopped": "dim"}


def _state(agent: "AgentView") -> str:
    """In which state it is; one that runs and may take no work is suspended, or rests because it keeps failing."""
    if agent.suspended and agent.state == "Running":
        return style("suspended", "yellow")
    if agent.breaker and agent.breaker.state != "Closed" and agent.state == "Running":
        return style("resting", "red")
    return style(in_words(agent.state), _COLOURS.get(agent.state, "bold"))


@app.command("list")
def list_agents() -> None:
    """List the agents that are deployed."""
    with connect() as caxton:
        agents = caxton.agents()
        rollouts = {each.agent: each for each in _under_way(caxton)}
    if current().json:
        emit({"agents": agents})
        return
    if not agents:
        prose("no agents are deployed")
        remark("Next: caxton init my-agent, then caxton deploy")
        return
    rows = [
        [
            agent.name,
            f"{agent.version} → {rollouts[agent.name].candidate_version}" if agent.name in rollouts else agent.version,
            _state(agent),
            _model(agent),
            ", ".join(capability.name for capability in agent.capabilities),
            success(agent.statistics),
            f"{agent.running} running" if agent.running else "",
        ]
        for agent in agents
    ]
    for line in table(rows, ["agent", "version", "state", "model", "capabilities", "calls", "now"]):
        say(line)
    warn_of_models(agents)


def _under_way(caxton: "Caxton") -> "list[RolloutView]":
    """Rollouts that are under way, for whoever may see them."""
    from caxton.domain.errors import NotFound, NotPermitted

    try:
        return caxton.rollouts(live=True, limit=500)
    except (NotFound, NotPermitted):  # an older server, another role
        return []


@app.command()
def show(name: AgentName) -> None:
    """Show one agent: what it offers, what it uses, and its statistics."""
    with connect() as caxton:
        agent = caxton.agent(name)
        rollout = next((each for each in _under_way(caxton) if each.agent == agent.name), None)
        drains = [each for each in draining(caxton) if (each.kind, each.name) == ("agent", agent.name)]
    if current().json:
        emit({**agent.model_dump(mode="json"), "rollout": rollout, "draining": drains})
        return
    prose(f"{style(agent.name, 'bold')} {agent.version}  {_state(agent)}")
    show_drains_of(drains)
    if rollout is not None:
        from caxton.cli.rollouts import rollout_words

        prose(f"  rollout: {rollout_words(rollout)}")
        remark(f"  see: caxton rollout status {agent.name}")
    if agent.reason:
        prose(f"  {agent.reason}")
    if agent.suspended:
        say(style(f"  takes no work: {agent.suspended}", "yellow"))
        remark(f"  let it: caxton agent resume {agent.name}")
    if agent.breaker and agent.breaker.state != "Closed":
        say(
            style(f"  {agent.breaker.message}: {agent.breaker.failures} failures, {agent.breaker.last_error}", "yellow")
        )
        remark(f"  at once: caxton breaker reset agent {agent.name}")
    if agent.description:
        for line in wrapped(agent.description, indent="  ", everywhere=True):
            say(line)
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
    """Resume an agent that was suspended after SLA breaches."""
    with connect() as caxton:
        agent = caxton.resume_agent(name, reason)
    if current().json:
        emit(agent)
        return
    prose(f'"{agent.name}" takes work again')


@app.command()
def start(name: AgentName) -> None:
    """Start an agent that was stopped."""
    with connect() as caxton:
        _changed(caxton.start_agent(name))


@app.command()
def stop(name: AgentName, grace: Grace = None) -> None:
    """Stop an agent: new work goes elsewhere, work in progress has time to finish."""
    with connect() as caxton, told_if_interrupted(f"The agent stops all the same. See: caxton agent show {name}"):
        _changed(caxton.stop_agent(name, seconds(grace)))


@app.command()
def restart(name: AgentName, grace: Grace = None) -> None:
    """Stop an agent and start it again."""
    with connect() as caxton, told_if_interrupted(f"The agent may restart all the same. See: caxton agent show {name}"):
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
        raise UsageError(f'"{text}" is not a time: {error}') from None


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
    prose(f"{agent.name} is {in_words(agent.state)}{running}" + (f": {agent.reason}" if agent.reason else ""))


def _model(agent: "AgentView") -> str:
    """The model that answers first, marked where it is not the one that should."""
    resolved = (agent.model.resolved if agent.model else None) or []
    first = resolved if isinstance(resolved, str) else next(iter(resolved), "none")
    return f"{first} {style('!', 'yellow')}" if agent.model and agent.model.warning else first


def warn_of_models(agents: "Iterable[AgentView]") -> None:
    """Says which agents do not use the model that they should, once for each reason."""
    names: dict[str, list[str]] = {}
    for agent in agents:
        if agent.model and agent.model.warning:
            names.setdefault(agent.model.warning, []).append(agent.name)
    for warning, concerned in names.items():
        complain(f"{style('warning:', 'bold', 'yellow')} {', '.join(concerned)}: {warning}")


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
        chosen = ", ".join(resolved or agent.model.configured)
        facts.append(["model", f"{chosen}{' (scripted)' if agent.model.scripted and chosen != 'scripted' else ''}"])
        if agent.model.note:
            facts.append(["", agent.model.note])
        if agent.model.warning:
            facts.append(["", style(f"! {agent.model.warning}", "yellow")])
    if agent.wasm:
        whose = "each conversation" if agent.wasm.state == "conversation" else "all conversations"
        facts.append(["component", f"{agent.wasm.module}, a state for {whose}"])
        asks = agent.wasm.permissions
        requested = [*asks["network"], *asks["environment"], *(each["path"] for each in asks["files"])]
        if requested:
            facts.append(["requests", ", ".join(requested)])
    if agent.limits:
        shown = {name: value for name, value in agent.limits.items() if value is not None}
        if "time" in shown:
            shown["time"] = format_duration(shown["time"])
        facts.append(["limits", ", ".join(f"{name} {value}" for name, value in shown.items())])
    facts.append(["used", success(agent.statistics)])
    if agent.running:
        facts.append(["now", f"{agent.running} running"])
    facts.append(["deployed", f"{ago(agent.updated_at)}  {agent.deployment_id or ''}".rstrip()])
    facts.append(["digest", agent.digest[:12]])
    return facts


app.command("init")(agent_starters.init)
app.command("wit")(agent_starters.wit)
