"""`caxton tool add|init|wit`: tools to begin with."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caxton.cli.invocation import current
from caxton.cli.output import emit, plural, prose, remark, say, style

if TYPE_CHECKING:
    from collections.abc import Sequence


def complete_included(incomplete: str) -> list[str]:
    """Names of tools that come with Caxton."""
    from caxton.definitions.starters import included_tools

    return [name for name in included_tools() if name.startswith(incomplete)]


def complete_language(incomplete: str) -> list[str]:
    """Languages to write a tool in."""
    from caxton.definitions.starters import languages

    return [name for name in languages() if name.startswith(incomplete)]


def add(
    name: Annotated[
        str | None,
        typer.Argument(help="Which; without it they are listed.", autocompletion=complete_included),
    ] = None,
) -> None:
    """Copy a tool that comes with Caxton into this workspace: csv-tools, chart-generator, http-client."""
    from caxton.cli.workspace import workspace_folder
    from caxton.definitions.starters import add_tool, included_tools

    if name is None:
        names = included_tools()
        emit({"tools": names}) if current().json else say("\n".join(names))
        return
    folder = workspace_folder(for_new=True)
    written = add_tool(name, folder)
    _tell(name, folder, written)
    remark(f'Next: add "{name}" to `tools` in agents/NAME.toml, and run {style("caxton deploy", "bold")}')


def init(
    name: Annotated[str, typer.Argument(help="What the tool is called.")],
    language: Annotated[
        str,
        typer.Option(
            "--language",
            "-l",
            metavar="LANGUAGE",
            help="go, javascript, python or rust.",
            autocompletion=complete_language,
        ),
    ],
) -> None:
    """Create a folder for a tool of your own: source, manifest, interface, and the command that builds it."""
    from caxton.cli.workspace import workspace_folder
    from caxton.definitions.starters import begin_tool

    folder = workspace_folder(for_new=True)
    written = begin_tool(name, language, folder)
    _tell(name, folder, written)
    remark(f"Next: build it as tools/{name}/README.md says, then {style(f'caxton tool deploy tools/{name}', 'bold')}")


def wit(
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it to a file.")] = None,
) -> None:
    """Print the interface of tools that are components, in WIT."""
    from caxton.definitions.starters import interface

    print_interface(interface(), out)


def print_interface(text: str, out: Path | None) -> None:
    """Prints an interface in WIT, or writes it to the file `out`."""
    if out is not None:
        out.write_text(text, encoding="utf-8")
    elif current().json:
        emit({"wit": text})
    else:
        say(text, end="")


def _tell(name: str, folder: Path, written: "Sequence[Path]") -> None:
    if current().json:
        emit({"name": name, "workspace": str(folder), "files": [str(path) for path in written]})
        return
    prose(f"{style('✓', 'green')} tools/{name}/ ({plural(len(written), 'file')})")
