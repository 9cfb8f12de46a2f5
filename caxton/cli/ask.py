"""`caxton ask`"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from caxton.cli import acknowledgement
from caxton.cli.app import new_app
from caxton.cli.completions import complete_agent, complete_capability
from caxton.cli.connection import connect
from caxton.cli.invocation import current
from caxton.cli.output import complain, emit, is_terminal, remark, say, shorten, style

if TYPE_CHECKING:
    from caxton.cli.turns import TurnDisplay
    from caxton.client import Caxton
    from caxton.domain.executions import TurnView

app = new_app()


@app.command()
def ask(
    capability: Annotated[
        str | None,
        typer.Argument(
            metavar="CAPABILITY[@RANGE]",
            help='What to ask for, such as "analyze-data" or "analyze-data@^1.2". Left out with --agent.',
            autocompletion=complete_capability,
        ),
    ] = None,
    text: Annotated[str | None, typer.Argument(help='The request; "-" reads it from stdin.')] = None,
    agent: Annotated[
        str | None, typer.Option(metavar="NAME", help="Ask this agent.", autocompletion=complete_agent)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where files of the reply go; here if left out.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files of the same name.")] = False,
    given: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            "-i",
            metavar="FILE|KEY=VALUE",
            help="For a capability with a schema, in place of the text: a JSON file, - for stdin, or one value; repeatable.",
        ),
    ] = None,
    file: Annotated[
        list[Path] | None,
        typer.Option(
            "--file", "-f", metavar="PATH", help="An image, recording, PDF or text that goes along; repeatable."
        ),
    ] = None,
    variable: Annotated[
        list[str] | None,
        typer.Option("--variable", "-v", metavar="NAME=VALUE", help="A value for the agent's templates; repeatable."),
    ] = None,
    strategy: Annotated[
        str | None, typer.Option(metavar="STRATEGY", help="Deterministic, LoadBalanced or Stochastic.")
    ] = None,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Send the request, and do not wait for the reply.")
    ] = False,
) -> None:
    """Ask for a capability, or one agent, and get a reply.

    On a terminal the steps and the text appear as they come; in a pipe the reply alone. Files that come with the reply are
    written here, never over a file with other content.
    """
    target, request = _request(capability, text, agent, has_input=bool(given), has_files=bool(file))
    options: dict[str, Any] = {**target, "strategy": _strategy(strategy), "variables": _variables(variable or [])}
    from caxton.cli import turns
    from caxton.cli.given_files import check_files, upload_all
    from caxton.cli.given_input import read_input, schema_of
    from caxton.domain.errors import CaxtonError

    if out is not None:
        check_folder(out)
    check_files(file or [])
    display = turns.TurnDisplay(quiet=current().json)
    turn = None
    with connect() as caxton, display:
        try:
            if given:
                options["input"] = read_input(given, schema_of(caxton, target.get("capability")))
            if file:
                options["files"] = upload_all(caxton, file)
            turn = caxton.ask(
                request, wait=False, **options
            )  # who waits follows the steps, one of which may be a person's
            if turn.state == "running" and display.is_live and not no_wait:
                acknowledgement.progress("Waiting for the reply …")
            if no_wait:
                handed_in(turn)
            else:
                show_turn(caxton, turns.follow(caxton, turn, display), display, out or Path.cwd(), force=force)
        except CaxtonError as error:
            raise turns.with_trace(turns.in_which_workspace(error, caxton.connection.workspace)) from None
        except KeyboardInterrupt as stop:
            display.close()
            stop.add_note(
                f"The agent goes on with it. Get the reply: caxton execution wait {turn.execution_id}"
                if turn is not None
                else "If the request had arrived, the agent goes on with it. See: caxton conversation list"
            )
            raise


def check_folder(folder: Path) -> None:
    """Says before the work is done that its files could not be written.

    Raises:
        UsageError: the folder is a file, or nothing can be written there.
    """
    import os

    from caxton.domain.errors import UsageError

    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise UsageError(f"--out {folder}: nothing can be written there", "name a folder that you may write to")


def show_turn(caxton: "Caxton", turn: "TurnView", display: "TurnDisplay", folder: Path, *, force: bool) -> None:
    """Shows the reply and writes its files."""
    from caxton.cli import turns
    from caxton.cli.artifacts import tell_file

    text = caxton.text(turn.reply.content) if turn.reply else ""
    files = turns.fetch_artifacts(caxton, turn.reply, folder, force=force) if turn.reply else []
    scripted = turns.is_scripted(turn, display.steps)
    if current().json:
        emit(
            {**turn.model_dump(mode="json"), "text": text, "scripted": scripted, "files": [str(file) for file in files]}
        )
        return
    display.finish(text)
    for file in files:
        tell_file(file, on_stdout=is_terminal())
    for reason in turns.passed_over(turn).values():
        complain(f"{style('warning:', 'bold', 'yellow')} {reason}")
    remark(turns.origin(turn, scripted=scripted))


def handed_in(turn: "TurnView") -> None:
    """Shows the id of a turn that is not waited for."""
    if current().json:
        emit(turn)
        return
    say(turn.execution_id)
    remark(f"Handed in. Get the reply: caxton execution wait {turn.execution_id}")
    remark(style(f"Step by step: caxton trace {turn.execution_id} --follow", "dim"))


def _request(
    capability: str | None, text: str | None, agent: str | None, *, has_input: bool, has_files: bool = False
) -> tuple[dict[str, Any], str | None]:
    """Whom to ask, and what: None where `--input` says it, or where there are files alone.

    Raises:
        UsageError: neither a capability nor an agent is named, or there is nothing to ask, or two things.
    """
    from caxton.domain.errors import Hint, UsageError

    example = 'caxton ask analyze-data "How did sales develop?"'
    if agent is not None:
        if capability is not None and text is not None:
            raise UsageError("with --agent, no capability is named", f'for example: caxton ask --agent {agent} "…"')
        text, capability = capability if text is None else text, None
    elif capability is None:
        raise UsageError("what should be asked for?", f"for example: {example}")
    if has_input:
        if text is not None:
            raise UsageError("there is a text and an --input: a request is one of them", "leave the text out")
        return {"agent": agent} if agent is not None else target(capability or ""), None
    if text == "-":
        from caxton.cli.given_text import read_stdin

        text = read_stdin()
    if agent is None and text is None and capability and any(character.isspace() for character in capability.strip()):
        raise UsageError(
            f'"{shorten(capability, 40)}" is the request, but it is not said what it is for',
            Hint(text="name a capability first", command=f'caxton ask CAPABILITY "{shorten(capability, 40)}"'),
            Hint(text="see what agents offer", command="caxton capabilities"),
        )
    if text is None and has_files:
        return {"agent": agent} if agent is not None else target(capability or ""), None
    if not (text or "").strip():
        raise UsageError("there is nothing to ask: the text is empty", f"for example: {example}")
    if agent is not None:
        return {"agent": agent}, text or ""
    return target(capability or ""), text or ""


def target(capability: str) -> dict[str, Any]:
    """The arguments of a request for "name" or "name@range".

    Raises:
        InvalidInput: it is neither.
    """
    from caxton.definitions.suggestions import name_hint
    from caxton.domain.capabilities import check_version_range
    from caxton.domain.errors import InvalidInput
    from caxton.domain.ids import is_name

    name, _, version_range = capability.partition("@")
    if not is_name(name):
        raise InvalidInput(f'"{name}" is not the name of a capability', name_hint(name))
    try:
        return {"capability": name, "version_range": check_version_range(version_range) if version_range else None}
    except ValueError as error:
        message, _, hint = str(error).partition("; ")
        raise InvalidInput(message, hint) from None


def _strategy(text: str | None) -> Any:
    from caxton.domain.errors import UsageError
    from caxton.domain.executions import RoutingStrategy

    if text is None:
        return None
    by_name = {strategy.value.lower(): strategy for strategy in RoutingStrategy}
    found = by_name.get(text.lower().replace("-", ""))
    if found is None:
        raise UsageError(f'unknown strategy "{text}"', f"known are {', '.join(RoutingStrategy)}")
    return found


def _variables(pairs: list[str]) -> dict[str, Any]:
    from caxton.domain.errors import UsageError

    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageError(f'"{pair}" is not a variable', "write NAME=VALUE")
        values[name] = value
    return values
