"""The folders that a tool may see, and reading a file below one without ever leaving it."""

import errno
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from caxton.adapters.sandbox.paths import Outside, Special, check_no_kernel_files, open_in, parent_of
from caxton.domain.encodings import decoded
from caxton.domain.errors import Hint, InvalidModule
from caxton.domain.given import colliding_paths, wrong_path
from caxton.domain.ids import Digest
from caxton.domain.tools import FileGrant, ToolManifest


@dataclass(frozen=True, slots=True)
class Folder:
    """A granted folder: where it lies and where the tool sees it."""

    at: PurePosixPath
    path: Path
    write: bool = False


class Refused(Exception):
    """A file that the tool does not get; the text tells it why."""


class Denied(Refused):
    """A file that it may not have."""


def bundled_files(grant: FileGrant, files: Mapping[str, Digest]) -> dict[str, Digest]:
    """The files of the tool that lie in the folder of a bundled grant, by their path below that folder.

    Raises:
        InvalidModule: there is none, or a path does not stay inside.
    """
    root = PurePosixPath(grant.path)
    inside: dict[str, Digest] = {}
    for name, digest in files.items():
        path = PurePosixPath(name)
        if wrong_path(name) is not None:
            raise InvalidModule("a file of the tool has a path that does not stay below the tool's folder")
        if path.is_relative_to(root):
            inside[path.relative_to(root).as_posix()] = digest
    if not inside:
        raise InvalidModule(
            f'permissions.files grants "{grant.path}", but the tool\'s folder has no file there',
            "put the files beside tool.toml, or remove the grant",
        )
    if grant.write:
        raise InvalidModule(
            f'permissions.files grants writing to "{grant.path}", which travels with the tool and cannot change',
            "remove write = true, or grant an absolute folder of the server",
        )
    return inside


def listing_digest(files: Mapping[str, Digest]) -> str:
    """The name of a folder with these files."""
    lines = "".join(f"{digest} {name}\n" for name, digest in sorted(files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def write_folder(path: Path, contents: Mapping[str, bytes]) -> None:
    """Makes the read-only folder `path`, all of it at once; one that another process made meanwhile is left as it is.

    Raises:
        InvalidModule: a path does not stay inside, or two cannot be together.
    """
    if any(wrong_path(name) is not None for name in contents) or colliding_paths(contents) is not None:
        raise InvalidModule("a file of the tool has a path that does not stay below the tool's folder")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    scratch = Path(tempfile.mkdtemp(prefix="folder-", dir=path.parent))
    try:
        for name, content in contents.items():
            file = scratch / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            file.chmod(0o444)
        try:
            scratch.rename(path)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def host_folder(grant: FileGrant, allowed: Sequence[Path]) -> Folder:
    """The folder of a grant that names an absolute path of this machine.

    Args:
        grant: with an absolute path.
        allowed: folders of this machine that tools may be granted, with all below them.

    Raises:
        InvalidModule: the path is not below an allowed one, or no folder.
    """
    path = Path(os.path.realpath(grant.path))
    if not any(path.is_relative_to(os.path.realpath(root)) for root in allowed):
        raise InvalidModule(
            f'permissions.files grants "{grant.path}", which tools may not see on this server',
            Hint(text=f'add "{grant.path}" to tools.allowed_paths in the server\'s caxton.toml, or bundle the files'),
            details={"path": grant.path, "setting": "tools.allowed_paths"},
        )
    if not path.is_dir():
        raise InvalidModule(
            f'permissions.files grants "{grant.path}", which is not a folder on this server',
            "create it, or correct the path in tool.toml",
            details={"path": grant.path},
        )
    check_no_kernel_files(str(path))
    return Folder(PurePosixPath(grant.at), path, grant.write)


def check_places(manifest: ToolManifest) -> None:
    """Checks that every grant has a place of its own.

    Raises:
        InvalidModule: two folders would appear at one place, or a place has ".." in it.
    """
    places = [PurePosixPath(grant.at) for grant in manifest.permissions.files]
    if len(set(places)) < len(places):
        raise InvalidModule('two folders of permissions.files have one "at"', 'give each a place of its own in "at"')
    if any(".." in place.parts for place in places):
        raise InvalidModule('"at" of permissions.files may not contain ".."')


def read_text(folders: Iterable[Folder], name: str, limit: int) -> str:
    """The text of the file that the tool calls `name`.

    Symbolic links are followed as long as they stay inside the granted folder. The walk opens one name at a time, so
    a link that is exchanged while it runs cannot lead it outside.

    Args:
        folders: those granted.
        name: absolute path as the tool sees it.
        limit: most bytes that the file may have.

    Raises:
        Refused: not granted, not there, not a file, too large, or not UTF-8.
    """
    path = PurePosixPath(name)
    if not path.is_absolute() or ".." in path.parts or "\0" in name:
        raise Denied("a path starts with / and has no .. in it")
    found = max(
        (folder for folder in folders if path.is_relative_to(folder.at)), key=lambda f: len(f.at.parts), default=None
    )
    if found is None:
        raise Denied("not granted: no folder in permissions.files has this path")
    try:
        handle = _open_below(found.path, path.relative_to(found.at).as_posix())
        try:
            return _read(handle, limit)
        finally:
            os.close(handle)
    except (Outside, Special) as error:
        raise Denied(error.strerror) from None
    except OSError as error:
        raise Refused(_REASONS.get(error.errno or 0, "it cannot be read")) from None


_REASONS: Final = {
    errno.ENOENT: "there is no such file",
    errno.ENOTDIR: "there is no such file",
    errno.EISDIR: "it is a folder",
    errno.EACCES: "the server may not read it",
    errno.ELOOP: "its links lead in a circle",
}


def _open_below(root: Path, path: str) -> int:
    """A handle of the file at `path` below `root`."""
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with parent_of(folder, path, follow=True) as (parent, name, _):
            return open_in(parent, name, os.O_RDONLY)
    finally:
        os.close(folder)


def _read(handle: int, limit: int) -> str:
    status = os.fstat(handle)
    if stat.S_ISDIR(status.st_mode):
        raise Refused("it is a folder")
    with os.fdopen(os.dup(handle), "rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise Refused(f"it has more than {limit} bytes, which limits.message_size does not let through")
    try:
        return decoded(content)
    except UnicodeDecodeError:
        raise Refused('it is not UTF-8 text: save it as UTF-8 (in Excel: "CSV UTF-8")') from None
