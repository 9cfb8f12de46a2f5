"""`caxton trace EXECUTION`"""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from caxton.cli.app import new_app
from caxton.cli.invocation import connect, current
from caxton.cli.output import emit, milliseconds, plural, say, style, table

if TYPE_CHECKING:
    from datetime import datetime

    from caxton.domain.events import Event
    from caxton.domain.executions import TurnView

app = new_app()

_HIDDEN = {"capability", "agent"}


@app.command()
def trace(execution_id: Annotated[str, typer.Argument(metavar="EXECUTION", help="As `caxton ask` shows it.")]) -> None:
    """Show what happened in a turn, step by step, from the event log."""
    with connect() as caxton:
        turn = caxton.execution(execution_id)
        events = caxton.events(execution_id)
    if current().json:
        emit({"turn": turn, "events": events})
        return
    _head(turn)
    began = events[0].timestamp if events else None
    for line in table(([_offset(event, began), *_row(event)] for event in events), indent="  "):
        say(line)
    _foot(turn)


def _head(turn: "TurnView") -> None:
    colour = {"completed": "green", "failed": "red"}.get(turn.state, "yellow")
    took = f" in {milliseconds(turn.duration_ms)}" if turn.duration_ms is not None else ""
    agent = f"  {turn.agent}" if turn.agent else ""
    say(f"{style(turn.execution_id, 'bold')}  {style(turn.state, colour)}{took}{agent}")
    say(f"  conversation {turn.conversation_id}")


def _foot(turn: "TurnView") -> None:
    usage = turn.usage
    parts = [plural(usage.model_calls, "model call"), plural(usage.tool_calls, "tool call")]
    if usage.tokens:
        parts.append(f"{usage.input_tokens:,} tokens in, {usage.output_tokens:,} out")
    if usage.cost_usd is not None:
        parts.append(f"${usage.cost_usd:.4f}")
    say(f"  {', '.join(parts)}")
    if turn.error:
        say(f"  {style('error:', 'bold', 'red')} {turn.error.message}")


def _offset(event: "Event", began: "datetime | None") -> str:
    return "" if began is None else style(f"+{(event.timestamp - began).total_seconds() * 1000:.0f} ms", "dim")


def _row(event: "Event") -> list[str]:
    """Who, what, on what, how long."""
    failed = event.error_code or ("failed" if event.event_type.endswith("failed") else "")
    what = event.event_type.replace("_", " ")
    return [
        event.actor if event.actor != "system" else "",
        style(what, "red") if failed else what,
        _facts(event),
        style(milliseconds(event.latency_ms), "dim")
        + (style(f"  {event.error_code}", "red") if event.error_code else ""),
    ]


def _facts(event: "Event") -> str:
    payload: dict[str, Any] = event.payload
    if payload.get("tool"):
        return f"{payload['tool']}.{payload['function']}" if payload.get("function") else str(payload["tool"])
    named = [str(payload[key]) for key in ("model", "to", "agent", "capability") if payload.get(key)]
    if event.skill_id and event.skill_id not in named:
        named.append(event.skill_id)
    return "  ".join(dict.fromkeys(named))
