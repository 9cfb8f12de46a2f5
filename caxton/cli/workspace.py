"""The workspace of the current folder, as commands need it."""

from pathlib import Path
from typing import TYPE_CHECKING

from caxton.cli.invocation import current
from caxton.cli.output import complain
from caxton.domain.errors import InvalidDefinitions, NotAuthenticated, ServerUnreachable

if TYPE_CHECKING:
    from caxton.client import Caxton
    from caxton.definitions.workspace import Workspace


def read_workspace(caxton: "Caxton | None") -> "Workspace":
    """The workspace that the current folder is, or lies in.

    Args:
        caxton: the server to ask which tools it has, so that agents may name them; None not to ask.

    Raises:
        NotFound: this is no workspace.
        InvalidDefinitions: there are errors in its files; warnings are shown and do no harm.
        InvalidSettings: its `caxton.toml` is not valid.
    """
    from caxton.definitions.workspace import find_workspace, load_workspace

    folder = find_workspace(Path.cwd())
    current().settings()
    return checked(load_workspace(folder, known_tools(caxton) if caxton else None))


def read_tool_folder(folder: Path) -> "Workspace":
    """The one tool in `folder`.

    Raises:
        NotFound: it has no tool.toml.
        InvalidDefinitions: there are errors in its files.
    """
    from caxton.definitions.workspace import load_tool

    return checked(load_tool(folder.resolve()))


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
