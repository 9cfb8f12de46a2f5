"""`caxton import`"""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caxton.cli.app import new_app
from caxton.cli.invocation import current
from caxton.cli.output import emit, plural, prose, remark, style

if TYPE_CHECKING:
    from caxton.definitions.imports.found import Found, Note

app_import = new_app()


@app_import.command("import")
def import_files(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE…", help="A file; of CrewAI agents.yaml, with tasks.yaml beside it.")
    ],
    force: Annotated[bool, typer.Option("--force", help="Write over files of the same name.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be written, and write nothing.")] = False,
) -> None:
    """Turn agent files of Docker Agent, CrewAI (YAML) or OpenAI's assistants (JSON) into agents of this workspace.

    What cannot be carried over is said, with what to do instead. Secrets are never carried over. Outside of a workspace, this
    folder becomes one.
    """
    from caxton.cli.workspace import workspace_folder
    from caxton.definitions.imports.reading import read_files
    from caxton.definitions.imports.writing import write_into
    from caxton.domain.errors import NotFound

    program, found = read_files(files)
    try:
        folder = workspace_folder()
    except NotFound:
        folder = Path.cwd()
    written, warnings = write_into(folder, found, force=force, dry_run=dry_run)
    if current().json:
        emit(
            {
                "program": program,
                "workspace": str(folder),
                "files": written,
                **({"contents": found.files()} if dry_run else {}),
                "notes": [asdict(each) for each in found.notes],
                "warnings": warnings,
            }
        )
        return
    made = f"{plural(len(found.agents), 'agent')} and {plural(len(found.tools), 'tool')}"
    prose(f"{made} of {program}{', which would be written to:' if dry_run else ':'}")
    for path in written:
        prose(f"  {style('+', 'green')} {path}")
    _tell_notes(found)
    if not dry_run:
        remark(f"Next: look at the files, then {style('caxton validate', 'bold')} and {style('caxton deploy', 'bold')}")


def _tell_notes(found: "Found") -> None:
    """Says what was not carried over."""
    if found.notes:
        prose("")
        prose(f"{style('To complete', 'bold')} ({len(found.notes)}):")
    for each in found.notes:
        _tell_note(each)


def _tell_note(note: "Note") -> None:
    line = f" (line {note.line})" if note.line else ""
    prose(f"  {style(note.where, 'cyan')}{line}: {note.what}")
    if note.hint:
        prose(f"      {style(note.hint, 'dim')}")
