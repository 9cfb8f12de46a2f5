"""`caxton execution show|wait|cancel`: turns by their ids, also those that were handed in with `--no-wait`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caxton.cli.app import new_app
from caxton.cli.connection import connect
from caxton.cli.contents import tell_files
from caxton.cli.invocation import current
from caxton.cli.output import columns, emit, is_terminal, plain, prose, remark, say, style, width, wrapped
from caxton.domain.quantities import format_duration

if TYPE_CHECKING:
    from caxton.client import Caxton
    from caxton.domain.executions import TurnView

app = new_app(help="Show, await and cancel turns.", no_args_is_help=True)

ExecutionId = Annotated[
    str | None, typer.Argument(metavar="[EXECUTION]", help="As `caxton ask` shows it; left out with --last.")
]
Last = Annotated[bool, typer.Option("--last", help="The latest turn of the workspace.")]

_SEARCHED = 200
"""Latest executions among which the latest turn is looked for: a turn has one for each agent that has a part in it."""


@app.command()
def show(execution_id: ExecutionId = None, last: Last = False) -> None:
    """Show how a turn stands, with its reply once there is one."""
    with connect() as caxton:
        turn = caxton.execution(chosen(caxton, execution_id, last=last))
        text = caxton.text(turn.reply.content) if turn.reply else ""
    if current().json:
        emit({**turn.model_dump(mode="json"), "text": text})
        return
    head(turn)
    if turn.agent:
        prose(f"  with {turn.agent}")
    tell_files(turn.reply.artifacts if turn.reply else [], indent="  ")
    if turn.error is not None:
        prose(f"  {style('error:', 'red')} {plain(turn.error.message)}")
    if text:
        say()
        for line in wrapped(plain(text.rstrip())) if is_terminal() else [text.rstrip()]:
            say(line)
    if turn.state == "running":
        remark(f"Get the reply: caxton execution wait {turn.execution_id}")
    else:
        remark(style(f"Step by step: caxton trace {turn.execution_id}", "dim"))


@app.command()
def wait(
    execution_id: ExecutionId = None,
    last: Last = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where files of the reply go; here if left out.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files of the same name.")] = False,
) -> None:
    """Follow a turn to its end and get its reply and files, as `caxton ask` does."""
    from caxton.cli import turns
    from caxton.cli.ask import check_folder, show_turn
    from caxton.domain.errors import CaxtonError

    if out is not None:
        check_folder(out)
    display = turns.TurnDisplay(quiet=current().json)
    with connect() as caxton, display:
        turn = caxton.execution(chosen(caxton, execution_id, last=last))
        try:
            show_turn(caxton, turns.follow(caxton, turn, display), display, out or Path.cwd(), force=force)
        except CaxtonError as error:
            raise turns.with_trace(error) from None
        except KeyboardInterrupt as stop:
            display.close()
            stop.add_note(f"The agent goes on with it. Get the reply: caxton execution wait {turn.execution_id}")
            raise


@app.command()
def cancel(execution_id: ExecutionId = None, last: Last = False) -> None:
    """End a turn, and nothing else: its conversation goes on."""
    with connect() as caxton:
        identity = chosen(caxton, execution_id, last=last)
        before = caxton.execution(identity)
        turn = caxton.cancel_turn(identity, conversation_id=before.conversation_id)
    if current().json:
        emit(turn)
    elif before.state != "running":
        prose(f"{turn.execution_id} had ended already: it is {turn.state}")
    else:
        prose(f"{turn.execution_id} is {'cancelled' if turn.state == 'failed' else turn.state}")


def chosen(caxton: "Caxton", execution_id: str | None, *, last: bool) -> str:
    """The execution that is named, or the latest turn of the workspace.

    Raises:
        UsageError: none is named, or both.
        NotFound: there was no turn yet.
    """
    from caxton.domain.errors import NotFound, UsageError
    from caxton.domain.forks import REHEARSAL

    if (execution_id is None) != last:
        raise UsageError(
            "name one execution, or --last", "take an id that `caxton ask` shows, or --last for the latest turn"
        )
    if execution_id is not None:
        return execution_id
    events, _ = caxton.event_page(order="newest", limit=_SEARCHED, type=["execution_triggered"])
    for event in events:
        is_rehearsal = event.channel_type == REHEARSAL  # nobody asked for it
        if event.execution_id and not event.payload.get("parent_id") and not is_rehearsal:
            return event.execution_id
    raise NotFound("there was no turn in this workspace yet", 'ask for something: caxton ask CAPABILITY "…"')


def head(turn: "TurnView") -> None:
    """The line that says how a turn stands, and where it belongs."""
    colour = {"completed": "green", "failed": "red"}.get(turn.state, "yellow")
    took = f" in {format_duration(turn.duration_ms / 1000)}" if turn.duration_ms is not None else ""
    first = f"{style(turn.execution_id, 'bold')}  {style(turn.state, colour)}{took}"
    where = f"conversation {turn.conversation_id}"
    fits = width(first) + width(where) + 2 <= columns()
    prose(f"{first}  {where}" if fits else f"{first}\n  {where}")
