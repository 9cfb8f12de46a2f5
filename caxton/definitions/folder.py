"""Reading files below one folder, and nothing outside it."""

import hashlib
import stat
from dataclasses import dataclass
from pathlib import Path

from caxton.definitions.toml_source import SIZE_LIMIT
from caxton.definitions.tools import ToolFile
from caxton.domain.ids import Digest
from caxton.domain.problems import Problem

_WALK_LIMIT = 10_000
"""Files that are looked at in one bundled folder: far above what a tool may have."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder whose files are read by paths below it ("agents/a.toml"). Symbolic links may not lead out of it."""

    root: Path

    def entries(self, below: str) -> list[str]:
        """Sorted names in the folder `below`, without hidden ones; none if there is no such folder."""
        try:
            return sorted(path.name for path in (self.root / below).iterdir() if not path.name.startswith("."))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def is_file(self, path: str) -> bool:
        """Whether there is a regular file at `path`."""
        return (self.root / path).is_file()

    def is_folder(self, path: str) -> bool:
        """Whether there is a folder at `path`."""
        return (self.root / path).is_dir()

    def read(self, path: str, most: int = SIZE_LIMIT) -> bytes | Problem:
        """The content of a file of at most `most` bytes, by default those of a TOML file (one byte more of a larger one)."""
        problem = self._refusal(path)
        if problem:
            return problem
        try:
            with (self.root / path).open("rb") as file:
                return file.read(most + 1)
        except OSError as error:
            return _unreadable(path, error)

    def describe(self, path: str) -> ToolFile | Problem:
        """Digest, size and first bytes of a file that may be large."""
        problem = self._refusal(path)
        if problem:
            return problem
        try:
            with (self.root / path).open("rb") as file:
                head = file.read(8)
                file.seek(0)
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                return ToolFile(Digest(digest), file.tell(), head)
        except OSError as error:
            return _unreadable(path, error)

    def walk(self, below: str) -> tuple[list[str], list[Problem]]:
        """Paths of all files in the folder `below`, hidden ones left out, and what could not be looked at."""
        files: list[str] = []
        problems: list[Problem] = []
        pending = [below]
        while pending and len(files) < _WALK_LIMIT:
            folder = pending.pop()
            try:
                names = self.entries(folder)
            except OSError as error:
                problems.append(_unreadable(folder, error))
                continue
            for name in names:
                path = f"{folder}/{name}"
                if not (self.root / path).is_dir():
                    files.append(path)
                elif (self.root / path).is_symlink():
                    hint = "copy the folder instead"
                    message = "a symbolic link to a folder does not travel with a tool"
                    problems.append(Problem(file=path, width=0, message=message, hint=hint))
                else:
                    pending.append(path)
        return sorted(files), problems

    def _refusal(self, path: str) -> Problem | None:
        """Why the file may not be read."""
        try:
            path.encode()
            root = self.root.resolve()
            target = (self.root / path).resolve(strict=True)
            mode = target.stat().st_mode
        except UnicodeEncodeError:
            return Problem(file=ascii(path), width=0, message="the file's name is not UTF-8", hint="rename it")
        except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
            return _unreadable(path, error)
        if not target.is_relative_to(root):
            message = "the file is a symbolic link that leads out of the workspace"
            return Problem(file=path, width=0, message=message, hint="copy the file into the workspace")
        if not stat.S_ISREG(mode):
            return Problem(file=path, width=0, message="this is not a file", hint="remove or rename it")
        return None


def _unreadable(path: str, error: Exception) -> Problem:
    reason = error.strerror or "" if isinstance(error, OSError) else "its symbolic links go round in a circle"
    return Problem(file=path, width=0, message=f"the file cannot be read: {reason.lower() or 'unknown reason'}")
