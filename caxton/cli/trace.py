"""`caxton trace [EXECUTION]`"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from caxton.cli.app import new_app
from caxton.cli.connection import connect
from caxton.cli.contents import tell_files
from caxton.cli.executions import ExecutionId, Last, chosen, head
from caxton.cli.invocation import current
from caxton.cli.output import (
    as_data,
    columns,
    cut,
    emit,
    milliseconds,
    plain,
    plural,
    prose,
    remark,
    say,
    style,
    width,
)
from caxton.cli.tables import table
from caxton.domain.state_words import in_words

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from caxton.client import Caxton
    from caxton.domain.events import Event
    from caxton.domain.executions import TurnView

app = new_app()


@app.command()
def trace(
    execution_id: ExecutionId = None,
    last: Last = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show each step as it happens, to the end.")] = False,
    contents: Annotated[
        bool, typer.Option("--contents", help="What was said: messages, answers of models, arguments and results.")
    ] = False,
    events: Annotated[bool, typer.Option("--events", help="Every event of the log, as it is called there.")] = False,
    replay: Annotated[
        bool, typer.Option("--replay", help="Rebuild the outcome from events alone, and compare it with the record.")
    ] = False,
) -> None:
    """Show what happened in a turn, step by step, from the event log."""
    from caxton.domain.errors import UsageError

    if sum((contents, events, replay)) > 1 or (follow and (replay or contents)):
        raise UsageError("--contents, --events and --replay exclude one another; --follow goes with --events only")
    with connect() as caxton:
        identity = chosen(caxton, execution_id, last=last)
        if replay:
            _replay(caxton, identity)
        elif contents:
            from caxton.cli.contents import show_contents

            show_contents(caxton, identity)
        elif follow:
            _follow(caxton, identity, events=events)
        else:
            _show(caxton, identity, events=events)


def _show(caxton: "Caxton", execution_id: str, *, events: bool) -> None:
    turn = caxton.execution(execution_id)
    found = caxton.events(execution_id)
    if current().json:
        emit({"turn": turn, "events": found})
        return
    head(turn)
    lines = table(_every_event(found), EVENT_COLUMNS, indent="  ") if events else table(_timeline(found), indent="  ")
    for line in lines:
        say(line)
    _foot(turn, found)
    tell_files(turn.reply.artifacts if turn.reply else [], indent="  ")
    if turn.state == "running":
        remark(style(f"Follow it: caxton trace {execution_id} --follow", "dim"))
    elif not events:
        remark(style(f"Every event: caxton trace {execution_id} --events", "dim"))


def _follow(caxton: "Caxton", execution_id: str, *, events: bool) -> None:
    """Shows each step as soon as it is recorded; with --json, each event as a line."""
    import json

    turn = caxton.execution(execution_id)
    if not current().json:
        say(style(execution_id, "bold"))
    told = 0
    for step in caxton.stream(execution_id, conversation_id=turn.conversation_id):
        if step.kind not in ("step", "reply", "error"):
            continue
        found = caxton.events(execution_id)
        if current().json:
            lines = [json.dumps(as_data(event), ensure_ascii=False) for event in found]
        else:
            rows = _every_event(found) if events else _timeline(found)
            lines = [f"  {_aligned(row)}" for row in rows]
        for line in lines[told:]:
            say(line) if current().json else prose(line)
        told = max(told, len(lines))
    turn = caxton.execution(execution_id)
    if not current().json:
        head(turn)
        _foot(turn, caxton.events(execution_id))
        remark(style(f"The reply: caxton execution show {execution_id}", "dim"))


def _aligned(row: list[str]) -> str:
    """A row of a table whose other rows are not known yet."""
    spaces = (9, 18, max(20, min(44, columns() - 44)))
    cells = [cut(cell, space) + " " * max(0, space - width(cell)) for cell, space in zip(row, spaces, strict=False)]
    return "  ".join([*cells, *row[len(spaces) :]]).rstrip()


def _replay(caxton: "Caxton", execution_id: str) -> None:
    rebuilt = caxton.replay(execution_id)
    if current().json:
        emit({**rebuilt.model_dump(mode="json"), "agrees": rebuilt.agrees})
    else:
        prose(f"{style(rebuilt.execution_id, 'bold')}  rebuilt from {plural(rebuilt.events, 'event')}")
        for each in rebuilt.executions:
            indent = "  " * (each.depth + 1)
            who = f"{each.agent} {each.agent_version}" if each.agent else "nobody"
            error = f" ({each.error_code})" if each.error_code else ""
            prose(f"{indent}{style(who, 'cyan')}  {each.capability or ''}  {in_words(each.state)}{error}")
            for approval in each.approvals:
                by = f" by {approval.decided_by}" if approval.decided_by else ""
                said = f": {approval.reason}" if approval.reason else ""
                say(
                    f"{indent}  approval of {approval.action_type} {approval.name} {approval.decision or 'waits'}{by}{said}"
                )
            for line in [*each.actions, *each.sla]:
                prose(f"{indent}  {line}")
            if each.reply_hash:
                say(style(f"{indent}  reply {each.reply_bytes} bytes, sha256 {each.reply_hash[:16]}…", "dim"))
        if rebuilt.not_compared:
            prose(f"{style('·', 'dim')} nothing to compare with: {rebuilt.not_compared}")
        elif rebuilt.agrees:
            prose(f"{style('✓', 'green')} events alone lead to what was recorded")
        for difference in rebuilt.differences:
            say(
                f"{style('✗', 'red')} {difference.execution_id} {difference.field}: events say "
                f"{difference.from_events!r}, the record {difference.recorded!r}"
            )
    if not rebuilt.agrees:
        raise typer.Exit(3)


def _foot(turn: "TurnView", events: "Sequence[Event]") -> None:
    """What the turn used in all: its usage counts its own agent's work, the events also that of the others."""
    usage = turn.usage
    types = [event.event_type for event in events]
    tool_calls = types.count("tool_executed") + types.count("tool_execution_failed")
    parts = [plural(types.count("model_called"), "model call"), plural(tool_calls, "tool call")]
    if failed := types.count("model_attempt_failed"):
        parts.append(f"{plural(failed, 'failed attempt')} of a model")
    if usage.tokens:
        parts.append(f"{usage.input_tokens:,} tokens in, {usage.output_tokens:,} out")
    if usage.cost_usd:
        parts.append(f"${usage.cost_usd:.4f}")
    prose(f"  {', '.join(parts)}")
    if turn.error:
        prose(f"{style('error:', 'bold', 'red')} {plain(turn.error.message)}")


def _timeline(events: "Sequence[Event]") -> Iterator[list[str]]:
    """When, who (indented below whoever asked), what, how long."""
    began = events[0].timestamp if events else None
    depths: dict[str | None, int] = {None: 0}
    for event in events:
        if event.event_type == "execution_triggered":
            depths[event.execution_id] = depths.get(event.payload.get("parent_id"), -1) + 1
        tell = _TELL.get(event.event_type)
        if tell is None:
            continue
        depth = max(0, depths.get(event.execution_id, 1) - 1)
        what = tell(event)
        failed = event.error_code is not None
        who = f"{'  ' * depth}{style(_who(event), 'cyan')}"
        took = style(milliseconds(event.latency_ms), "dim")
        yield [_offset(event, began), who, style(what, "red") if failed else what, took, event.error_code or ""]


def _who(event: "Event") -> str:
    """Agents by their names alone; people with their kind."""
    return "" if event.actor == "system" else event.actor.removeprefix("agent:")


def _begins(event: "Event") -> str:
    return f"begins {event.skill_id or 'work'}"


def _forked(event: "Event") -> str:
    payload = event.payload
    parts = [
        plural(int(payload.get("model_calls") or 0), "model call"),
        plural(int(payload.get("results") or 0), "result"),
    ]
    taken = f" ({' and '.join(parts)} taken over)" if payload.get("step") else ""
    return f"goes on from {payload.get('source')} after step {payload.get('step')}{taken}"


def _model(event: "Event") -> str:
    names: list[str] = event.payload.get("calls") or []
    calls = ", ".join(names)
    waited = event.payload.get("waited_ms")
    limit = f" (waited {milliseconds(waited)} for the provider's limit)" if waited else ""
    return f"model {event.payload.get('model') or ''}{f' → {calls}' if calls else ''}{limit}"


def _attempt(event: "Event") -> str:
    return f"model {event.payload.get('model') or ''} failed, attempt {event.payload.get('attempt')}"


def _tool(event: "Event") -> str:
    problem = " (the tool reported an error)" if event.payload.get("is_error") else ""
    return f"tool {event.payload.get('tool')}.{event.payload.get('function')}{problem}"


def _refused(event: "Event") -> str:
    return f"may not use {event.payload.get('tool')}.{event.payload.get('function') or '*'}"


def _waits(event: "Event") -> str:
    what = f"{event.payload.get('action_type')} {event.payload.get('name') or ''}".strip()
    return f"{what} waits for approval by the {event.approval_mode}"


def _limit(event: "Event") -> str:
    return f"limit reached: {event.payload.get('limit_type') or ''}"


_TELL: "dict[str, Callable[[Event], str]]" = {
    "execution_processing": _begins,
    "execution_forked": _forked,
    "model_called": _model,
    "model_attempt_failed": _attempt,
    "tool_executed": _tool,
    "tool_execution_failed": _tool,
    "tool_access_denied": _refused,
    "resource_limit_exceeded": _limit,
    "routing_failed": lambda event: f"found nobody for {event.skill_id or event.payload.get('target')}",
    "approval_requested": _waits,
    "approval_granted": lambda event: event.user_message,
    "approval_rejected": lambda event: event.user_message,
    "approval_timeout": lambda event: event.user_message,
    "approval_withdrawn": lambda event: event.user_message,
    "pressure_invoked": lambda event: event.user_message,
    "sla_breached": lambda event: event.user_message,
    "escalation_triggered": lambda event: event.user_message,
    "escalation_delivered": lambda event: event.user_message,
    "escalation_failed": lambda event: event.user_message,
    "deployment_suspended": lambda event: event.user_message,
    "budget_exceeded": lambda event: event.user_message,
    "execution_completed": lambda _event: "done",
    "execution_failed": lambda _event: "failed",
}
"""What a person wants to see of a turn; the other events are the same facts in finer grain."""


EVENT_COLUMNS = ["after", "who", "event", "what", "error"]


def _every_event(events: "Sequence[Event]") -> Iterator[list[str]]:
    began = events[0].timestamp if events else None
    for event in events:
        failed = event.error_code is not None
        kind = style(event.event_type, "red") if failed else event.event_type
        yield [
            _offset(event, began),
            style(_who(event), "cyan"),
            kind,
            plain(event.user_message),
            event.error_code or "",
        ]


def _offset(event: "Event", began: "datetime | None") -> str:
    return "" if began is None else style(f"+{(event.timestamp - began).total_seconds() * 1000:.0f} ms", "dim")
