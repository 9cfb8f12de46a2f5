"""`caxton deploy`"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caxton.cli import interrupts
from caxton.cli.app import new_app
from caxton.cli.changes import changes_lines, summary_text, versions, with_versions
from caxton.cli.connection import connect
from caxton.cli.errors import INTERRUPTED
from caxton.cli.gates import await_gates, check_gates
from caxton.cli.interrupts import told_if_interrupted
from caxton.cli.invocation import current
from caxton.cli.output import ago, complain, emit, is_terminal, plural, prose, remark, say, style
from caxton.cli.tables import table

if TYPE_CHECKING:
    from caxton.cli.precautions import Concern
    from caxton.client import Caxton
    from caxton.definitions.workspace import Workspace
    from caxton.domain.deployments import Bundle, Change, Deployment, DeploymentPlan
    from caxton.domain.rollouts import Strategy
    from caxton.views.rollouts import RolloutView

app = new_app()

Yes = Annotated[
    bool,
    typer.Option("--yes", "-y", help="Ask nothing: also remove, and replace what is newer or another folder's."),
]


@app.command()
def deploy(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the files and show what would change.")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove what is in the server's workspace and not here; asks before.")
    ] = False,
    yes: Yes = False,
    message: Annotated[
        str, typer.Option("--message", "-m", metavar="TEXT", help="Why, for the list of deployments.")
    ] = "",
    strategy: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="How new versions of agents go live: direct, blue_green, canary or shadow; as their files say if left out.",
        ),
    ] = None,
    gate: Annotated[
        bool,
        typer.Option(
            "--gate",
            help="Wait for the gates of new versions, and replay recorded turns where they name none; exit code 9: not passed.",
        ),
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Deploy again whenever a file changes, until Ctrl-C.")] = False,
) -> None:
    """Deploy the workspace to the server: all of it or nothing. Only changed files are sent.

    It asks before it replaces a version that is newer than the one here, or that another folder or person deployed, and
    before it removes anything. Without a terminal it refuses; --yes confirms in advance.
    """
    how = _How(dry_run=dry_run, prune=prune, yes=yes, message=message, strategy=_strategy(strategy), gate=gate)
    if not watch:
        _deploy_folder(how)
        return
    from caxton.cli.watching import deploy_on_change
    from caxton.cli.workspace import workspace_folder
    from caxton.domain.errors import UsageError

    if current().json:
        raise UsageError("--watch is for people; it has no --json", "run `caxton deploy --json` for each change")
    deploy_on_change(workspace_folder(), lambda: _deploy_folder(how))


def _deploy_folder(how: "_How") -> None:
    """Deploys the workspace that the current folder is, or lies in."""
    from caxton.cli.outbox import hand_in
    from caxton.cli.workspace import read_workspace, workspace_folder

    folder = workspace_folder()  # before the server is asked: a new workspace says which one is meant there
    with connect() as caxton:
        workspace = read_workspace(folder, caxton, prune=how.prune)
        deployed, was_interrupted, rollouts = _deploy(caxton, workspace, workspace, how)
        if not how.dry_run:
            hand_in(caxton, workspace.folder)
        remember_server(caxton, workspace.folder, deployed)
        _too_late(was_interrupted)
        check_gates(rollouts)


@dataclass(frozen=True, slots=True)
class _How:
    """The options of a deployment."""

    dry_run: bool
    message: str
    yes: bool
    prune: bool = False
    strategy: "Strategy | None" = None
    gate: bool = False
    command: str = "caxton deploy"
    """For hints."""


def _strategy(name: str | None) -> "Strategy | None":
    """The strategy of that name.

    Raises:
        UsageError: there is none.
    """
    from caxton.domain.errors import UsageError
    from caxton.domain.rollouts import Strategy

    try:
        return None if name is None else Strategy(name.replace("-", "_"))
    except ValueError:
        raise UsageError(f'there is no strategy "{name}"', "write direct, blue_green, canary or shadow") from None


def deploy_tool(folder: "Path", *, dry_run: bool, yes: bool, message: str) -> None:
    """Deploys the one tool in `folder`; everything else on the server stays as it is."""
    from caxton.cli.workspace import read_tool_folder, workspace_around

    tool = read_tool_folder(folder)
    around = workspace_around(folder) or tool
    with connect() as caxton:
        how = _How(dry_run=dry_run, yes=yes, message=message, command=f"caxton tool deploy {folder}")
        deployed, was_interrupted, _ = _deploy(caxton, tool, around, how)
        remember_server(caxton, around.folder, deployed)
        _too_late(was_interrupted)


def _deploy(
    caxton: "Caxton", workspace: "Workspace", around: "Workspace", how: _How
) -> "tuple[dict[str, str | None], bool, list[RolloutView]]":
    """Deploys all of `workspace`, which is, or is a part of, the workspace `around`.

    Returns:
        By which deployment each component is live (see :func:`caxton.cli.precautions.deployed_from_here`), whether Ctrl-C
        came too late to keep it from happening, and rollouts whose gates were waited for.
    """
    from caxton.cli.precautions import concerns, consent, deployed_from_here, is_from, source_of
    from caxton.cli.state import recall
    from caxton.domain.deployments import LONGEST_MESSAGE, DeploymentRequest
    from caxton.domain.errors import UsageError

    if len(how.message) > LONGEST_MESSAGE:
        raise UsageError(f"--message has {len(how.message):,} characters; {LONGEST_MESSAGE} are allowed")
    started = time.perf_counter()
    bundles, source = workspace.bundles, source_of(around)
    request = DeploymentRequest(
        bundles=bundles, prune=how.prune, message=how.message, source=source, strategy=how.strategy, gate=how.gate
    )
    plan = caxton.plan(request)
    changes = with_versions(plan.changes, workspace)
    _add_ungranted(caxton, workspace, changes)
    state = recall(around.folder, caxton.connection.workspace, caxton.connection.url)
    found = concerns(changes, source, state)
    changed = [change for change in changes if change.action != "unchanged"]
    if not changed or how.dry_run:
        here = {(bundle.kind, bundle.name) for bundle in bundles}
        left = [each for each in changes if each.action == "unchanged" and (each.kind, each.name) not in here]
        gone = [each.name for each in left if is_from(each, source, state)]
        _show_plan(changes, dry_run=how.dry_run, plan=plan, left=[each.name for each in left], gone=gone, found=found)
        return ({} if how.dry_run else deployed_from_here(bundles, changes, None)), False, []
    consent(changes, found, yes=how.yes, command=f"{how.command}{' --prune' if how.prune else ''}")
    if not current().json:
        total = len({(bundle.kind, bundle.name) for bundle in bundles} | {(each.kind, each.name) for each in changed})
        prose(f"Deploying {len(changed)} of {_things(total, bundles)} to {_scope(caxton)} …")
    with told_if_interrupted("Nothing was changed."):
        _upload(caxton, workspace, plan)
    deployment, was_interrupted = interrupts.deploy(caxton, request)
    seconds = time.perf_counter() - started
    rollouts = await_gates(caxton, deployment.changes) if how.gate and current().json else []
    _show_result(with_versions(deployment.changes, workspace), deployment, seconds, workspace, rollouts)
    _warn_of_models(caxton, deployment.changes)
    if how.gate and not current().json:
        rollouts = await_gates(caxton, deployment.changes)
    return deployed_from_here(bundles, deployment.changes, deployment.id), was_interrupted, rollouts


def _too_late(was_interrupted: bool) -> None:
    """Tells who interrupted that it has happened all the same."""
    if was_interrupted:
        complain("Ctrl-C came too late: the deployment was in progress, and it is live.")
        complain("Undo it with: caxton rollback")
        raise typer.Exit(INTERRUPTED)


def _add_ungranted(caxton: "Caxton", workspace: "Workspace", changes: "Iterable[Change]") -> None:
    """Adds to changes what manifests, and agents with a component, request here and nobody has granted on the server."""
    from datetime import UTC, datetime

    from caxton.domain.grants import for_any_call, missing

    changed = {(change.kind, change.name): change for change in changes if change.action != "unchanged"}
    own = [("tool", tool.version) for tool in workspace.tools]
    own += [("agent", agent.version.module) for agent in workspace.agents if agent.version.module]
    found = [(changed[kind, version.name], version) for kind, version in own if (kind, version.name) in changed]
    if not found:
        return
    known, now = caxton.tool_grants(), datetime.now(UTC)
    for change, version in found:
        manifest = version.manifest
        rights = for_any_call([grant for grant in known.grants if grant.tool == manifest.name], now, version.digest)
        change.unsandboxed = manifest.unsandboxed
        change.lacks(missing(manifest, rights, known.limits))


def _warn_of_ungranted(changes: "Iterable[Change]") -> None:
    """Says what tools request and nobody has granted, and how to grant it."""
    for change in changes:
        if change.unsandboxed and change.action != "deleted":
            warning = f"{style('warning:', 'bold', 'yellow')} {change.name} runs outside of the sandbox"
            complain(f"{warning}: {change.unsandboxed}")
        for suggestion in change.suggestions:
            complain(f"{style('hint:', 'bold')} {suggestion}")
        if change.ungranted and change.action != "deleted":
            warning = f"{style('warning:', 'bold', 'yellow')} {change.name} requests {', '.join(change.ungranted)}"
            effect = "it cannot be deployed or called" if change.unsandboxed else "it runs without"
            complain(f"{warning}: nobody has granted that, so {effect}")
            complain(f"  grant it: {change.grant}")


def _warn_of_models(caxton: "Caxton", changes: "Iterable[Change]") -> None:
    """Says which of the deployed agents do not use the model that they should."""
    from caxton.cli.agents import warn_of_models

    names = {change.name for change in changes if change.kind == "agent" and change.action in ("new", "modified")}
    if names and not current().json:
        warn_of_models(agent for agent in caxton.agents() if agent.name in names)


def remember_server(
    caxton: "Caxton", folder: "Path | None" = None, deployed: "Mapping[str, str | None] | None" = None
) -> None:
    """Keeps what the server has now in the workspace, for `caxton status` without it and for the shell.

    Args:
        caxton: the server.
        folder: the workspace; None for the one that the current folder lies in, if any.
        deployed: what has been deployed from the folder just now: see :func:`caxton.cli.precautions.deployed_from_here`.
    """
    from pathlib import Path

    from caxton.cli.state import ServerState, recall, save
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
    state = ServerState(connection.workspace, connection.url, components=components, capabilities=names)
    before = recall(folder, connection.workspace, connection.url)
    by = {**(before.deployed if before else {}), **(deployed or {})}
    state.deployed = {key: deployment for key, deployment in by.items() if deployment is not None}
    save(folder, state)


def _show_plan(
    changes: "Sequence[Change]",
    *,
    dry_run: bool,
    plan: "DeploymentPlan",
    left: "Sequence[str]",
    gone: "Sequence[str]",
    found: "Sequence[Concern]",
) -> None:
    """Shows what would change.

    Args:
        changes: of the plan.
        dry_run: whether that was all that was wanted.
        plan: for what is to be uploaded.
        left: names of what is on the server and not here: a deployment leaves it alone unless it is told to prune.
        gone: those of them that were deployed from here.
        found: what a deployment would ask for.
    """
    from caxton.cli.precautions import concern_lines

    changed = sum(change.action != "unchanged" for change in changes)
    if current().json:
        told = [{"kind": each.change.kind, "name": each.change.name, "reason": each.reason} for each in found]
        emit(
            {
                "dry_run": dry_run,
                "changed": changed,
                "changes": changes,
                "to_upload": len(plan.missing),
                "concerns": told,
            }
        )
        return
    if not changes:
        prose("Nothing to deploy: there are no agents and no tools, neither here nor on the server.")
        remark("Next: caxton init my-agent")
        return
    if not changed:
        latest = max((change.last_deployed for change in changes if change.last_deployed), default=None)
        same = [change for change in changes if change.name not in left]
        if same:
            prose(f"Nothing to deploy: {_all_of(same)} as on the server (last deployed {ago(latest)}).")
        others = [name for name in left if name not in gone]
        if gone:
            prose(f"{', '.join(gone)} {_are(gone)} deleted here, and still running on the server.")
            remark("Remove with: caxton deploy --prune")
        if others:
            prose(f"{', '.join(others)} {_are(others)} only on the server, from elsewhere. That stays as it is.")
        return
    for line in changes_lines(changes, last_deployed=True):
        say(line)
    prose(f"{plural(changed, 'change')}, {plural(len(plan.missing), 'file')} to upload. Nothing was changed.")
    for line in concern_lines(found):
        complain(line)
    _warn_of_ungranted(changes)


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


def _show_result(
    changes: "Sequence[Change]",
    deployment: "Deployment",
    seconds: float,
    workspace: "Workspace",
    rollouts: "Sequence[RolloutView]",
) -> None:
    if current().json:
        told = {"rollouts": rollouts} if rollouts else {}
        emit({**deployment.model_dump(mode="json"), "seconds": round(seconds, 3), **told})
        return
    rows = [
        [
            f"{style('✓', 'green')} {change.name if change.kind == 'agent' else f'{change.name} (tool)'}",
            "removed" if change.action == "deleted" else versions(change),
            f"{str(change.strategy).replace('_', '-')}: not live yet"
            if change.rollout
            else ", ".join(change.capabilities),
        ]
        for change in sorted(changes, key=lambda change: change.kind)
        if change.action != "unchanged"
    ]
    for line in table(rows, indent="  "):
        say(line)
    text = summary_text(deployment.summary)
    undo = f"     Undo: {style('caxton rollback', 'bold')}" if is_terminal() else ""
    prose(f"{text[:1].upper()}{text[1:]} in {seconds:.2f} s.{undo}")
    _warn_of_ungranted(changes)
    rolling = [change.name for change in changes if change.rollout]
    if rolling:
        whose = f" {rolling[0]}" if len(rolling) == 1 else ""
        remark(f"Next: {style(f'caxton rollout status{whose} --watch', 'bold')}")
        return
    example = _example(changes, workspace)
    if example:
        remark(f"Next: {style(example, 'bold')}")


def _example(changes: "Sequence[Change]", workspace: "Workspace") -> str | None:
    """A request to one of the agents that were deployed: an agent of a template is asked what the template suggests."""
    from caxton.definitions.templates import list_templates

    prompts = {template.id: template.example_prompts[0] for template in list_templates() if template.example_prompts}
    agents = [
        each for each in changes if each.kind == "agent" and each.action in ("new", "modified") and each.capabilities
    ]
    asked_by_others = {each.name for agent in workspace.agents for each in agent.version.spec.delegates}
    for_people = [each for each in agents if not asked_by_others.intersection(each.capabilities)]
    chosen = next(iter(for_people or agents), None)
    return f'caxton ask {chosen.capabilities[0]} "{prompts.get(chosen.name, "…")}"' if chosen else None


def _are(names: "Sequence[str]") -> str:
    return "is" if len(names) == 1 else "are"


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
