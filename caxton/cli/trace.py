"""`caxton trace EXECUTION`"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caxton.cli.app import new_app
from caxton.cli.invocation import connect, current
from caxton.cli.output import emit, milliseconds, plural, remark, say, style, table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from caxton.domain.events import Event
    from caxton.domain.executions import TurnView

app = new_app()


@app.command()
def trace(
    execution_id: Annotated[str, typer.Argument(metavar="EXECUTION", help="As `caxton ask` shows it.")],
    events: Annotated[bool, typer.Option("--events", help="Every event of the log, as it is called there.")] = False,
) -> None:
    """Show what happened in a turn, step by step, from the event log."""
    with connect() as caxton:
        turn = caxton.execution(execution_id)
        found = caxton.events(execution_id)
    if current().json:
        emit({"turn": turn, "events": found})
        return
    _head(turn)
    rows = _every_event(found) if events else _timeline(found)
    for line in table(rows, indent="  "):
        say(line)
    _foot(turn, found)
    if not events:
        remark(style(f"Every event: caxton trace {execution_id} --events", "dim"))


def _head(turn: "TurnView") -> None:
    colour = {"completed": "green", "failed": "red"}.get(turn.state, "yellow")
    took = f" in {milliseconds(turn.duration_ms)}" if turn.duration_ms is not None else ""
    say(f"{style(turn.execution_id, 'bold')}  {style(turn.state, colour)}{took}  conversation {turn.conversation_id}")


def _foot(turn: "TurnView", events: "Sequence[Event]") -> None:
    """What the turn used in all: its usage counts its own agent's work, the events also that of the others."""
    usage = turn.usage
    types = [event.event_type for event in events]
    tool_calls = types.count("tool_executed") + types.count("tool_execution_failed")
    parts = [plural(types.count("model_called"), "model call"), plural(tool_calls, "tool call")]
    if usage.tokens:
        parts.append(f"{usage.input_tokens:,} tokens in, {usage.output_tokens:,} out")
    if usage.cost_usd:
        parts.append(f"${usage.cost_usd:.4f}")
    say(f"  {', '.join(parts)}")
    if turn.error:
        say(f"{style('error:', 'bold', 'red')} {turn.error.message}")


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
        who = f"{'  ' * depth}{style(event.actor, 'cyan') if event.actor != 'system' else ''}"
        took = style(milliseconds(event.latency_ms), "dim")
        yield [_offset(event, began), who, style(what, "red") if failed else what, took, event.error_code or ""]


def _begins(event: "Event") -> str:
    return f"begins {event.skill_id or 'work'}"


def _model(event: "Event") -> str:
    names: list[str] = event.payload.get("calls") or []
    calls = ", ".join(names)
    return f"model {event.payload.get('model') or ''}{f' → {calls}' if calls else ''}"


def _tool(event: "Event") -> str:
    problem = " (the tool reported an error)" if event.payload.get("is_error") else ""
    return f"tool {event.payload.get('tool')}.{event.payload.get('function')}{problem}"


def _refused(event: "Event") -> str:
    return f"may not use {event.payload.get('tool')}.{event.payload.get('function') or '*'}"


def _limit(event: "Event") -> str:
    return f"limit reached: {event.payload.get('limit') or event.payload.get('resource') or ''}"


_TELL: "dict[str, Callable[[Event], str]]" = {
    "execution_processing": _begins,
    "model_called": _model,
    "tool_executed": _tool,
    "tool_execution_failed": _tool,
    "tool_access_denied": _refused,
    "resource_limit_exceeded": _limit,
    "routing_failed": lambda event: f"found nobody for {event.skill_id or event.payload.get('target')}",
    "execution_completed": lambda _event: "done",
    "execution_failed": lambda _event: "failed",
}
"""What a person wants to see of a turn; the other events are the same facts in finer grain."""


def _every_event(events: "Sequence[Event]") -> Iterator[list[str]]:
    began = events[0].timestamp if events else None
    for event in events:
        payload: dict[str, Any] = event.payload
        facts = [str(value) for value in payload.values() if isinstance(value, str) and len(value) < 60]
        code = event.error_code or ""
        yield [_offset(event, began), event.actor, event.event_type, event.skill_id or "", "  ".join(facts), code]


def _offset(event: "Event", began: "datetime | None") -> str:
    return "" if began is None else style(f"+{(event.timestamp - began).total_seconds() * 1000:.0f} ms", "dim")
