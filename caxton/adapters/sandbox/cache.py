"""Compiled modules on disk, and the proof that Caxton wrote them.

Deserialising runs whatever the file contains, so a file counts only with a message authentication code under a key
that the cache folder keeps to its owner. A file that was changed, cut short or brought along is compiled again, never
loaded.
"""

import contextlib
import hmac
import os
import secrets
import tempfile
from pathlib import Path
from typing import Final

from caxton.domain.errors import InvalidModule
from caxton.domain.ids import is_digest

DISK_BUDGET: Final = 2 << 30
"""Bytes of compiled code on disk; above it the least recently used files go."""

_KEY_BYTES: Final = 32


class CompiledFiles:
    """A folder of `<module's sha256>-<form>-<settings>.cwasm` files, each with its code in a `.mac` file beside it.

    Several processes may share the folder: a pair appears at once (rename), and two writers of one pair write the same.
    """

    def __init__(self, folder: Path, settings: str) -> None:
        """Use `folder`, which is made when it is first needed, for code that was compiled with `settings`."""
        self.folder = folder
        self._settings = settings
        self._key: bytes | None = None

    def load(self, digest: str, form: str) -> bytes | None:
        """The compiled code, if it is there and Caxton wrote it."""
        path = self._path(digest, form)
        try:
            compiled = path.read_bytes()
            is_ours = hmac.compare_digest(path.with_suffix(".mac").read_bytes(), self._code(path.name, compiled))
        except OSError:
            return None
        if not is_ours:
            self._remove(path)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # marks it as recently used
        return compiled

    def store(self, digest: str, form: str, compiled: bytes) -> None:
        """Keeps compiled code; a full disk is not an error, it only means compiling again after the next start."""
        path = self._path(digest, form)
        with contextlib.suppress(OSError):
            self._write(path.with_suffix(".mac"), self._code(path.name, compiled))
            self._write(path, compiled)
            self._prune(keep=path)

    def scratch(self) -> tempfile.TemporaryDirectory[str]:
        """A folder for one compilation, inside the private one, that goes away with the `with` block."""
        self._make_folder()
        return tempfile.TemporaryDirectory(prefix="compile-", dir=self.folder, ignore_cleanup_errors=True)

    def _path(self, digest: str, form: str) -> Path:
        if not is_digest(digest):
            raise InvalidModule("what names the module is not a SHA-256 in lower-case hexadecimal digits")
        return self.folder / f"{digest}-{form}-{self._settings}.cwasm"

    def _code(self, name: str, compiled: bytes) -> bytes:
        # The name is part of what is authenticated: a genuine file under another module's name is a foreign file too.
        code = hmac.new(self._load_key(), name.encode() + b"\0", "sha256")
        code.update(compiled)
        return code.digest()

    def _make_folder(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder.chmod(0o700)

    def _load_key(self) -> bytes:
        """The folder's key, made by whichever process comes first."""
        if self._key is None:
            self._make_folder()
            path = self.folder / "cache.key"
            if not path.exists():
                with tempfile.NamedTemporaryFile(dir=self.folder) as file:
                    file.write(secrets.token_bytes(_KEY_BYTES))
                    file.flush()
                    with contextlib.suppress(FileExistsError):
                        os.link(file.name, path)
            key = path.read_bytes()
            if len(key) != _KEY_BYTES:
                path.unlink(missing_ok=True)  # damaged: what it vouched for is compiled again
                return self._load_key()
            self._key = key
        return self._key

    def _write(self, path: Path, content: bytes) -> None:
        with tempfile.NamedTemporaryFile(dir=self.folder, delete=False) as file:
            try:
                file.write(content)
                file.flush()
                os.replace(file.name, path)  # noqa: PTH105 - the open file has a name, not a path
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise

    def _prune(self, keep: Path) -> None:
        files: list[tuple[float, int, Path]] = []
        for path in self.folder.glob("*.cwasm"):
            with contextlib.suppress(OSError):
                status = path.stat()
                files.append((status.st_mtime, status.st_size, path))
        excess = sum(size for _, size, _ in files) - DISK_BUDGET
        for _, size, path in sorted(files):
            if excess <= 0:
                return
            if path != keep:
                self._remove(path)
                excess -= size

    @staticmethod
    def _remove(path: Path) -> None:
        for file in (path, path.with_suffix(".mac")):
            with contextlib.suppress(OSError):
                file.unlink()
