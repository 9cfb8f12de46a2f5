"""The changes of a deployment, as the terminal shows them."""

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from caxton.cli.output import ago, style
from caxton.cli.tables import table

if TYPE_CHECKING:
    from caxton.definitions.workspace import Workspace
    from caxton.domain.deployments import Change, DeploymentSummary


MARKS = {"new": ("+", "green"), "modified": ("~", "yellow"), "deleted": ("-", "red"), "unchanged": ("=", "dim")}


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


def changes_lines(
    changes: "Sequence[Change]", *, last_deployed: bool = False, gone: "Collection[Change] | None" = None
) -> list[str]:
    """A line for each change, and one for all that is unchanged.

    Args:
        changes: what to show.
        last_deployed: also when each was deployed last.
        gone: of those that are only on the server, the ones that were deployed from here; None where nothing is only
            on the server, because it is removed.
    """
    rows: list[list[str]] = []
    for change in sorted(changes, key=lambda change: change.kind):
        if change.action == "unchanged":
            continue
        mark, colour = MARKS[change.action]
        word = change.action
        if gone is not None and change.action == "deleted":
            mark, colour = ("-", "red") if change in gone else (".", "dim")
            word = "deleted here, still running" if change in gone else "only on the server"
        name = change.name if change.kind == "agent" else f"{change.name} (tool)"
        when = f"last deployed {ago(change.last_deployed)}" if last_deployed and change.last_deployed else ""
        if gone is not None and change.action == "deleted":
            when = "(remove with: caxton deploy --prune)" if change in gone else _whence(change)
        rows.append([f"{style(mark, colour)} {name}", word, versions(change), when])
    lines = table(rows, indent="  ")
    lines += [
        f"  {style('.', 'dim')} {each.name}: the rollout of {each.ends} is ended" for each in changes if each.ends
    ]
    unchanged = sum(change.action == "unchanged" for change in changes)
    return [*lines, f"  {style('=', 'dim')} {unchanged} unchanged"] if unchanged else lines


def _whence(change: "Change") -> str:
    return f"deployed from {change.source.place}" if change.source and change.source.place else ""


def versions(change: "Change") -> str:
    """ "1.2.0 → 1.3.0", or the one version that there is."""
    if change.before and change.after and change.before != change.after:
        return f"{change.before} → {change.after}"
    return change.after or change.before or ""


def summary_text(summary: "DeploymentSummary") -> str:
    """ "deployed 1, updated 1, unchanged 7"; what is none is left out."""
    counts = summary.model_dump()
    return ", ".join(f"{word} {count}" for word, count in counts.items() if count) or "nothing changed"
