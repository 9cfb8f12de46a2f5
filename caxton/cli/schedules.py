"""`caxton schedule list|show|pause|resume|trigger|backfill`"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from caxton.cli.app import new_app
from caxton.cli.completions import complete_agent, complete_schedule
from caxton.cli.connection import connect
from caxton.cli.invocation import current
from caxton.cli.output import ago, emit, plain, plural, prose, remark, say, style
from caxton.cli.tables import table
from caxton.domain.quantities import format_duration

if TYPE_CHECKING:
    from caxton.client import Caxton
    from caxton.domain.schedules import ScheduleRun
    from caxton.views.schedules import ScheduleView

app = new_app(help="What agents are asked by the clock.", no_args_is_help=True)

Wanted = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="AGENT/NAME, or the name alone where one agent has it.",
        autocompletion=complete_schedule,
    ),
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for the log.")]

_NEXT_SHOWN = 5


@app.command("list")
def list_schedules(
    agent: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only of this agent.", autocompletion=complete_agent)
    ] = None,
) -> None:
    """List schedules: when each is due next, and the result of its last run."""
    with connect() as caxton:
        found = caxton.schedules(agent)
    if current().json:
        emit({"schedules": found})
        return
    if not found:
        prose("no agent has a schedule")
        remark("Next: write [[schedules]] into an agent's file, then caxton deploy")
        return
    rows = [
        [style(f"{each.agent}/{each.name}", "bold"), each.timing, _next(each), _outcome(each.last)] for each in found
    ]
    for line in table(rows, ["schedule", "due", "next", "last"]):
        say(line)


@app.command()
def show(name: Wanted) -> None:
    """Show one schedule, its next due times and its latest runs."""
    with connect() as caxton:
        found = caxton.schedule(*chosen(caxton, name))
    if current().json:
        emit(found)
        return
    prose(f"{style(f'{found.agent}/{found.name}', 'bold')}  {found.timing}  {_state(found)}")
    asked = f"capability {found.capability}" if found.capability else "its first capability"
    spread = f" · up to {format_duration(found.jitter)} later" if found.jitter else ""
    prose(f"  asks for {asked}{spread}")
    prose(f"  overlap: {found.overlap} · catches up {format_duration(found.catch_up)}")
    if found.missed:
        say(style(f"  {plural(found.missed, 'due time')} missed: nothing ran for longer than it catches up", "yellow"))
    if found.next:
        prose("  next: " + ", ".join(_at(moment, found.time_zone) for moment in found.next[:_NEXT_SHOWN]))
    if found.runs:
        say()
        rows = [[_at(run.due_at, found.time_zone), _word(run), run.execution_id or "", _why(run)] for run in found.runs]
        for line in table(rows, [f"due ({found.time_zone})", "", "execution", ""]):
            say(line)
    latest = next((run for run in found.runs if run.state == "begun"), None)
    if latest is not None:
        remark(style(f"What it replied: caxton execution show {latest.execution_id}", "dim"))


@app.command()
def pause(name: Wanted, reason: Reason = "") -> None:
    """Pause a schedule: due times pass without a run. A run at work continues."""
    with connect() as caxton:
        found = caxton.pause_schedule(*chosen(caxton, name), reason)
    if current().json:
        emit(found)
        return
    prose(f"{found.agent}/{found.name} is paused: what is due is left out until it is resumed")
    remark(f"Go on: caxton schedule resume {found.agent}/{found.name}")


@app.command()
def resume(name: Wanted, reason: Reason = "") -> None:
    """Resume a schedule: due times run again from now on."""
    with connect() as caxton:
        found = caxton.resume_schedule(*chosen(caxton, name), reason)
    if current().json:
        emit(found)
        return
    soon = f": due next {_next(found)}" if found.next else ""
    prose(f"{found.agent}/{found.name} goes on{soon}")
    remark(f"What passed meanwhile: caxton schedule backfill {found.agent}/{found.name} --from TIME")


@app.command()
def trigger(
    name: Wanted,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the reply and show it.")] = False,
) -> None:
    """Run a schedule now, also one that is paused or still at work."""
    with connect() as caxton:
        turn = caxton.trigger_schedule(*chosen(caxton, name), wait=wait)
        text = caxton.text(turn.reply.content) if wait and turn.reply else None
    if current().json:
        emit({**turn.model_dump(mode="json"), **({} if text is None else {"text": text})})
        return
    if text is not None:
        say(plain(text.rstrip()))
        remark(style(f"Step by step: caxton trace {turn.execution_id}", "dim"))
        return
    prose(f"{style(turn.execution_id, 'bold')}  accepted")
    remark(f"Get the reply: caxton execution wait {turn.execution_id}")


@app.command()
def backfill(
    name: Wanted,
    start: Annotated[
        str, typer.Option("--from", metavar="TIME", help='ISO 8601, such as 2026-01-05T00:00Z, or "2d" ago.')
    ],
    end: Annotated[str | None, typer.Option("--to", metavar="TIME", help="The same; now if left out.")] = None,
) -> None:
    """Run due times that have passed, one after another. Those that have been run before are not run again."""
    from caxton.cli.events import moment_of

    first, last = moment_of(start, "--from"), moment_of(end, "--to")
    with connect() as caxton:
        agent, schedule = chosen(caxton, name)
        found = caxton.backfill_schedule(agent, schedule, first or "", last or datetime.now(UTC).isoformat())
    if current().json:
        emit(found)
        return
    before = f"; {found.known} of them have been run before, and are not run again" if found.known else ""
    prose(f"{plural(found.due, 'due time')} from {_at(found.start)} to {_at(found.end)}{before}")
    remark(f"See how they go: caxton schedule show {agent}/{schedule}")


def chosen(caxton: "Caxton", name: str) -> tuple[str, str]:
    """The agent and the schedule that `name` names.

    Raises:
        NotFound: there is none.
        UsageError: several agents have one of that name.
    """
    from caxton.definitions.suggestions import did_you_mean
    from caxton.domain.errors import Hint, NotFound, UsageError

    agent, slash, schedule = name.partition("/")
    if slash:
        return agent, schedule
    all_of_them = caxton.schedules()
    found = [each for each in all_of_them if each.name == name]
    if len(found) == 1:
        return found[0].agent, found[0].name
    if found:
        raise UsageError(
            f'{len(found)} agents have a schedule "{name}"', f"name the agent too: {found[0].agent}/{found[0].name}"
        )
    guess = did_you_mean(name, [each.name for each in all_of_them])
    hints = [Hint(text=guess)] if guess else []
    raise NotFound(
        f'no agent has a schedule "{name}"', *hints, Hint(text="see which there are", command="caxton schedule list")
    )


def _at(moment: datetime, zone: str | None = None) -> str:
    """The moment in a time zone, or in this machine's."""
    from zoneinfo import ZoneInfo

    local = moment.astimezone(ZoneInfo(zone) if zone else None)
    return f"{local:%Y-%m-%d %H:%M:%S}" if local.second else f"{local:%Y-%m-%d %H:%M}"


def _next(schedule: "ScheduleView") -> str:
    if schedule.paused or not schedule.next:
        return _state(schedule)
    seconds = (schedule.next[0] - datetime.now(UTC)).total_seconds()
    return f"in {format_duration(max(1.0, round(seconds)))}"


def _state(schedule: "ScheduleView") -> str:
    if schedule.paused:
        why = f": {plain(schedule.reason)}" if schedule.reason else ""
        return style(f"paused{why}", "yellow")
    return style("active", "green") if schedule.in_engine else style("being set up", "yellow")


def _outcome(run: "ScheduleRun | None") -> str:
    return f"{_word(run)} {ago(run.due_at)}" if run else "never"


def _word(run: "ScheduleRun") -> str:
    return style(run.state, {"begun": "green", "failed": "red"}.get(run.state, "yellow"))


def _why(run: "ScheduleRun") -> str:
    asked = {"hand": "by hand", "backfill": "backfill"}.get(run.cause, "")
    who = f" by {run.by}" if run.by else ""
    reason = run.reason or ""
    return " ".join(filter(None, [reason, f"({asked}{who})" if asked else ""]))
