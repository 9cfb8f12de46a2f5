"""The data folder: one server at a time, its first key, and where it can be reached."""

import contextlib
import fcntl
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from caxton.domain.errors import DataFolderInUse, DataFolderNotWritable, Hint

FOLDERS = ("blobs", "cache", "memory", "logs")
DATABASES = ("caxton.db*", "temporal.db*")
"""What is in a data folder besides files that are made for this user alone."""


class DataFolder:
    """A folder with everything that a server keeps, held by one server."""

    def __init__(self, path: Path) -> None:
        """Use `path`; nothing is touched before :meth:`open`."""
        self.path = path
        self._lock: int | None = None

    @property
    def database(self) -> Path:
        """The SQLite file with registry, messages and events."""
        return self.path / "caxton.db"

    @property
    def engine_database(self) -> Path:
        """The SQLite file of the embedded workflow engine."""
        return self.path / "temporal.db"

    @property
    def blobs(self) -> Path:
        """Large content."""
        return self.path / "blobs"

    @property
    def cache(self) -> Path:
        """What can be made again: compiled modules, unpacked folders."""
        return self.path / "cache"

    @property
    def admin_key(self) -> Path:
        """The first API key, readable by the user only."""
        return self.path / "admin.key"

    @property
    def metrics_key(self) -> Path:
        """The key of the metrics port, readable by the user only."""
        return self.path / "metrics.key"

    @property
    def server_file(self) -> Path:
        """Where the running server can be reached."""
        return self.path / "server.json"

    def create(self) -> None:
        """Makes the folder, private to this user.

        Raises:
            DataFolderNotWritable: that is not possible.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            probe = self.path / f".probe-{os.getpid()}"
            probe.write_text("")
            probe.unlink()
            self._make_private()
        except OSError as error:
            raise DataFolderNotWritable(
                f"the data folder {self.path} cannot be written",
                Hint(text="choose another one", command="caxton serve --data-dir DIR"),
                reason=f"{type(error).__name__}: {error.strerror}",
                details={"path": str(self.path)},
            ) from error

    def _make_private(self) -> None:
        """Takes what is in the folder from the machine's other users, also in a folder that somebody else has made.

        The group keeps it where the folder is one that its group writes to: several servers share it then.
        """
        spared = 0o070 if self.path.stat().st_mode & 0o020 else 0
        for name in FOLDERS:
            (self.path / name).mkdir(exist_ok=True, mode=0o700)
        for pattern in (*FOLDERS, *DATABASES):
            for path in self.path.glob(pattern):
                mode = path.stat().st_mode & 0o777
                if mode & ~(0o700 | spared):
                    with contextlib.suppress(PermissionError):  # it is somebody else's
                        path.chmod(mode & (0o700 | spared))

    def private_database(self) -> Path:
        """The SQLite file, made so that this user alone can read it."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(self.database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        return self.database

    def open(self) -> None:
        """Makes the folder and takes it for this process.

        Raises:
            DataFolderNotWritable: it cannot be written.
            DataFolderInUse: another server runs on it.
        """
        self.create()
        lock = os.open(self.path / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise self._in_use() from None
        self._lock = lock

    def close(self) -> None:
        """Gives the folder up, if this process has it: what another server left in it stays."""
        if self._lock is None:
            return
        self.server_file.unlink(missing_ok=True)
        os.close(self._lock)
        self._lock = None

    def announce(self, urls: Mapping[str, str], version: str) -> None:
        """Writes where the server can be reached, for the command line to find."""
        facts = {
            "pid": os.getpid(),
            "url": urls.get("api"),
            "ui_url": urls.get("engine"),
            "metrics_url": urls.get("metrics"),
            "version": version,
            "started_at": datetime.now(UTC).isoformat(),
        }
        write_private(self.server_file, json.dumps(facts, indent=2))

    def announced(self) -> dict[str, Any]:
        """What the last server wrote; empty when there is nothing."""
        try:
            return dict(json.loads(self.server_file.read_text()))
        except (OSError, ValueError):
            return {}

    def _in_use(self) -> DataFolderInUse:
        running = self.announced()
        where = f" at {running['url']}" if "url" in running else ""
        return DataFolderInUse(
            f"another server runs on {self.path}{where}",
            Hint(text="use that one, or start this one elsewhere", command="caxton serve --data-dir DIR --port PORT"),
            details={"path": str(self.path), **({"pid": running["pid"]} if "pid" in running else {})},
        )


def write_private(path: Path, text: str) -> None:
    """Writes `text` to `path` at once and whole, readable by this user only."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
