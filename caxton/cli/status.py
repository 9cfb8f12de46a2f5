"""`caxton status`"""

from typing import TYPE_CHECKING, Any

from caxton.cli.app import new_app
from caxton.cli.invocation import connect, current
from caxton.cli.output import clock, emit, remark, say, style

if TYPE_CHECKING:
    from caxton.cli.state import ServerState
    from caxton.definitions.workspace import Workspace
    from caxton.domain.deployments import Change

app = new_app()


@app.command()
def status() -> None:
    """Show what differs between the workspace and the server; without the server, what it had when last asked.

    A file with errors does not keep the others from being compared; `caxton validate` shows the errors.
    """
    from pathlib import Path

    from caxton.cli.deploy import remember_server, with_versions
    from caxton.cli.workspace import known_tools
    from caxton.definitions.workspace import find_workspace, load_workspace
    from caxton.domain.deployments import DeploymentRequest
    from caxton.domain.errors import ServerUnreachable

    folder = find_workspace(Path.cwd())
    current().settings()
    state: ServerState | None = None
    with connect(patience=0) as caxton:
        workspace = load_workspace(folder, known_tools(caxton))
        try:
            plan = caxton.plan(DeploymentRequest(bundles=workspace.bundles, prune=True))
            changes = plan.changes
            remember_server(caxton, workspace.folder)
        except ServerUnreachable as error:
            state = _remembered(workspace, caxton.connection.workspace, error)
            changes = _compared(workspace, state)
    changes = _without_broken(with_versions(changes, workspace), workspace)
    if current().json:
        emit(_as_json(changes, workspace, state))
    else:
        _show(changes, workspace, state)


def _remembered(workspace: "Workspace", name: str, error: Exception) -> "ServerState":
    """What the server had.

    Raises:
        ServerUnreachable: it was never asked from this folder.
    """
    from caxton.cli.state import recall

    state = recall(workspace.folder, name)
    if state is None:
        raise error
    return state


def _compared(workspace: "Workspace", state: "ServerState") -> "list[Change]":
    """The changes that the server would find, had it still what it had."""
    from datetime import datetime

    from caxton.domain.deployments import Change, compare

    present = {(each["kind"], each["name"]): each for each in state.components}
    wanted = {(str(bundle.kind), bundle.name): bundle.digest for bundle in workspace.bundles}
    changes: list[Change] = []
    for (kind, name), action in sorted(compare(wanted, {key: each["digest"] for key, each in present.items()}).items()):
        known: dict[str, Any] = present.get((kind, name), {})
        deployed_at = known.get("deployed_at")
        changes.append(
            Change.model_validate(
                {
                    "kind": kind,
                    "name": name,
                    "action": action,
                    "digest": wanted.get((kind, name)),
                    "before": known.get("version"),
                    "last_deployed": datetime.fromisoformat(deployed_at) if deployed_at else None,
                }
            )
        )
    return changes


def _without_broken(changes: "list[Change]", workspace: "Workspace") -> "list[Change]":
    """Without the deletions that only seem so, because a file has errors and was not read."""
    files = {problem.file for problem in workspace.errors}
    broken = {name for file in files for name in file.replace(".script", "").removesuffix(".toml").split("/")}
    return [change for change in changes if not (change.action == "deleted" and change.name in broken)]


def _show(changes: "list[Change]", workspace: "Workspace", state: "ServerState | None") -> None:
    from caxton.cli.deploy import changes_lines
    from caxton.cli.problems import count

    lines = changes_lines(changes, last_deployed=True, hint=True)
    for line in lines or ["nothing here, and nothing on the server"]:
        say(line)
    if workspace.errors:
        say(f"  {style('!', 'red')} {count(workspace.problems)}     (see: caxton validate)")
    if state:
        say(style(f"(server unreachable: compared with the state cached at {clock(state.when)})", "dim"))
    elif any(change.action in ("new", "modified") for change in changes) and not workspace.errors:
        remark("Next: caxton deploy")


def _as_json(changes: "list[Change]", workspace: "Workspace", state: "ServerState | None") -> dict[str, Any]:
    groups: dict[str, list[Any]] = {"new": [], "modified": [], "deleted": [], "unchanged": []}
    for change in changes:
        groups[change.action].append(change)
    return {
        **groups,
        "problems": workspace.problems,
        "server": {"reachable": state is None, "compared_with": state.fetched_at if state else None},
    }
