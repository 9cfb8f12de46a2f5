"""The workspace of the current folder, as commands need it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from caxton.cli.invocation import current
from caxton.cli.output import complain, is_terminal, style
from caxton.domain.errors import InvalidDefinitions, NotAuthenticated, NotFound, ServerUnreachable

if TYPE_CHECKING:
    from caxton.client import Caxton
    from caxton.definitions.workspace import Workspace


def workspace_folder(*, for_new: bool = False) -> Path:
    """The workspace that the current folder is, or lies in.

    Where there is none and a person can be asked, they are asked whether to make this folder one: if it has agents or tools,
    or is about to get one.

    Args:
        for_new: whether the command puts something into the folder.

    Raises:
        NotFound: this is no workspace, and does not become one.
    """
    from caxton.definitions.workspace import AGENTS, TOOLS, find_workspace

    here = Path.cwd()
    try:
        return find_workspace(here)
    except NotFound:
        found = next((name for name in (AGENTS, TOOLS) if (here / name).is_dir()), None)
        if not (found or for_new) or not _can_ask() or not _begins(here, found):
            raise
    return here


def _can_ask() -> bool:
    return is_terminal(sys.stderr) and sys.stdin.isatty() and not current().json


def _begins(here: Path, found: str | None) -> bool:
    """Makes the folder a workspace if the user wants that, and tells whether it is one now."""
    import typer

    from caxton.definitions.new_workspace import make_workspace, workspace_name
    from caxton.definitions.workspace import WORKSPACE_FILE

    has = f"has {found}/ but no {WORKSPACE_FILE}" if found else f"has no {WORKSPACE_FILE}"
    complain(f"This folder {has}, so it is not a workspace yet.")
    if not typer.confirm(f'Make it the workspace "{workspace_name(here)}"?', default=True, err=True):
        return False
    make_workspace(here)
    complain(f"{style('✓', 'green', stream=sys.stderr)} {WORKSPACE_FILE}")
    return True


def read_workspace(folder: Path, caxton: "Caxton", *, prune: bool = False) -> "Workspace":
    """What the workspace in `folder` defines.

    Args:
        folder: as :func:`workspace_folder` found it.
        caxton: the server to ask for its tools and agents, so that agents may name them.
        prune: whether what is not in the folder is to leave the server, so that nobody can hand work over to it.

    Raises:
        InvalidDefinitions: there are errors in its files; warnings are shown and do no harm.
        InvalidSettings: its `caxton.toml` is not valid.
    """
    current().settings()
    return checked(load_against(folder, caxton, prune=prune))


def load_against(folder: Path, caxton: "Caxton", *, prune: bool = False) -> "Workspace":
    """What the workspace in `folder` defines, with its problems, given what the server has.

    Raises:
        NotFound: this is not a workspace.
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
