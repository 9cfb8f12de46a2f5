"""Walking below a granted folder without ever leaving it, and opening nothing there but files and folders.

A path is followed one name at a time, each opened relative to the one before, so a link that is exchanged meanwhile leads
nowhere else. What could block or reach beyond the disk (a FIFO, a device, a socket) is never opened.
"""

import errno
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Final

from caxton.domain.errors import Hint, InvalidModule

LEVELS: Final = 40
"""Folders that one path may go down, since each of them is held open meanwhile."""

PATH_LENGTH: Final = 4_096
"""Bytes of one path, as in Linux."""

_LINKS: Final = 40
"""Symbolic links that one path may lead through, as in Linux."""

_FOLDER: Final = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SAFELY: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

_KERNEL: Final = frozenset(
    {"proc", "sysfs", "devpts", "devtmpfs", "cgroup", "cgroup2", "debugfs", "tracefs", "securityfs", "pstore", "bpf"}
    | {"mqueue", "configfs", "fusectl", "efivarfs", "binfmt_misc", "rpc_pipefs", "autofs", "selinuxfs", "nsfs"}
)
"""File systems whose files are doors to the kernel: reading one may block forever, writing one may do anything."""


class Outside(OSError):
    """A path leads out of the granted folder."""

    def __init__(self) -> None:
        super().__init__(errno.EPERM, "it leads outside the granted folder")


class Special(OSError):
    """A path names something that is neither a file nor a folder; the text says what."""

    def __init__(self, mode: int) -> None:
        kinds = (
            (stat.S_ISFIFO, "a FIFO"),
            (stat.S_ISSOCK, "a socket"),
            (stat.S_ISBLK, "a device"),
            (stat.S_ISCHR, "a device"),
        )
        what = next((name for test, name in kinds if test(mode)), "neither a file nor a folder")
        super().__init__(errno.EACCES, f"it is {what}, which no tool may open")


@contextmanager
def parent_of(root: int, path: str, *, follow: bool) -> Generator[tuple[int, str, bool]]:
    """The folder in which the last name of `path` lies.

    Args:
        root: handle of the folder below which the path stays.
        path: relative to it.
        follow: whether the last name is followed too if it is a symbolic link.

    Returns:
        A handle of that folder, open within the `with` block; the name in it ("." if the path names the folder itself);
        and whether the path says, by a slash at its end, that it is a folder.

    Raises:
        OSError: something on the way is not there or no folder, or the path leads outside.
    """
    _check_text(path)
    walk = _Walk(root)
    try:
        name, must_be_folder = walk.to(path, follow)
        yield walk.folder, name, must_be_folder
    finally:
        walk.close()


def _check_text(path: str) -> None:
    if not path:
        raise FileNotFoundError(errno.ENOENT, "an empty path")
    if len(path.encode(errors="surrogateescape")) > PATH_LENGTH:
        raise OSError(errno.ENAMETOOLONG, "the path is too long")
    if "\0" in path:
        raise OSError(errno.EINVAL, "a NUL in the path")


class _Walk:
    """Goes down a path, holding open every folder on the way, so that ".." leads back to where it came from."""

    def __init__(self, root: int) -> None:
        self._handles = [os.dup(root)]
        self._links = 0

    @property
    def folder(self) -> int:
        """The folder that it has come to."""
        return self._handles[-1]

    def close(self) -> None:
        """Lets go of the folders."""
        for handle in self._handles:
            os.close(handle)

    def to(self, path: str, follow: bool) -> tuple[str, bool]:
        """Goes to the folder of the last name; that name, and whether the path says that it is a folder."""
        pending = self._steps(path)
        while pending:
            part = pending.pop()
            if part == "..":
                if len(self._handles) == 1:
                    raise Outside
                os.close(self._handles.pop())
            elif part not in ("", "."):
                ends_with_slash = bool(pending)
                if all(later in ("", ".") for later in pending):
                    target = _link(part, self.folder) if follow or ends_with_slash else None
                    if target is None:
                        return part, ends_with_slash
                else:
                    target = self._enter(part)
                if target is not None:
                    pending.extend(self._steps(target))
        return ".", True

    def _steps(self, path: str) -> list[str]:
        """The parts of a path, the first of them last."""
        self._links += 1
        if self._links > _LINKS:
            raise OSError(errno.ELOOP, "its links lead in a circle")
        if path.startswith("/"):
            raise Outside
        return path.split("/")[::-1]

    def _enter(self, name: str) -> str | None:
        """Opens the folder `name`; where it leads if it is a link."""
        if len(self._handles) > LEVELS:
            raise OSError(errno.ENAMETOOLONG, "the path is too deep")
        try:
            self._handles.append(os.open(name, _FOLDER, dir_fd=self.folder))
        except OSError as error:
            target = _link(name, self.folder) if error.errno in (errno.ELOOP, errno.ENOTDIR) else None
            if target is None:
                raise
            return target
        return None


def _link(name: str, folder: int) -> str | None:
    """Where a symbolic link leads; None if it is none."""
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT):
            return None
        raise


def open_in(folder: int, name: str, flags: int, mode: int = 0o666) -> int:
    """A handle of the file or folder `name` in `folder`, never of anything else.

    Raises:
        Special: it is something else.
        OSError: it cannot be opened.
    """
    with suppress(FileNotFoundError):
        _check_plain(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode, links=True)
    handle = os.open(name, flags | _SAFELY, mode, dir_fd=folder)
    try:
        _check_plain(os.fstat(handle).st_mode)  # it may have been exchanged meanwhile; O_NONBLOCK let nothing block
    except Special:
        os.close(handle)
        raise
    return handle


def _check_plain(mode: int, *, links: bool = False) -> None:
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or (links and stat.S_ISLNK(mode))):
        raise Special(mode)


def check_no_kernel_files(path: str) -> None:
    """Checks that a folder of this machine has no files of the kernel's own (/proc, /sys, /dev) in or below it.

    Raises:
        InvalidModule: it has.
    """
    mounts: list[tuple[str, str]] = []
    with suppress(OSError), open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123
        for line in file:
            before, _, after = line.partition(" - ")
            mounts.append((before.split(" ")[4].replace("\\040", " "), after.partition(" ")[0]))
    inside = path.rstrip("/") + "/"
    # The last mount that the path lies below is the one that it is on; those below it can be reached from it.
    on = max(
        (mount for mount in mounts if inside.startswith(mount[0].rstrip("/") + "/")),
        key=lambda m: len(m[0]),
        default=None,
    )
    below = [mount for mount in mounts if mount[0].startswith(inside)]
    for point, kind in [*([on] if on else []), *below]:
        if kind in _KERNEL:
            raise InvalidModule(
                f'permissions.files grants "{path}", which has files of the kernel in it ({point})',
                Hint(text="grant a folder with ordinary files only"),
                details={"path": path},
            )
