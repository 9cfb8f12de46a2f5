"""`caxton rollout status|pause|resume|promote|abort|retry|undo`"""

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from caxton.cli.app import new_app
from caxton.cli.completions import complete_agent
from caxton.cli.connection import connect
from caxton.cli.invocation import current
from caxton.cli.output import ago, emit, is_terminal, milliseconds, plain, plural, prose, remark, say, style
from caxton.cli.tables import table
from caxton.domain.quantities import format_duration
from caxton.domain.state_words import in_words

if TYPE_CHECKING:
    from caxton.client import Caxton
    from caxton.domain.gates import GateResult
    from caxton.domain.rollouts import Command
    from caxton.views.rollouts import RolloutView

app = new_app(help="New versions that get a part of the traffic first.", no_args_is_help=True)

Agent = Annotated[str, typer.Argument(metavar="AGENT", help="Whose rollout.", autocompletion=complete_agent)]
Reason = Annotated[str, typer.Option("--reason", "-r", metavar="TEXT", help="Why, for the log.")]

POLL_INTERVAL = 2.0
"""Seconds between looks with --watch."""

COMES_BACK_WITHIN = 60.0
"""Seconds for which --watch waits for a server that it has seen."""

_BAR = 20

_DIFFERENCES = 10
"""Of a gate that a terminal shows."""

_COLOURS = {"good": "green", "bad": "red", "inconclusive": "yellow"}


@app.command()
def status(
    agent: Annotated[
        str | None, typer.Argument(metavar="AGENT", help="Only of this agent.", autocompletion=complete_agent)
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh until no rollout is in progress.")] = False,
) -> None:
    """Show rollouts: those in progress, and of an agent its latest."""
    from caxton.domain.errors import ServerUnreachable, UsageError

    if watch and current().json:
        raise UsageError("--watch is for people; it has no --json", "run `caxton rollout status --json` now and then")
    watched, lost_at = set[str](), None
    with connect() as caxton:
        while True:
            try:
                found = _wanted(caxton, agent)
                live = {each.agent for each in found if each.is_live}
                if agent is None:  # how those ended that were in progress a moment ago
                    found += [latest for name in sorted(watched - live) for latest in caxton.rollouts(name, limit=1)]
            except ServerUnreachable:
                lost_at = lost_at or time.monotonic()
                if not watched or time.monotonic() - lost_at > COMES_BACK_WITHIN:
                    raise
                remark("The server does not answer. Rollouts go on when it is back …")
            else:
                _show_all(found)
                if not watch or not live:
                    return
                watched, lost_at = live, None
            time.sleep(POLL_INTERVAL)
            say()


@app.command()
def pause(agent: Agent, reason: Reason = "") -> None:
    """Leave the shares as they are until it is resumed."""
    _tell(agent, "pause", reason)


@app.command()
def resume(agent: Agent, reason: Reason = "") -> None:
    """Begin the stage again at which it was paused."""
    _tell(agent, "resume", reason)


@app.command()
def promote(
    agent: Agent,
    full: Annotated[bool, typer.Option("--full", help="All of the traffic at once, whatever stages are left.")] = False,
    reason: Reason = "",
) -> None:
    """Go on to the next stage, whatever the comparison says."""
    _tell(agent, "promote", reason, full=full)


@app.command()
def abort(agent: Agent, reason: Reason = "") -> None:
    """Take all new conversations away from the candidate, at once."""
    _tell(agent, "abort", reason)


@app.command()
def retry(agent: Agent, reason: Reason = "") -> None:
    """Begin a rollout that was rolled back again, with its first stage."""
    _tell(agent, "retry", reason)


@app.command()
def undo(agent: Agent, reason: Reason = "") -> None:
    """Bring the older version back, within an hour of the promotion."""
    _tell(agent, "undo", reason)


def _wanted(caxton: "Caxton", agent: str | None) -> "list[RolloutView]":
    """What is to be shown.

    Raises:
        NotFound: the agent has had no rollout.
    """
    from caxton.definitions.suggestions import closest
    from caxton.domain.rollouts import unknown_rollout

    if agent is None:
        return caxton.rollouts(live=True)
    found = caxton.rollouts(agent, limit=1)
    if not found:
        names = [each.name for each in caxton.agents()]
        meant = None if agent in names else closest(agent, names)
        raise unknown_rollout(agent, [meant] if meant else [])
    return found


def _tell(agent: str, command: "Command", reason: str, *, full: bool = False) -> None:
    with connect() as caxton:
        [latest] = _wanted(caxton, agent)
        found = caxton.change_rollout(latest.id, command, reason=reason, full=full)
    if current().json:
        emit(found)
        return
    show_rollout(found)


def _show_all(found: "list[RolloutView]") -> None:
    if current().json:
        emit({"rollouts": found})
        return
    if not found:
        prose("No rollout is in progress.")
        remark("Begin one: caxton deploy --strategy canary")
        remark("An agent's latest: caxton rollout status AGENT")
    for number, each in enumerate(found):
        if number:
            say()
        show_rollout(each)


def show_rollout(rollout: "RolloutView") -> None:
    """Shows how a rollout stands."""
    title = f"{style(rollout.agent, 'bold')} {rollout.stable_version} → {rollout.candidate_version}"
    say(f"{title}  {_kind(rollout)}, {in_words(str(rollout.state))}")
    if rollout.reason:
        prose(f"  {rollout.reason}")
    if rollout.is_live and rollout.percent is not None:
        number, stage = rollout.stage + 1, rollout.stages[min(rollout.stage, len(rollout.stages) - 1)]
        if rollout.asks:
            prose(f"  waits for a webhook: {rollout.asks}")
        least = f", at least {format_duration(stage.duration)}" if stage.duration else ""
        if str(rollout.strategy) == "shadow":
            say(f"  began {ago(rollout.stage_began_at)}{least}")
        else:
            say(f"  {_bar(rollout.percent)} {rollout.percent:g} % of new conversations")
            say(f"  stage {number} of {len(rollout.stages)}, began {ago(rollout.stage_began_at)}{least}")
    elif rollout.ended_at:
        say(f"  ended {ago(rollout.ended_at)}")
    if any(each.stable_messages or each.candidate_messages for each in rollout.metrics):
        rows = [
            [
                str(each.metric),
                f"{each.stable_bad} of {each.stable_messages}",
                f"{each.candidate_bad} of {each.candidate_messages}",
                style(str(each.verdict), _COLOURS.get(str(each.verdict), "dim")),
            ]
            for each in rollout.metrics
        ]
        for line in table(rows, ["bad", rollout.stable_version, rollout.candidate_version, "verdict"], indent="  "):
            say(line)
    elif rollout.is_live and rollout.percent:
        need = rollout.stages[min(rollout.stage, len(rollout.stages) - 1)].sample
        prose(f"  nothing to compare yet: each version needs {plural(need, 'message')}")
    for gate in rollout.gates:
        _show_gate(gate, is_over=rollout.ended_at is not None)
    for line in _next(rollout):
        remark(line)


def rollout_words(rollout: "RolloutView") -> str:
    """How a rollout that is under way stands, in one line."""
    share = f", {rollout.percent:g} % of new conversations" if rollout.percent else ""
    versions = f"{rollout.stable_version} → {rollout.candidate_version}"
    return f"{versions}  {_kind(rollout)}, {in_words(str(rollout.state))}{share}"


def _show_gate(gate: "GateResult", *, is_over: bool) -> None:
    """How a gate or a shadow stands, with the turns that differ."""
    counted = f", {plural(gate.compared, 'turn')} of {gate.turns} compared" if gate.turns else ""
    if gate.name == "shadow":
        differ = f": {_differ(gate.differ)}" if gate.compared else ""
        prose(f"  {style('·', 'dim')} shadow{counted or ', no turn compared yet'}{differ}")
    else:
        # One that still waits when its rollout is over was skipped.
        state = "skipped" if is_over and str(gate.state) == "waiting" else str(gate.state)
        mark = {"passed": style("✓", "green"), "failed": style("✗", "red")}.get(str(gate.state), style("·", "dim"))
        found = gate.reason if state != "skipped" else ""
        why = found or (_differ(gate.differ) if gate.compared else "")
        prose(f"  {mark} gate {gate.name} ({gate.at or gate.kind}), {state}{counted}{f': {why}' if why else ''}")
    for each in gate.differences[:_DIFFERENCES]:
        prose(f"      {each.source} → {each.execution or '?'}  {each.rule}: {plain(each.text)}")
    if len(gate.differences) > _DIFFERENCES:
        prose(f"      and {len(gate.differences) - _DIFFERENCES} more: caxton rollout status --json")
    if gate.compared:
        before, after = gate.recorded, gate.candidate
        cost = f", ${before.cost_usd:.4f} → ${after.cost_usd:.4f}" if before.cost_usd or after.cost_usd else ""
        models = f"{milliseconds(before.latency_ms)} → {milliseconds(after.latency_ms)} of models"
        say(style(f"      {models}, {before.tokens:,} → {after.tokens:,} tokens{cost}", "dim"))
    if gate.approval_id and str(gate.state) == "waiting" and not is_over:
        remark(f"Decide: caxton approvals grant {gate.approval_id}")


def _differ(count: int) -> str:
    return f"{count} differs" if count == 1 else f"{count} differ"


def _kind(rollout: "RolloutView") -> str:
    return {"blue_green": "blue-green"}.get(str(rollout.strategy), str(rollout.strategy))


def _bar(percent: float) -> str:
    """The share as a picture."""
    filled = max(1, round(percent / 100 * _BAR)) if percent else 0
    full, empty = ("█", "░") if is_terminal() else ("#", ".")
    return full * filled + empty * (_BAR - filled)


def _next(rollout: "RolloutView") -> list[str]:
    name = rollout.agent
    further = "Make it live" if rollout.stage + 1 >= len(rollout.stages) else "To the next stage"
    return {
        "Gating": [f"Follow: caxton rollout status {name} --watch", f"Stop it: caxton rollout abort {name}"],
        "Progressing": [f"Follow: caxton rollout status {name} --watch", f"Stop it: caxton rollout abort {name}"],
        "Paused": [
            f"Go on: caxton rollout resume {name}",
            f"{further}: caxton rollout promote {name}",
            f"Stop it: caxton rollout abort {name}",
        ],
        "Promoted": [f"Take it back: caxton rollout undo {name}"] if _can_be_undone(rollout) else [],
        "RolledBack": [f"Begin it again: caxton rollout retry {name}"],
    }.get(str(rollout.state), [])


def _can_be_undone(rollout: "RolloutView") -> bool:
    from caxton.domain.rollouts import UNDO_WITHIN

    return rollout.ended_at is not None and datetime.now(UTC) - rollout.ended_at <= UNDO_WITHIN
