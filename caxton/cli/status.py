"""`caxton status`"""

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from caxton.cli.app import new_app
from caxton.cli.connection import connect
from caxton.cli.drains import draining, show_drains
from caxton.cli.invocation import current
from caxton.cli.output import clock, emit, prose, remark, say, style
from caxton.cli.tables import table

if TYPE_CHECKING:
    from caxton.cli.state import ServerState
    from caxton.client.discovery import Connection
    from caxton.definitions.workspace import Workspace
    from caxton.domain.deployments import Change
    from caxton.views.breakers import BreakerView
    from caxton.views.drains import DrainView
    from caxton.views.rollouts import RolloutView
    from caxton.views.system import QueueList

app = new_app()


@app.command()
def status() -> None:
    """Show what differs between the workspace and the server; without the server, what it had when last asked.

    A file with errors does not keep the others from being compared; `caxton validate` shows the errors.
    """
    from caxton.cli.changes import with_versions
    from caxton.cli.deploy import remember_server
    from caxton.cli.workspace import load_against, workspace_folder
    from caxton.domain.deployments import DeploymentRequest
    from caxton.domain.errors import NotFound, NotPermitted, ServerUnreachable

    folder = workspace_folder()
    current().settings()
    state: ServerState | None = None
    queues: QueueList | None = None
    breakers: list[BreakerView] = []
    rollouts: list[RolloutView] = []
    drains: list[DrainView] = []
    with connect(patience=0) as caxton:
        workspace = load_against(folder, caxton)
        try:
            plan = caxton.plan(DeploymentRequest(bundles=workspace.bundles, prune=True))
            changes = plan.changes
            remember_server(caxton, workspace.folder)
            with suppress(NotPermitted, NotFound):  # another role, an older server
                queues = caxton.queues()
                breakers = [each for each in caxton.breakers() if each.state != "Closed"]
                rollouts = caxton.rollouts(live=True)
                drains = draining(caxton)
        except ServerUnreachable as error:
            state = _remembered(workspace, caxton.connection, error)
            changes = _compared(workspace, state)
    changes = _without_broken(with_versions(changes, workspace), workspace)
    if current().json:
        found = {**_as_json(changes, workspace, state, queues, breakers), "rollouts": rollouts, "draining": drains}
        emit(found)
    else:
        _show(changes, workspace, state, caxton.connection)
        _show_queues(queues)
        _show_breakers(breakers)
        _show_rollouts(rollouts)
        show_drains(drains)


def _remembered(workspace: "Workspace", connection: "Connection", error: Exception) -> "ServerState":
    """What the server had.

    Raises:
        ServerUnreachable: it was not the last one that was asked from this folder.
    """
    from caxton.cli.state import recall

    state = recall(workspace.folder, connection.workspace, connection.url)
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


def _show(
    changes: "list[Change]", workspace: "Workspace", state: "ServerState | None", connection: "Connection"
) -> None:
    from caxton.cli.changes import changes_lines
    from caxton.cli.precautions import is_from, source_of
    from caxton.cli.problems import count
    from caxton.cli.state import recall

    source = source_of(workspace)
    remembered = recall(workspace.folder, connection.workspace, connection.url)
    gone = [change for change in changes if is_from(change, source, remembered)]
    lines = changes_lines(changes, last_deployed=True, gone=gone)
    for line in lines or ["nothing here, and nothing on the server"]:
        say(line)
    if workspace.errors:
        prose(f"  {style('!', 'red')} {count(workspace.problems)}     (see: caxton validate)")
    if state:
        say(style(f"(server unreachable: compared with the state cached at {clock(state.when)})", "dim"))
    elif any(change.action in ("new", "modified") for change in changes) and not workspace.errors:
        remark("Next: caxton deploy")


def _show_queues(queues: "QueueList | None") -> None:
    """Limits that calls of the workspace wait for; nothing while none waits."""
    from caxton.domain.quantities import format_duration

    waiting = [each for each in queues.queues if each.waiting] if queues else []
    if not waiting:
        return
    say()
    say("Calls wait for a limit")
    rows: list[list[str]] = []
    for each in waiting:
        limit = (
            f"{each.in_flight} of {each.max_in_flight} in flight"
            if each.max_in_flight
            else f"{each.in_flight} in flight"
        )
        limit += f", {each.rate}" if each.rate else ""
        age = format_duration(each.oldest_seconds or 0.0)
        rows.append([f"{each.kind} {each.name}", limit, f"{each.waiting} waiting", f"for {age}"])
    for line in table(rows, indent="  "):
        say(line)


def _show_breakers(breakers: "list[BreakerView]") -> None:
    """What keeps failing and rests; nothing where nothing does."""
    if not breakers:
        return
    from caxton.cli.breakers import breaker_rows

    say()
    say("What keeps failing rests")
    for line in table(breaker_rows(breakers), indent="  "):
        say(line)


def _show_rollouts(rollouts: "list[RolloutView]") -> None:
    """New versions that are on their way; nothing where none is."""
    if not rollouts:
        return
    from caxton.cli.rollouts import rollout_words

    say()
    say("New versions on their way")
    for line in table([[each.agent, rollout_words(each)] for each in rollouts], indent="  "):
        say(line)
    remark(style("See: caxton rollout status", "dim"))


def _as_json(
    changes: "list[Change]",
    workspace: "Workspace",
    state: "ServerState | None",
    queues: "QueueList | None",
    breakers: "list[BreakerView]",
) -> dict[str, Any]:
    groups: dict[str, list[Any]] = {"new": [], "modified": [], "deleted": [], "unchanged": []}
    for change in changes:
        groups[change.action].append(change)
    return {
        **groups,
        "problems": workspace.problems,
        "queues": queues.queues if queues else [],
        "breakers": breakers,
        "server": {"reachable": state is None, "compared_with": state.fetched_at if state else None},
    }
