"""What a deployment would take from others: it is not done before somebody has agreed to it."""

import platform
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from caxton.cli.invocation import current
from caxton.cli.output import ago, complain, is_terminal, prose, style
from caxton.domain.capabilities import version_key
from caxton.domain.deployments import DeploymentSource
from caxton.domain.errors import Hint, InvalidState
from caxton.domain.ids import digest_of

if TYPE_CHECKING:
    from caxton.cli.state import ServerState
    from caxton.definitions.workspace import Workspace
    from caxton.domain.deployments import Bundle, Change

OR = "|"
"""Between the deployments of which one or the other made a component live."""

MOST_NAMED = 5
"""Agents and tools that an error names; the rest is a number."""


@dataclass(frozen=True, slots=True)
class Concern:
    """A change that replaces or removes what may be somebody else's."""

    change: "Change"
    reason: str

    def __str__(self) -> str:
        return f"{self.change.name} ({self.reason})"


def source_of(workspace: "Workspace") -> DeploymentSource:
    """The folder of `workspace`, as the server keeps it: copies that carry the same `id` are one."""
    folder = workspace.folder.absolute()
    place = f"{platform.node()}:{folder}".encode(errors="replace").decode()
    place = "".join(character if character.isprintable() else "?" for character in place)
    return DeploymentSource(id=workspace.id or f"folder-{digest_of(place.encode())[:32]}", place=place[-500:])


def is_from(change: "Change", source: DeploymentSource, state: "ServerState | None") -> bool:
    """Whether the version on the server is known to come from the folder `source`, by the server or by `state`."""
    if change.source is not None:
        return change.source.id == source.id
    return state is not None and f"{change.kind}/{change.name}" in state.deployed


def concerns(changes: "Sequence[Change]", source: DeploymentSource, state: "ServerState | None") -> list[Concern]:
    """The changes that need somebody's consent.

    Args:
        changes: of a plan, with the versions here and on the server.
        source: this folder.
        state: what this folder remembers of its last deployment, None if there was none.
    """
    found: list[Concern] = []
    for change in changes:
        if change.action not in ("modified", "deleted"):
            continue
        reason = _reason(change, source, state)
        if reason:
            found.append(Concern(change, reason))
    return found


def _reason(change: "Change", source: DeploymentSource, state: "ServerState | None") -> str | None:
    if change.source is not None and change.source.id != source.id:
        return f"deployed from {change.source.place or change.source.id} {ago(change.last_deployed)}"
    if change.action == "deleted":
        unknown = f"not known to be from this folder, deployed {ago(change.last_deployed)}"
        return None if is_from(change, source, state) else unknown
    if change.before and change.after and version_key(change.after) < version_key(change.before):
        return f"{change.before} on the server is newer than {change.after} here"
    seen = state.deployed.get(f"{change.kind}/{change.name}") if state else None
    if seen is not None and change.deployment_id not in (None, *seen.split(OR)):
        return f"changed on the server {ago(change.last_deployed)}, after the last deployment from here"
    return None


def consent(changes: "Sequence[Change]", found: "Sequence[Concern]", *, yes: bool, command: str) -> None:
    """Asks for consent at a terminal, where anything is removed or there are concerns. Elsewhere concerns are refused.

    Raises:
        InvalidState: nobody can be asked.
        Exit: the answer was no.
    """
    removed = [change for change in changes if change.action == "deleted"]
    if yes or not (found or removed):
        return
    if current().json or not (is_terminal() and sys.stdin.isatty()):
        if found:
            raise _refusal(found, command)
        return
    for line in concern_lines(found):
        complain(line)
    replaced = [concern.change for concern in found if concern.change.action == "modified"]
    parts = [f"replace {_named(replaced)}"] if replaced else []
    parts += [f"remove {_named(removed)}"] if removed else []
    question = " and ".join(parts)
    if not typer.confirm(f"{question[0].upper()}{question[1:]} on the server?", default=False):
        prose("Nothing was changed.")
        raise typer.Exit(1)


def concern_lines(found: "Sequence[Concern]") -> list[str]:
    """A warning for each concern."""
    return [f"{style('warning:', 'bold', 'yellow')} {concern.change.name}: {concern.reason}" for concern in found]


def _named(changes: "Sequence[Change]") -> str:
    names = [change.name for change in changes]
    if len(names) <= MOST_NAMED:
        return ", ".join(names)
    return f"{', '.join(names[:MOST_NAMED])} and {len(names) - MOST_NAMED} more"


def _refusal(found: "Sequence[Concern]", command: str) -> InvalidState:
    named = [str(concern) for concern in found[:MOST_NAMED]]
    more = [f"{len(found) - MOST_NAMED} more"] if len(found) > MOST_NAMED else []
    return InvalidState(
        f"this would replace or remove what may be somebody else's: {', '.join([*named, *more])}",
        Hint(text="see all that would change", command=f"{command} --dry-run"),
        Hint(text="do it all the same", command=f"{command} --yes"),
        Hint(text="or give this folder a workspace of its own: another `name` under [workspace] in caxton.toml"),
        details={"concerns": [{"name": each.change.name, "reason": each.reason} for each in found]},
    )


def deployed_from_here(
    bundles: "Iterable[Bundle]", changes: "Iterable[Change]", deployment_id: str | None
) -> dict[str, str | None]:
    """The deployment by which each component of this folder is live now, by "kind/name"; None for what was removed.

    Of a new version that is on its way it is that deployment, or the one before: both are from here.

    Args:
        bundles: what is in the folder.
        changes: of the plan, or of the deployment that was made.
        deployment_id: that deployment; None if there was nothing to deploy.
    """
    here = {(bundle.kind, bundle.name) for bundle in bundles}
    found: dict[str, str | None] = {}
    for change in changes:
        key = f"{change.kind}/{change.name}"
        if change.action == "deleted":
            found[key] = None
        elif (change.kind, change.name) in here and change.rollout is not None:
            found[key] = OR.join(each for each in (change.deployment_id, deployment_id) if each)
        elif (change.kind, change.name) in here:
            found[key] = change.deployment_id if change.action == "unchanged" else deployment_id
    return found
