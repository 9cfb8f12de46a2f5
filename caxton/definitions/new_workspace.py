"""Making a folder a workspace: its `caxton.toml`, and schemas for editors."""

from pathlib import Path

from caxton.definitions.suggestions import fixed_name
from caxton.definitions.workspace import AGENTS, WORKSPACE_FILE
from caxton.definitions.written_files import WrittenFiles
from caxton.domain.ids import DEFAULT_WORKSPACE, new_id

_SCHEMAS = ".caxton/schemas"
"""Where an agent's `#:schema` line finds the schemas: in the workspace, so that editors need no network."""

_BUNDLED_SCHEMAS = Path(__file__).resolve().parent.parent / "bundled" / "schemas"

_TEXT = """\
# A Caxton workspace: agents/*.toml, tools/*/tool.toml. `caxton deploy` brings it to the server.

[workspace]
# The workspace on the server. Folders that have the same name here share one.
name = "{name}"
# Copies of this folder keep the id. `caxton deploy` asks before it replaces what another folder deployed.
id = "{id}"
"""


def make_workspace(folder: Path) -> list[Path]:
    """Makes `folder` a workspace without any agent, unless it is one: `caxton.toml`, schemas, and `agents/` to write into.

    Returns:
        The files that were written, as paths below `folder`.

    Raises:
        InvalidState: a file cannot be written.
        DiskFull: the same, for want of space.
    """
    writing = WrittenFiles(folder)
    add_workspace_files(writing, folder)
    writing.add_folder(AGENTS)
    return writing.write()


def add_workspace_files(writing: WrittenFiles, folder: Path) -> None:
    """Adds what makes `folder` a workspace and is not there yet."""
    for schema in sorted(_BUNDLED_SCHEMAS.glob("*.schema.json")):
        writing.add_if_different(f"{_SCHEMAS}/{schema.name}", schema.read_bytes())
    if not (folder / WORKSPACE_FILE).exists():
        text = _TEXT.format(name=workspace_name(folder), id=new_id("w"))
        writing.add(WORKSPACE_FILE, text.encode())


def workspace_name(folder: Path) -> str:
    """What a new workspace in `folder` is called on the server: as the folder is, as far as that can be a name."""
    return fixed_name(folder.absolute().name) or DEFAULT_WORKSPACE
