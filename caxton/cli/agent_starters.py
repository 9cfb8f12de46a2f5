"""`caxton agent init|wit`: WebAssembly agents to begin with."""

from pathlib import Path
from typing import Annotated

import typer

from caxton.cli.invocation import current
from caxton.cli.output import emit, plural, prose, remark, style
from caxton.cli.tool_starters import print_interface


def complete_language(incomplete: str) -> list[str]:
    """Languages to write an agent in."""
    from caxton.definitions.agent_starters import agent_languages

    return [name for name in agent_languages() if name.startswith(incomplete)]


def init(
    name: Annotated[str, typer.Argument(help="What the agent is called.")],
    language: Annotated[
        str,
        typer.Option(
            "--language",
            "-l",
            metavar="LANGUAGE",
            help="javascript, python or rust.",
            autocompletion=complete_language,
        ),
    ],
) -> None:
    """Create a WebAssembly agent of your own: its file, source, interface, and the command that builds it.

    Agents that a model answers for begin with `caxton init`.
    """
    from caxton.cli.workspace import workspace_folder
    from caxton.definitions.agent_starters import begin_agent

    folder = workspace_folder(for_new=True)
    written = begin_agent(name, language, folder)
    if current().json:
        emit({"name": name, "workspace": str(folder), "files": [str(path) for path in written]})
        return
    sources = sum(path.is_relative_to(f"agents/{name}") for path in written)
    prose(f"{style('✓', 'green')} agents/{name}.toml, agents/{name}/ ({plural(sources, 'file')})")
    remark(f"Next: build it as agents/{name}/README.md says, then {style('caxton deploy', 'bold')}")


def wit(
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it to a file.")] = None,
) -> None:
    """Print the interface of agents that are WebAssembly components, in WIT."""
    from caxton.definitions.agent_starters import agent_interface

    print_interface(agent_interface(), out)
