"""`caxton deployments list|show` and `caxton rollback`"""

from typing import TYPE_CHECKING, Annotated

import typer

from caxton.cli.app import new_app
from caxton.cli.invocation import connect, current
from caxton.cli.output import ago, clock, emit, remark, say, style, table

if TYPE_CHECKING:
    from caxton.domain.deployments import Deployment, DeploymentSummary

app = new_app(help="List past deployments, show one.")
app_rollback = new_app()

_COLOURS = {"Running": "green", "Failed": "red", "RolledBack": "yellow"}


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
        say("nothing has been deployed yet")
        remark("Next: caxton deploy")
        return
    live = next((deployment.id for deployment in deployments if deployment.state == "Running"), None)
    rows = [
        [
            deployment.id,
            _state(deployment, live),
            clock(deployment.created_at),
            summary_text(deployment.summary) if deployment.error is None else str(deployment.error.get("message")),
            f"undoes {deployment.rollback_of}" if deployment.rollback_of else deployment.message,
        ]
        for deployment in deployments
    ]
    for line in table(rows, ["deployment", "state", "when", "what", ""]):
        say(line)


def _state(deployment: "Deployment", live: str | None) -> str:
    """The latest is the one in force; those before it were replaced, in part or wholly."""
    if deployment.state == "Running" and deployment.id != live:
        return style("Superseded", "dim")
    return style(deployment.state, _COLOURS.get(deployment.state, "bold"))


@app.command()
def show(deployment_id: Annotated[str, typer.Argument(metavar="ID", help="As `caxton deployments` shows it.")]) -> None:
    """Show what one deployment changed."""
    with connect() as caxton:
        deployment = caxton.deployment(deployment_id)
    if current().json:
        emit(deployment)
        return
    show_deployment(deployment)


@app_rollback.command()
def rollback(
    deployment_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="The deployment to undo; the latest if left out.")
    ] = None,
) -> None:
    """Undo a deployment: restore what was there before it. Conversations in flight stay on their versions."""
    from caxton.cli.deploy import changes_lines, remember_server

    with connect() as caxton:
        target = deployment_id or latest(caxton.deployments(50)).id
        deployment = caxton.rollback(target)
        remember_server(caxton)
    if current().json:
        emit(deployment)
        return
    for line in changes_lines(deployment.changes):
        say(line)
    say(f"Undid {target}: {summary_text(deployment.summary)}.")
    remark(f"Undo this as well: caxton rollback {deployment.id}")


def latest(deployments: "list[Deployment]") -> "Deployment":
    """The newest deployment that took effect and was not undone.

    Raises:
        NotFound: there is none.
    """
    from caxton.domain.deployments import DeploymentState
    from caxton.domain.errors import NotFound

    undone = {deployment.rollback_of for deployment in deployments if deployment.state == DeploymentState.RUNNING}
    for deployment in deployments:
        took_effect = deployment.state in (DeploymentState.RUNNING, DeploymentState.DRAINING)
        if took_effect and deployment.id not in undone and deployment.rollback_of is None:
            return deployment
    raise NotFound("there is no deployment to undo", "see them with `caxton deployments list`")


def summary_text(summary: "DeploymentSummary") -> str:
    """ "deployed 1, updated 1, unchanged 7"; what is none is left out."""
    counts = summary.model_dump()
    return ", ".join(f"{word} {count}" for word, count in counts.items() if count) or "nothing changed"


def show_deployment(deployment: "Deployment") -> None:
    """Shows one deployment in full."""
    from caxton.cli.deploy import changes_lines

    state = style(deployment.state, _COLOURS.get(deployment.state, "bold"))
    by = f" by {deployment.actor}" if deployment.actor else ""
    say(f"{style(deployment.id, 'bold')}  {state}  {clock(deployment.created_at)} ({ago(deployment.created_at)}){by}")
    if deployment.message:
        say(f"  {deployment.message}")
    if deployment.rollback_of:
        say(f"  undoes {deployment.rollback_of}")
    for line in changes_lines(deployment.changes):
        say(line)
    say(f"  {summary_text(deployment.summary)}")
    if deployment.error:
        say(f"  {style('error:', 'red')} {deployment.error.get('message', 'it failed')}")
