"""Writing several files so that either all of them are there in the end or none."""

import contextlib
import errno
import shutil
import tempfile
from pathlib import Path

from caxton.domain.errors import CaxtonError, DiskFull, InvalidState

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class WrittenFiles:
    """Files that are first written to a hidden folder beside their places, and then moved there in one go."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._contents: dict[str, bytes] = {}
        self._folders: list[str] = []

    def exists(self, path: str) -> bool:
        """Whether there is anything at `path`."""
        return (self._folder / path).exists()

    def add(self, path: str, content: bytes) -> None:
        """A file to write at `path` below the folder, over one that is there."""
        self._contents[path] = content

    def add_if_different(self, path: str, content: bytes) -> None:
        """The same, unless the file has that content already."""
        place = self._folder / path
        if not (place.is_file() and place.read_bytes() == content):
            self.add(path, content)

    def add_folder(self, path: str) -> None:
        """A folder to make below the folder, unless it is there."""
        self._folders.append(path)

    def write(self) -> list[Path]:
        """Writes them all.

        Returns:
            Their paths below the folder.

        Raises:
            InvalidState: one of them cannot be written; everything is as it was before.
            DiskFull: the same, for want of space.
        """
        made_folders: list[Path] = []
        try:
            _make_folder(self._folder, made_folders)
            staging = Path(tempfile.mkdtemp(prefix=".caxton-", dir=self._folder))
            try:
                self._write_and_move(staging, made_folders)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
        except BaseException as error:  # also when the user interrupts
            for folder in reversed(made_folders):
                with contextlib.suppress(OSError):
                    folder.rmdir()
            if isinstance(error, OSError):
                raise self._failure(error) from error
            raise
        return [Path(path) for path in self._contents]

    def _failure(self, error: OSError) -> CaxtonError:
        if error.errno in _NO_SPACE:
            return DiskFull(f"{self._folder} has no space left", "free some space and run the command again")
        place = error.filename2 or error.filename or self._folder
        reason = (error.strerror or "unknown reason").lower()
        return InvalidState(f"cannot write {place}: {reason}", "check who owns the folder and its files")

    def _write_and_move(self, staging: Path, made_folders: list[Path]) -> None:
        for number, content in enumerate(self._contents.values()):
            (staging / f"new-{number}").write_bytes(content)
        for path in self._folders:
            _make_folder(self._folder / path, made_folders)
        moved: list[tuple[Path, Path | None]] = []  # place, and where its former content waits
        try:
            for number, path in enumerate(self._contents):
                place = self._folder / path
                _make_folder(place.parent, made_folders)
                former = staging / f"old-{number}" if place.exists() else None
                if former:
                    place.replace(former)
                moved.append((place, former))
                (staging / f"new-{number}").replace(place)
        except BaseException:
            for place, former in reversed(moved):
                if former:
                    former.replace(place)
                else:
                    place.unlink(missing_ok=True)
            raise


def _make_folder(folder: Path, made: list[Path]) -> None:
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    for parent in reversed(missing):
        parent.mkdir()
        made.append(parent)
