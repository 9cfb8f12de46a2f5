"""`caxton events list|tail|show|verify|export|types`"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caxton.cli.app import new_app
from caxton.cli.completions import complete_agent, complete_capability
from caxton.cli.connection import connect
from caxton.cli.facts import facts
from caxton.cli.invocation import current
from caxton.cli.output import clock, complain, emit, is_terminal, milliseconds, plural, prose, remark, say, style
from caxton.cli.tables import table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from caxton.domain.events import Event
    from caxton.views.event_log import Verification

app = new_app(help="Read, follow, verify and export the event log.", no_args_is_help=True)

Types = Annotated[
    list[str] | None, typer.Option("--type", "-t", metavar="TYPE", help="Only events of this type; may be repeated.")
]
Execution = Annotated[str | None, typer.Option(metavar="ID", help="Only those of this execution's turn.")]
Agent = Annotated[
    str | None, typer.Option(metavar="NAME", help="Only those about this agent.", autocompletion=complete_agent)
]
Actor = Annotated[str | None, typer.Option(metavar="ACTOR", help='Only what this one did, such as "operator:anna".')]
CapabilityName = Annotated[
    str | None,
    typer.Option("--capability", metavar="NAME", help="Only about this.", autocompletion=complete_capability),
]
Conversation = Annotated[str | None, typer.Option(metavar="ID", help="Only those of this conversation.")]
DeploymentOption = Annotated[str | None, typer.Option("--deployment", metavar="ID", help="Only of this deployment.")]
ErrorCode = Annotated[str | None, typer.Option("--error", metavar="CODE", help="Only with this error code.")]
Since = Annotated[
    str | None,
    typer.Option(metavar="TIME", help='From then on: "2h" ago, or a moment such as 2026-11-21T08:00.'),
]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Before then.")]


@app.command("list")
def list_events(
    type: Types = None,
    execution: Execution = None,
    agent: Agent = None,
    actor: Actor = None,
    capability: CapabilityName = None,
    conversation: Conversation = None,
    deployment: DeploymentOption = None,
    error: ErrorCode = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", min=1, max=100_000, help="How many.")] = 50,
    oldest: Annotated[bool, typer.Option("--oldest", help="From the beginning, instead of the latest.")] = False,
) -> None:
    """Show events of the workspace: the latest, in the order in which they were written."""
    filters = _filters(type, execution, agent, actor, capability, conversation, deployment, error, since, until)
    events: list[Event] = []
    cursor: str | None = None
    with connect() as caxton:
        while len(events) < limit:
            page, cursor = caxton.event_page(
                cursor=cursor,
                order="oldest" if oldest else "newest",
                limit=min(1000, limit - len(events)),
                **filters,
            )
            events += page
            if cursor is None:
                break
    if not oldest:
        events.reverse()
    if current().json:
        emit({"events": events})
        return
    if not events:
        prose("no events fit")
        return
    for line in table(_rows(events), ["#", "time", "event", "who", "what", ""]):
        say(line)
    if cursor is not None:
        remark(style(f"There are more: caxton events list -n {limit * 10}", "dim"))


@app.command()
def tail(
    type: Types = None,
    execution: Execution = None,
    agent: Agent = None,
    actor: Actor = None,
    capability: CapabilityName = None,
    conversation: Conversation = None,
    deployment: DeploymentOption = None,
    error: ErrorCode = None,
    cursor: Annotated[
        str | None, typer.Option(metavar="CURSOR", help="Continue after the event with this cursor.")
    ] = None,
) -> None:
    """Show events as they are written, until Ctrl-C. With --json one object per line, with its cursor."""
    from caxton.domain.events import Event
    from caxton.domain.json_text import json_line

    filters = _filters(type, execution, agent, actor, capability, conversation, deployment, error, None, None)
    with connect() as caxton:
        if is_terminal() and not current().json:
            remark(style("Waiting for events; Ctrl-C ends.", "dim"))
        try:
            for found in caxton.tail(cursor=cursor, **filters):
                if current().json:
                    say(json_line({**found.data, "cursor": found.id}))
                    continue
                event = Event.model_validate(found.data)
                prose("  ".join(cell for cell in _row(event) if cell))
        except KeyboardInterrupt:
            return


@app.command()
def show(event_id: Annotated[str, typer.Argument(metavar="ID", help="As `caxton events list --json` has it.")]) -> None:
    """Show one event with all its fields."""
    with connect() as caxton:
        event = caxton.event(event_id)
    if current().json:
        emit(event)
        return
    prose(f"{style(event.event_type, 'bold')}  {event.user_message}")
    told_already = {"payload", "event_type", "user_message"}
    fields: dict[str, Any] = event.model_dump(mode="json", exclude_none=True, exclude=told_already)
    fields["timestamp"] = f"{event.timestamp.astimezone():%Y-%m-%d %H:%M:%S.%f}"[:-3]
    for line in facts(fields, indent="  "):
        say(line)
    if event.payload:
        say(style("  payload", "dim"))
        for line in facts(event.payload, indent="    "):
            say(line)
    if event.typed() is None:
        remark(style("  (written by a newer version of Caxton: its fields are shown as they are)", "dim"))


@app.command()
def verify(
    segments: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE…]", help="With --archive: files of segments, in their order.")
    ] = None,
    archive: Annotated[
        bool,
        typer.Option("--archive", help="Check segments that have left the database, without any server; then --file."),
    ] = False,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="An export, checked here without any server.")
    ] = None,
    expect: Annotated[
        str | None,
        typer.Option(metavar="SEQ:HASH", help="A head of the log that you noted earlier; it must still match."),
    ] = None,
) -> None:
    """Verify the log: the hash chain, and the invariants of executions. Exit code 3 if not."""
    from caxton.domain.errors import UsageError
    from caxton.domain.events.chain import read_place

    if expect is not None:
        read_place(expect)  # what it lacks is said here as it is for files
    if bool(segments) != archive:
        raise UsageError("--archive goes with the files of segments", "caxton events verify --archive events-*.jsonl")
    if segments:
        from caxton.cli.segments import verify_segments

        found = verify_segments(segments, file, expect)
    elif file is not None:
        found = _verify_file(file, expect)
    else:
        with connect() as caxton:
            found = caxton.verify_events(expect)
    if current().json:
        emit(found)
    else:
        _show_verification(found, file or (segments[-1] if segments else None))
    if not found.ok:
        raise typer.Exit(3)


@app.command()
def export(
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write here; else to stdout.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that exists.")] = False,
    everything: Annotated[
        bool, typer.Option("--everything", help="The customer's whole log over all workspaces, to verify it offline.")
    ] = False,
    type: Types = None,
    execution: Execution = None,
    agent: Agent = None,
    actor: Actor = None,
    capability: CapabilityName = None,
    conversation: Conversation = None,
    deployment: DeploymentOption = None,
    error: ErrorCode = None,
    since: Since = None,
    until: Until = None,
) -> None:
    """Write events as JSON lines. The log records each export."""
    from caxton.domain.errors import UsageError

    filters = _filters(type, execution, agent, actor, capability, conversation, deployment, error, since, until)
    count = 0
    with connect() as caxton:
        lines = caxton.export(everything=everything, **filters)
        if out is None:
            for line in lines:
                say(line)
            return
        if out.exists() and not force:
            raise UsageError(f"{out} exists already", "take another name, or --force")
        partial = out.with_name(out.name + ".partial")
        with partial.open("w", encoding="utf-8") as target:
            for line in lines:
                target.write(line + "\n")
                count += 1
        partial.replace(out)
    if current().json:
        emit({"file": str(out), "events": count})
        return
    prose(f"{plural(count, 'event')} written to {out}")
    if everything:
        remark(f"Next: caxton events verify --file {out}")


@app.command()
def segments() -> None:
    """List the segments of the log that have left the database, and where their files are."""
    from caxton.cli.segments import show_segments

    with connect() as caxton:
        show_segments(caxton.event_segments())


@app.command()
def types(
    category: Annotated[str | None, typer.Option(metavar="NAME", help="Only this category.")] = None,
) -> None:
    """Show all event types."""
    from caxton.domain.errors import UsageError
    from caxton.domain.events import CATALOGUE

    found = {name: model for name, model in CATALOGUE.items() if category in (None, model.category)}
    if not found:
        known = sorted({model.category for model in CATALOGUE.values()})
        raise UsageError(f'there is no category "{category}"', f"categories are {', '.join(known)}")
    if current().json:
        emit(
            [
                {"type": name, "category": model.category, "fields": list(model.model_fields)}
                for name, model in found.items()
            ]
        )
        return
    rows = [[name, model.category, (model.__doc__ or "").partition("\n")[0]] for name, model in sorted(found.items())]
    for line in table(rows, ["type", "category", "what it tells"]):
        say(line)


def _filters(
    types: list[str] | None,
    execution: str | None,
    agent: str | None,
    actor: str | None,
    capability: str | None,
    conversation: str | None,
    deployment: str | None,
    error: str | None,
    since: str | None,
    until: str | None,
) -> dict[str, Any]:
    found = {
        "type": types or None,
        "execution": execution,
        "agent": agent,
        "actor": actor,
        "capability": capability,
        "conversation": conversation,
        "deployment": deployment,
        "error": error,
        "since": moment_of(since, "--since"),
        "until": moment_of(until, "--until"),
    }
    return {name: value for name, value in found.items() if value is not None}


def moment_of(text: str | None, option: str) -> str | None:
    """The moment that `text` names: so long ago, or a date with a time.

    Raises:
        UsageError: it is neither.
    """
    if text is None:
        return None
    from datetime import UTC, datetime, timedelta

    from caxton.domain.errors import UsageError
    from caxton.domain.quantities import parse_duration

    try:
        return (datetime.now(UTC) - timedelta(seconds=parse_duration(text))).isoformat()
    except (ValueError, OverflowError):
        pass
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.astimezone()).isoformat()
    except (ValueError, OverflowError):
        raise UsageError(
            f'{option} "{text}" is not a time', 'write how long ago ("30m", "2h", "1d") or a moment (2026-11-21T08:00)'
        ) from None


def _rows(events: "Iterable[Event]") -> "Iterator[list[str]]":
    return (_row(event) for event in events)


def _row(event: "Event") -> list[str]:
    from caxton.cli.facts import with_short_digests

    local = event.timestamp.astimezone()
    failed = event.error_code is not None
    return [
        style(str(event.sequence), "dim"),
        style(
            f"{clock(event.timestamp)}{local:%S.%f}"[:-3].replace(local.strftime("%H:%M"), local.strftime("%H:%M:")),
            "dim",
        ),
        style(event.event_type, "red") if failed else event.event_type,
        style(event.actor, "cyan"),
        with_short_digests(event.user_message),
        style(milliseconds(event.latency_ms), "dim"),
    ]


def _verify_file(file: Path, expect: str | None) -> "Verification":
    """Checks an export with the same code that the server uses, and no server."""
    import json

    from pydantic import ValidationError

    from caxton.cli.reading import unreadable
    from caxton.domain.errors import InvalidInput
    from caxton.domain.events import Event
    from caxton.domain.events.chain import ChainCheck, read_place
    from caxton.domain.events.invariants import InvariantChecker
    from caxton.views.event_log import Verification

    chain = ChainCheck(expected=read_place(expect) if expect else None)
    invariants: InvariantChecker | None = None
    whole, first = False, 0
    fields = set(Event.model_fields)
    try:
        opened = file.open(encoding="utf-8-sig", errors="replace", newline="\n")
    except OSError as error:
        raise unreadable(str(file), error, "give a file that `caxton events export` wrote") from None
    with opened as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                data = json.loads(line)
                event = Event.model_validate(data)
            except (ValueError, ValidationError):
                raise InvalidInput(
                    f"{file}:{number}: this is not an event", "give a file that `caxton events export` wrote"
                ) from None
            if invariants is None:
                first = event.sequence or 0
                whole = first == 1
                invariants = InvariantChecker(event.customer_id)
            chain.read(event)
            if set(data) - fields:
                chain.fail(event.sequence or 0, f"event {event.sequence} has fields that were never written")
            if whole:  # an excerpt does not have the beginnings of all executions
                invariants.read([event])
    chain.end(None)
    if chain.problem is None and chain.checked == 0:
        raise InvalidInput(
            f"{file}: there is nothing in it that can be verified",
            "give what `caxton events export --everything` wrote",
        )
    violations = invariants.violations if invariants and chain.problem is None else []
    return Verification(
        ok=chain.problem is None and not violations,
        checked=chain.checked,
        head_sequence=chain.last.sequence,
        head_hash=chain.last.hash,
        begins_at=first,
        broken_at=chain.broken_at,
        problem=chain.problem,
        violations=[{"sequence": v.sequence, "problem": v.problem, "invariant": v.invariant} for v in violations[:100]],
        open_executions=len(invariants.open) if invariants and whole else 0,
    )


def _show_verification(found: "Verification", file: Path | None) -> None:
    if found.problem is not None:
        complain(f"{style('broken', 'bold', 'red', stream=sys.stderr)}  {found.problem}")
        if file is None and "index of the log" in found.problem:
            from caxton.domain.errors import DOCS

            prose(f"  all {plural(found.checked, 'event')} are as they were written: none is lost")
            prose(f"  how to make the index again: {DOCS}/how-to/event-log.md")
            return
        prose(f"  {plural(found.checked, 'event')} before it are as they were written")
        if file is not None and "missing" in found.problem:
            remark("  (an export with filters cannot be verified: export with --everything)")
        return
    if found.detached:
        say(
            f"  it begins behind event {found.detached}: what is before it has left the database in segments, which end at\n"
            f"  {found.detached}:{found.detached_hash}"
        )
    if found.begins_at > 1 and not found.detached:
        say(
            f"{style('!', 'yellow')} the file begins at event {found.begins_at}: what was before it, and that event "
            "itself, cannot be verified from it"
        )
    say(
        f"{style('✓', 'green')} {plural(found.checked, 'event')}: the chain is unbroken, nothing was changed or removed"
    )
    for violation in found.violations:
        complain(
            f"{style('✗', 'red', stream=sys.stderr)} event {violation.get('sequence')} breaks invariant "
            f"{violation.get('invariant')}: {violation.get('problem')}"
        )
    if not found.violations:
        still = f"; {plural(found.open_executions, 'execution')} still at work" if found.open_executions else ""
        prose(f"{style('✓', 'green')} every execution has its end, every action and approval too{still}")
    place = f"{found.head_sequence}:{found.head_hash}"
    prose(f"  the log ends at {place}")
    if file is None:
        remark(style("Write that down elsewhere. Later, check that nothing before it is missing:", "dim"))
        remark(style(f"caxton events verify --expect {place}", "dim"))
