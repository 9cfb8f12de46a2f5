"""`caxton fork EXECUTION --at STEP`"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caxton.cli.app import new_app
from caxton.cli.connection import connect
from caxton.cli.executions import ExecutionId, Last, chosen
from caxton.cli.invocation import current
from caxton.cli.output import emit, remark, say, style
from caxton.cli.tables import table

if TYPE_CHECKING:
    from caxton.client import Caxton

app = new_app()


@app.command()
def fork(
    execution_id: ExecutionId = None,
    at: Annotated[
        int | None,
        typer.Option("--at", metavar="STEP", min=0, help="The last step that is taken over; left out: show the steps."),
    ] = None,
    agent: Annotated[
        str | None,
        typer.Option("--agent", metavar="NAME[@VERSION]", help="Who goes on; left out: who did it, as it was then."),
    ] = None,
    last: Last = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Hand it in, and print its id.")] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where files of the reply go; here if left out.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files of the same name.")] = False,
) -> None:
    """Go on from a recorded step of a turn that has ended, as a new turn.

    What was recorded up to that step is taken over: no model and no tool is called for it again. What follows is really done.
    """
    from caxton.cli import turns
    from caxton.cli.ask import check_folder, handed_in, show_turn
    from caxton.domain.errors import CaxtonError

    name, version = _agent(agent)
    if out is not None:
        check_folder(out)
    with connect() as caxton:
        source = chosen(caxton, execution_id, last=last)
        if at is None:
            _show_steps(caxton, source)
            return
        display = turns.TurnDisplay(quiet=current().json)
        turn = None
        with display:
            try:
                live = no_wait or display.is_live
                turn = caxton.fork(source, at=at, agent=name, version=version, wait=not live)
                if no_wait:
                    handed_in(turn)
                else:
                    show_turn(caxton, turns.follow(caxton, turn, display), display, out or Path.cwd(), force=force)
            except CaxtonError as error:
                raise turns.with_trace(error) from None
            except KeyboardInterrupt as stop:
                display.close()
                if turn is not None:
                    stop.add_note(f"It goes on. Get the reply: caxton execution wait {turn.execution_id}")
                raise


def _agent(text: str | None) -> tuple[str | None, str | None]:
    """Name and version of "name" or "name@version".

    Raises:
        UsageError: it is neither.
    """
    from caxton.domain.errors import UsageError
    from caxton.domain.ids import is_name

    if text is None:
        return None, None
    name, at, version = text.partition("@")
    if not is_name(name) or (at and not version):
        raise UsageError(f'"{text}" is no agent', "write NAME or NAME@VERSION, such as clerk@1.2.0")
    return name, version or None


def _show_steps(caxton: "Caxton", execution_id: str) -> None:
    """Lists at which steps the execution can be forked."""
    own = [each for each in caxton.contents(execution_id) if each.execution_id == execution_id]
    steps: list[tuple[int, list[str]]] = [(0, [])]
    steps += [(each.step, [call.name for call in each.calls]) for each in own if each.step and each.calls]
    if current().json:
        emit({"execution_id": execution_id, "steps": [{"step": step, "calls": calls} for step, calls in steps]})
        return
    rows = [[str(step), f"→ {', '.join(calls)}" if step else "the request alone"] for step, calls in steps]
    say(f"{style(execution_id, 'bold')} can be forked at:")
    for line in table(rows, ["step", "taken over up to"], indent="  "):
        say(line)
    remark(f"Go on from one: caxton fork {execution_id} --at {steps[-1][0]}")
