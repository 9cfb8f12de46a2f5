"""Events as JSON lines in files, one per customer, that are rotated when they are large."""

import asyncio
import os
from collections.abc import Sequence
from logging import LogRecord, makeLogRecord
from logging.handlers import RotatingFileHandler
from pathlib import Path

from caxton.domain.audit import event_line
from caxton.domain.errors import ChannelUnreachable
from caxton.domain.events import Event


class FileSink:
    """The AuditSink port over a folder: `<folder>/<customer>.jsonl`, and older parts as `.1`, `.2` …"""

    def __init__(self, folder: Path, *, rotate_bytes: int, keep: int) -> None:
        """Write below `folder`; a file is closed after `rotate_bytes`, and `keep` closed ones stay."""
        self._folder = folder
        self._options = rotate_bytes, keep
        self._files: dict[str, _File] = {}

    async def send(self, events: Sequence[Event]) -> None:
        """Appends events, flushed to disk.

        Raises:
            ChannelUnreachable: the file cannot be written.
        """
        try:
            await asyncio.to_thread(self._write, events)
        except OSError as error:
            await self.close()
            raise ChannelUnreachable(
                f"the folder cannot be written ({error.strerror or type(error).__name__})"
            ) from None

    async def close(self) -> None:
        """Closes the files."""
        files, self._files = self._files, {}
        for file in files.values():
            try:
                file.close()
            except OSError:
                continue  # what was not written is sent again

    def _write(self, events: Sequence[Event]) -> None:
        customer = events[0].customer_id
        file = self._files.get(customer)
        if file is None:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = self._files[customer] = _File(self._folder / f"{customer}.jsonl", *self._options)
        for event in events:
            file.emit(makeLogRecord({"msg": event_line(event).decode().rstrip("\n")}))
        file.sync()


class _File(RotatingFileHandler):
    """The standard library's rotation; what goes wrong is raised, and a line that a crash cut off is ended."""

    def __init__(self, path: Path, rotate_bytes: int, keep: int) -> None:
        if path.exists() and path.stat().st_size and not _ends_with_newline(path):
            with path.open("ab") as file:
                file.write(b"\n")
        super().__init__(path, maxBytes=rotate_bytes, backupCount=keep, encoding="ascii")

    def handleError(self, record: LogRecord) -> None:  # noqa: ARG002, N802 - the library's name
        raise  # noqa: PLE0704 - called while an error is handled

    def sync(self) -> None:
        """Brings to the disk what was written."""
        self.flush()
        if self.stream is not None:
            os.fsync(self.stream.fileno())


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
