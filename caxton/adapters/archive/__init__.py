"""The archive: a folder with the files of segments, one folder a customer."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from caxton.domain.errors import CaxtonError, DiskFull, EventsDetached, InvalidInput
from caxton.domain.events import Event
from caxton.domain.events.segments import LogCheck, SegmentHead, file_hash, read_events


class FileArchive:
    """Writes segments and reads them again. It blocks."""

    def __init__(self, root: Path) -> None:
        """Keep files below `root`."""
        self.root = root
        self._read: tuple[Path, list[Event]] | None = None

    def write(self, head: SegmentHead, lines: Sequence[bytes], *, known: Sequence[str]) -> tuple[str, str, int]:
        """Writes a segment, flushed to disk, and verifies it from there. Returns the file's name, SHA-256 and size.

        Args:
            head: what it is.
            lines: its events.
            known: files of segments that are detached: others that begin where this one does are left from a crash.

        Raises:
            DiskFull: there is no room.
            CaxtonError: what is on the disk is not what was to be written.
        """
        folder = self.root / head.customer
        path = folder / head.file_name
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for left in folder.glob(f"events-{head.first:012d}-*"):
                if left.name not in known:
                    left.unlink()
            partial = path.with_name(path.name + ".partial")
            with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(head.line())
                file.writelines(lines)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
            _flush_folder(folder)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise DiskFull("the disk that holds the archive is full", "free some room") from error
            raise CaxtonError(f"the archive {folder} cannot be written to: {error.strerror}") from error
        self.check(head, path)
        return path.name, file_hash(path), path.stat().st_size

    def check(self, head: SegmentHead, path: Path) -> None:
        """Reads a segment from the disk.

        Raises:
            CaxtonError: it is not what `head` says.
        """
        check = LogCheck()
        found = check.read_segment(path)
        problem = check.chain.problem if check.chain else "there is nothing in it"
        if found != head or problem is not None:
            raise CaxtonError(f"{path.name} is not what was written: {problem or 'its head differs'}")

    def missing(self, customer: str, files: Sequence[str]) -> list[str]:
        """Those of the files that are not in the archive."""
        return [file for file in files if not (self.root / customer / file).is_file()]

    def read(self, customer: str, file: str, after: int, limit: int) -> list[Event]:
        """Events of a segment behind a position.

        Raises:
            EventsDetached: its file is not in the archive, or is none.
        """
        path = self.root / customer / file
        if self._read is None or self._read[0] != path:
            try:
                self._read = path, list(read_events(path))
            except (OSError, InvalidInput):
                raise EventsDetached(
                    f"events that are needed left the database with {file}, which is not in the archive",
                    "bring it back to the folder that `caxton events segments` names to the server's administrator",
                    details={"file": file},
                ) from None
        return [event for event in self._read[1] if (event.sequence or 0) > after][:limit]


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
