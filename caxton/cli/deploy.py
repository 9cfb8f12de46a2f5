"""`caxton deploy`"""

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from caxton.cli.app import new_app
from caxton.cli.invocation import connect, current
from caxton.cli.output import ago, complain, emit, is_terminal, plural, remark, say, style, table

if TYPE_CHECKING:
    from pathlib import Path

    from caxton.client import Caxton
    from caxton.definitions.workspace import Workspace
    from caxton.domain.deployments import Bundle, Change, Deployment, DeploymentPlan

app = new_app()

MARKS = {"new": ("+", "green"), "modified": ("~", "yellow"), "deleted": ("-", "red"), "unchanged": ("=", "dim")}


@app.command()
def deploy(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the files and show what would change.")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Remove what is on the server and no longer here.")] = False,
    message: Annotated[
        str, typer.Option("--message", "-m", metavar="TEXT", help="Why, for the list of deployments.")
    ] = "",
) -> None:
    """Bring the workspace to the server: all of it or nothing. Only what has changed travels."""
    from caxton.cli.outbox import hand_in
    from caxton.cli.workspace import read_workspace

    with connect() as caxton:
        workspace = read_workspace(caxton)
        _deploy(caxton, workspace, workspace.bundles, dry_run=dry_run, prune=prune, message=message)
        if not dry_run:
            hand_in(caxton, workspace.folder)
        remember_server(caxton, workspace.folder)


def deploy_tool(folder: "Path", *, dry_run: bool, message: str) -> None:
    """Deploys the one tool in `folder`; everything else on the server stays as it is."""
    from caxton.cli.workspace import read_tool_folder

    tool = read_tool_folder(folder)
    with connect() as caxton:
        _deploy(caxton, tool, tool.bundles, dry_run=dry_run, prune=False, message=message)


def _deploy(
    caxton: "Caxton", workspace: "Workspace", bundles: "Sequence[Bundle]", *, dry_run: bool, prune: bool, message: str
) -> None:
    from caxton.domain.deployments import DeploymentRequest

    started = time.perf_counter()
    request = DeploymentRequest(bundles=list(bundles), prune=prune, message=message)
    plan = caxton.plan(request)
    changes = with_versions(plan.changes, workspace)
    left = _left_behind(changes, bundles) if not prune else []
    changed = [change for change in changes if change.action != "unchanged"]
    if not changed or dry_run:
        _show_plan(changes, dry_run=dry_run, plan=plan, left=left)
        return
    if not current().json:
        total = len({(bundle.kind, bundle.name) for bundle in bundles} | {(each.kind, each.name) for each in changed})
        say(f"Deploying {len(changed)} of {_things(total, bundles)} to {_scope(caxton)} …")
    _upload(caxton, workspace, plan)
    deployment = caxton.deploy(request)
    _show_result(with_versions(deployment.changes, workspace), deployment, time.perf_counter() - started)


def with_versions(changes: "Iterable[Change]", workspace: "Workspace | None") -> "list[Change]":
    """`changes` with the versions and capabilities that the files of `workspace` say, where the server does not."""
    local = {("agent", agent.name): agent.version.spec for agent in workspace.agents} if workspace else {}
    tools = {("tool", tool.name): tool.version.manifest.version for tool in workspace.tools} if workspace else {}
    filled: list[Change] = []
    for change in changes:
        spec = local.get((change.kind, change.name))
        if change.action != "deleted" and change.after is None:
            version = spec.version if spec else tools.get((change.kind, change.name), change.before)
            change = change.model_copy(update={"after": version})  # noqa: PLW2901
        if spec and not change.capabilities:
            names = [capability.name for capability in spec.capabilities]
            change = change.model_copy(update={"capabilities": names})  # noqa: PLW2901
        filled.append(change)
    return filled


def changes_lines(changes: "Sequence[Change]", *, last_deployed: bool = False, hint: bool = False) -> list[str]:
    """A line for each change, and one for all that is unchanged.

    Args:
        changes: what to show.
        last_deployed: also when each was deployed last.
        hint: also how to remove what is deleted here.
    """
    rows: list[list[str]] = []
    for change in sorted(changes, key=lambda change: change.kind):
        if change.action == "unchanged":
            continue
        mark, colour = MARKS[change.action]
        word = "deleted here, still running" if hint and change.action == "deleted" else change.action
        name = change.name if change.kind == "agent" else f"{change.name} (tool)"
        when = f"last deployed {ago(change.last_deployed)}" if last_deployed and change.last_deployed else ""
        if hint and change.action == "deleted":
            when = "(remove with: caxton deploy --prune)"
        rows.append([f"{style(mark, colour)} {name}", word, versions(change), when])
    lines = table(rows, indent="  ")
    unchanged = sum(change.action == "unchanged" for change in changes)
    return [*lines, f"  {style('=', 'dim')} {unchanged} unchanged"] if unchanged else lines


def versions(change: "Change") -> str:
    """ "1.2.0 → 1.3.0", or the one version that there is."""
    if change.before and change.after and change.before != change.after:
        return f"{change.before} → {change.after}"
    return change.after or change.before or ""


def remember_server(caxton: "Caxton", folder: "Path | None" = None) -> None:
    """Keeps what the server has now in the workspace, for `caxton status` without it and for the shell."""
    from pathlib import Path

    from caxton.cli.state import ServerState, save
    from caxton.definitions.workspace import find_workspace
    from caxton.domain.errors import CaxtonError

    try:
        folder = folder or find_workspace(Path.cwd())
        agents, tools = caxton.agents(), caxton.tools()
    except CaxtonError:
        return
    components = [
        {
            "kind": kind,
            "name": each.name,
            "version": each.version,
            "digest": each.digest,
            "deployed_at": each.updated_at.isoformat() if each.updated_at else None,
        }
        for kind, found in (("agent", agents), ("tool", tools))
        for each in found
    ]
    names = sorted({capability.name for agent in agents for capability in agent.capabilities})
    connection = caxton.connection
    save(folder, ServerState(connection.workspace, connection.url, components=components, capabilities=names))


def _left_behind(changes: "Sequence[Change]", bundles: "Sequence[Bundle]") -> list[str]:
    """What runs on the server and is no longer here: a deployment leaves it alone unless it is told to prune."""
    here = {(bundle.kind, bundle.name) for bundle in bundles}
    return [each.name for each in changes if each.action == "unchanged" and (each.kind, each.name) not in here]


def _show_plan(changes: "Sequence[Change]", *, dry_run: bool, plan: "DeploymentPlan", left: "Sequence[str]") -> None:
    changed = sum(change.action != "unchanged" for change in changes)
    if current().json:
        emit({"dry_run": dry_run, "changed": changed, "changes": changes, "to_upload": len(plan.missing)})
        return
    if not changes:
        say("Nothing to deploy: there are no agents and no tools, neither here nor on the server.")
        remark("Next: caxton init my-agent")
        return
    if not changed:
        latest = max((change.last_deployed for change in changes if change.last_deployed), default=None)
        same = [change for change in changes if change.name not in left]
        if same:
            say(f"Nothing to deploy: {_all_of(same)} as on the server (last deployed {ago(latest)}).")
        if left:
            are = "is" if len(left) == 1 else "are"
            say(f"{', '.join(left)} {are} deleted here, and still running on the server.")
            remark("Remove with: caxton deploy --prune")
        return
    for line in changes_lines(changes, last_deployed=True):
        say(line)
    say(f"{plural(changed, 'change')}, {plural(len(plan.missing), 'file')} to upload. Nothing was changed.")


def _upload(caxton: "Caxton", workspace: "Workspace", plan: "DeploymentPlan") -> None:
    """Sends what the server lacks."""
    from caxton.domain.quantities import format_size

    for number, digest in enumerate(plan.missing, 1):
        content = workspace.content(digest)
        if len(content) > 1 << 18 and is_terminal() and not current().json:
            name = workspace.paths[digest].relative_to(workspace.folder)
            complain(
                style(f"  uploading {name} ({format_size(len(content))}, {number} of {len(plan.missing)}) …", "dim")
            )
        caxton.put_blob(digest, content)


def _show_result(changes: "Sequence[Change]", deployment: "Deployment", seconds: float) -> None:
    from caxton.cli.deployments import summary_text

    if current().json:
        emit({**deployment.model_dump(mode="json"), "seconds": round(seconds, 3)})
        return
    rows = [
        [
            f"{style('✓', 'green')} {change.name if change.kind == 'agent' else f'{change.name} (tool)'}",
            "removed" if change.action == "deleted" else versions(change),
            ", ".join(change.capabilities),
        ]
        for change in sorted(changes, key=lambda change: change.kind)
        if change.action != "unchanged"
    ]
    for line in table(rows, indent="  "):
        say(line)
    text = summary_text(deployment.summary)
    undo = f"     Undo: {style('caxton rollback', 'bold')}" if is_terminal() else ""
    say(f"{text[:1].upper()}{text[1:]} in {seconds:.2f} s.{undo}")


def _all_of(changes: "Sequence[Change]") -> str:
    """ "9 agents are", "1 agent and 2 tools are"."""
    counts = [(sum(change.kind == kind for change in changes), kind) for kind in ("agent", "tool")]
    text = " and ".join(plural(count, kind) for count, kind in counts if count)
    return f"{text} {'is' if len(changes) == 1 else 'are'}"


def _things(count: int, bundles: "Sequence[Bundle]") -> str:
    kinds = {bundle.kind for bundle in bundles}
    word = {"agent": "agent", "tool": "tool"}.get(next(iter(kinds)), "") if len(kinds) == 1 else ""
    return plural(count, word) if word else f"{count} agents and tools"


def _scope(caxton: "Caxton") -> str:
    server = caxton.server()
    return f"{server.customer}/{server.workspace}"
