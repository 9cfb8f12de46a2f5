"""The workspace of the current folder, as commands need it."""

from pathlib import Path
from typing import TYPE_CHECKING

from caxton.cli.invocation import current
from caxton.cli.output import complain
from caxton.domain.errors import InvalidDefinitions, NotAuthenticated, ServerUnreachable

if TYPE_CHECKING:
    from caxton.client import Caxton
    from caxton.definitions.workspace import Workspace


def read_workspace(caxton: "Caxton", *, prune: bool = False) -> "Workspace":
    """The workspace that the current folder is, or lies in.

    Args:
        caxton: the server to ask for its tools and agents, so that agents may name them.
        prune: whether what is not in the folder is to leave the server, so that nobody can hand work over to it.

    Raises:
        NotFound: this is no workspace.
        InvalidDefinitions: there are errors in its files; warnings are shown and do no harm.
        InvalidSettings: its `caxton.toml` is not valid.
    """
    from caxton.definitions.workspace import find_workspace

    folder = find_workspace(Path.cwd())
    current().settings()
    return checked(load_against(folder, caxton, prune=prune))


def load_against(folder: Path, caxton: "Caxton", *, prune: bool = False) -> "Workspace":
    """What the workspace in `folder` defines, with its problems, given what the server has.

    Raises:
        NotFound: this is no workspace.
    """
    from caxton.definitions.workspace import load_workspace

    return load_workspace(folder, known_tools(caxton), None if prune else known_offers(caxton))


def read_tool_folder(folder: Path) -> "Workspace":
    """The one tool in `folder`.

    Raises:
        NotFound: it has no tool.toml.
        InvalidDefinitions: there are errors in its files.
    """
    from caxton.definitions.workspace import load_tool

    return checked(load_tool(folder.resolve()))


def workspace_around(folder: Path) -> "Workspace | None":
    """The workspace that `folder` lies in, without its problems; None if it lies in none."""
    from caxton.definitions.workspace import find_workspace, load_workspace
    from caxton.domain.errors import NotFound

    try:
        return load_workspace(find_workspace(folder.resolve()))
    except NotFound:
        return None


def checked(workspace: "Workspace") -> "Workspace":
    """`workspace`, if its files are without errors.

    Raises:
        InvalidDefinitions: they are not.
    """
    from caxton.cli.problems import render

    if workspace.errors:
        raise invalid(workspace)
    if workspace.problems and not current().json:
        complain("\n".join(render(workspace.problems, workspace.sources, "")))
    return workspace


def invalid(workspace: "Workspace") -> InvalidDefinitions:
    """The error that tells all problems of `workspace`."""
    first = workspace.errors[0]
    more = f" (and {len(workspace.errors) - 1} more)" if len(workspace.errors) > 1 else ""
    return InvalidDefinitions(
        f"{first.file}:{first.line}:{first.column}: {first.message}{more}",
        details={
            "problems": [problem.model_dump(exclude_none=True) for problem in workspace.problems],
            "folder": str(workspace.folder),
        },
    )


def known_tools(caxton: "Caxton") -> dict[str, list[str] | None] | None:
    """The server's tools and their functions; None if it does not answer, for the files can be checked all the same."""
    try:
        return {tool.name: [function.name for function in tool.functions] for tool in caxton.tools()}
    except (ServerUnreachable, NotAuthenticated):
        return None


def known_offers(caxton: "Caxton") -> dict[str, list[tuple[str, str]]] | None:
    """What the server's agents offer: agent and version by capability; None if it does not answer."""
    offers: dict[str, list[tuple[str, str]]] = {}
    try:
        for agent in caxton.agents():
            for capability in agent.capabilities:
                offers.setdefault(capability.name, []).append((agent.name, capability.version))
    except (ServerUnreachable, NotAuthenticated):
        return None
    return offers
