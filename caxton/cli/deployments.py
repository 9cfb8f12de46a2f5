"""`caxton deployments list|show` and `caxton rollback`"""

from typing import TYPE_CHECKING, Annotated

import typer

from caxton.cli import interrupts
from caxton.cli.app import new_app
from caxton.cli.changes import changes_lines, summary_text
from caxton.cli.connection import connect
from caxton.cli.drains import draining, show_drains
from caxton.cli.errors import INTERRUPTED
from caxton.cli.invocation import current
from caxton.cli.output import ago, clock, complain, emit, prose, remark, say, style
from caxton.cli.tables import table
from caxton.domain.state_words import in_words

if TYPE_CHECKING:
    from caxton.domain.deployments import Deployment

app = new_app(help="List past deployments, show one.")
app_rollback = new_app()

_COLOURS = {"Running": "green", "Draining": "yellow", "Superseded": "dim", "Failed": "red", "RolledBack": "yellow"}


@app.callback(invoke_without_command=True)
def deployments(context: typer.Context) -> None:
    """List past deployments, show one. Without a command: list."""
    if context.invoked_subcommand is None:
        list_deployments()


@app.command("list")
def list_deployments(
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", min=1, max=1000, help="How many.")] = 20,
) -> None:
    """List the latest deployments, newest first."""
    with connect() as caxton:
        deployments = caxton.deployments(limit)
    if current().json:
        emit({"deployments": deployments})
        return
    if not deployments:
        prose("nothing has been deployed yet")
        remark("Next: caxton deploy")
        return
    rows = [
        [
            deployment.id,
            style(in_words(deployment.state), _COLOURS.get(deployment.state, "bold")),
            clock(deployment.created_at),
            summary_text(deployment.summary) if deployment.error is None else str(deployment.error.get("message")),
            f"undoes {deployment.rollback_of}" if deployment.rollback_of else deployment.message,
        ]
        for deployment in deployments
    ]
    for line in table(rows, ["deployment", "state", "when", "what", ""]):
        say(line)


@app.command()
def show(deployment_id: Annotated[str, typer.Argument(metavar="ID", help="As `caxton deployments` shows it.")]) -> None:
    """Show what one deployment changed."""
    with connect() as caxton:
        deployment = caxton.deployment(deployment_id)
        drains = draining(caxton, deployment.id)
    if current().json:
        emit({**deployment.model_dump(mode="json"), "draining": drains})
        return
    show_deployment(deployment)
    show_drains(drains)


@app_rollback.command()
def rollback(
    deployment_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="The deployment to undo; the latest if left out.")
    ] = None,
) -> None:
    """Undo a deployment: restore what was live before it. Conversations in flight stay on their versions."""
    from caxton.cli.deploy import remember_server

    with connect() as caxton:
        target = deployment_id or _from_here(latest(caxton.deployments(50))).id
        deployment, was_interrupted = interrupts.rollback(caxton, target)
        changed = [change for change in deployment.changes if change.action != "unchanged"]
        live = {f"{each.kind}/{each.name}": None if each.action == "deleted" else deployment.id for each in changed}
        remember_server(caxton, deployed=live)
    if current().json:
        emit(deployment)
    else:
        for line in changes_lines(deployment.changes):
            say(line)
        prose(f"Undid {target}: {summary_text(deployment.summary)}.")
        remark(f"Undo this as well: caxton rollback {deployment.id}")
    if was_interrupted:
        complain("Ctrl-C came too late: the rollback was in progress, and it is done.")
        raise typer.Exit(INTERRUPTED)


def _from_here(deployment: "Deployment") -> "Deployment":
    """`deployment`, unless it is known to come from another folder than this one.

    Raises:
        InvalidState: it does; whoever means it says so.
    """
    from pathlib import Path

    from caxton.cli.precautions import source_of
    from caxton.cli.workspace import workspace_around
    from caxton.domain.errors import Hint, InvalidState

    around = workspace_around(Path.cwd())
    source = deployment.source
    if around is None or source is None or source.id == source_of(around).id:
        return deployment
    raise InvalidState(
        f"nothing was undone: the latest deployment was made from {source.place or source.id} {ago(deployment.created_at)}",
        Hint(text="see what it changed", command=f"caxton deployments show {deployment.id}"),
        Hint(text="undo it all the same", command=f"caxton rollback {deployment.id}"),
        details={"deployment": deployment.id},
    )


def latest(deployments: "list[Deployment]") -> "Deployment":
    """The newest deployment that took effect and was not undone.

    Raises:
        NotFound: there is none.
        InvalidState: the newest is a rollback. Perhaps somebody else made it a moment ago, and undoing one more
            would be too much; which one is meant has to be said.
    """
    from caxton.domain.errors import Hint, InvalidState, NotFound

    effective = [each for each in deployments if each.is_undoable]
    if not effective:
        raise NotFound("there is no deployment to undo", "see them with `caxton deployments list`")
    newest = effective[0]
    if newest.rollback_of is None:
        return newest
    by = f" by {newest.actor}" if newest.actor else ""
    hints = [Hint(text="undo that rollback", command=f"caxton rollback {newest.id}")]
    earlier = next((each for each in effective if each.rollback_of is None), None)
    if earlier is not None:
        hints.append(Hint(text="undo the deployment before it", command=f"caxton rollback {earlier.id}"))
    raise InvalidState(
        f"nothing was undone: deployment {newest.rollback_of} was undone {ago(newest.created_at)}{by}",
        *hints,
        details={"deployment": newest.rollback_of, "rollback": newest.id},
    )


def show_deployment(deployment: "Deployment") -> None:
    """Shows one deployment in full."""
    state = style(in_words(deployment.state), _COLOURS.get(deployment.state, "bold"))
    by = f" by {deployment.actor}" if deployment.actor else ""
    prose(f"{style(deployment.id, 'bold')}  {state}  {clock(deployment.created_at)} ({ago(deployment.created_at)}){by}")
    if deployment.message:
        prose(f"  {deployment.message}")
    if deployment.rollback_of:
        prose(f"  undoes {deployment.rollback_of}")
    if deployment.source and deployment.source.place:
        prose(f"  from {deployment.source.place}")
    for line in changes_lines(deployment.changes):
        say(line)
    prose(f"  {summary_text(deployment.summary)}")
    if deployment.error:
        prose(f"  {style('error:', 'red')} {deployment.error.get('message', 'it failed')}")
