"""Writing what was imported into a workspace: all of it or nothing, and only what is valid."""

from pathlib import Path
from tempfile import TemporaryDirectory

from caxton.definitions.imports.found import Found
from caxton.definitions.new_workspace import add_workspace_files
from caxton.definitions.reading import errors_of
from caxton.definitions.workspace import WORKSPACE_FILE, load_workspace
from caxton.definitions.written_files import WrittenFiles
from caxton.domain.errors import Hint, InvalidDefinitions, InvalidState
from caxton.domain.problems import Problem


def write_into(folder: Path, found: Found, *, force: bool, dry_run: bool) -> tuple[list[str], list[Problem]]:
    """Writes agents and tools into the workspace in `folder`, which becomes one if it is none.

    Args:
        folder: where to.
        found: what to write.
        force: write over files of the same name.
        dry_run: write nothing.

    Returns:
        The files, as paths below the folder, and what `caxton validate` warns of in them.

    Raises:
        InvalidState: a file of that name is there, or one cannot be written.
        InvalidDefinitions: what would be written is not valid; its problems are told by the places that they come from.
        DiskFull: there is no room.
    """
    files = found.files()
    problems = _problems(files)
    problems = [_in_its_source(found, each) for each in problems]
    if errors := errors_of(problems):
        raise InvalidDefinitions(
            f"{errors[0].file}: {errors[0].message}",
            *([Hint(text=errors[0].hint)] if errors[0].hint else []),
            details={"problems": [each.model_dump(exclude_none=True) for each in errors]},
        )
    writing = WrittenFiles(folder)
    there = [path for path in files if writing.exists(path)]
    if there and not force:
        raise InvalidState(
            f"{', '.join(there[:5])}{' …' if len(there) > 5 else ''}: there is such a file already",
            "write over it with --force, or import into another folder",
            details={"files": there},
        )
    if not dry_run:
        add_workspace_files(writing, folder)
        for path, text in files.items():
            writing.add(path, text.encode())
        writing.write()
    return list(files), problems


def _in_its_source(found: Found, problem: Problem) -> Problem:
    """A problem of a file that would be written, where it stands in the file that is imported."""
    place = found.place_of(problem)
    if place is None:
        return problem
    told = f"{place.path}: {problem.message}" if place.path else problem.message
    where = {
        "file": place.file,
        "line": place.line or 1,
        "column": 1,
        "width": int(place.line is not None),
        "path": place.path,
    }
    return problem.model_copy(update={**where, "message": told})


def _problems(files: dict[str, str]) -> list[Problem]:
    """What is wrong with the files, as those of a workspace of their own."""
    with TemporaryDirectory() as temporary:
        place = Path(temporary)
        (place / WORKSPACE_FILE).touch()
        for path, text in files.items():
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_text(text, encoding="utf-8")
        return list(load_workspace(place).problems)
