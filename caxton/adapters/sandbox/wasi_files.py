"""WASI preview 1's functions of files and folders, over `Descriptors`.

Each gets the run, its memory and the function's parameters, and returns or raises an OSError, whose number the caller turns
into WASI's. Struct layouts: WebAssembly/WASI, legacy/preview1/witx/typenames.witx.
"""

import errno
import os
import stat
import struct
from collections.abc import Callable
from typing import Any, Final

from caxton.adapters.sandbox.descriptors import (
    APPEND,
    CHUNK,
    DIRECTORY,
    FILE_RIGHTS,
    FOLDER_RIGHTS,
    RIGHT_READ,
    RIGHT_WRITE,
    Descriptors,
    Listing,
    Opened,
    kind_of,
)
from caxton.adapters.sandbox.folders import Folder
from caxton.adapters.sandbox.guest import Guest
from caxton.adapters.sandbox.host import Run
from caxton.adapters.sandbox.paths import open_in, parent_of

_FOLLOW: Final = 1
_CREATE, _FOLDER, _EXCLUSIVE, _TRUNCATE = 1, 2, 4, 8
_ACCESS_TIME, _ACCESS_NOW, _CHANGE_TIME, _CHANGE_NOW = 1, 2, 4, 8
_STREAM_RIGHTS: Final = (RIGHT_READ, RIGHT_WRITE, RIGHT_WRITE)
_POLL: Final = 1 << 27


def _files(run: Run) -> Descriptors:
    assert run.files is not None
    return run.files


def _file(run: Run, number: int, right: int = 0) -> Opened:
    """The open file under a number; standard streams and folders are none."""
    files = _files(run)
    if number in files.standard:
        raise OSError(errno.ESPIPE, "a stream")
    opened = files.get(number)
    if opened.kind == DIRECTORY:
        raise OSError(errno.EISDIR if right == RIGHT_READ else errno.EBADF, "a folder")
    if right and not opened.rights & right:
        raise OSError(errno.EBADF, "not opened for it")
    return opened


def _folder(run: Run, number: int) -> Opened:
    files = _files(run)
    if number in files.standard:
        raise OSError(errno.ENOTDIR, "a stream")
    opened = files.get(number)
    if opened.kind != DIRECTORY:
        raise OSError(errno.ENOTDIR, "a file")
    return opened


def _writable(folder: Folder) -> None:
    if not folder.write:
        raise OSError(errno.EROFS, f"{folder.at} is granted for reading only")


def _path(memory: Guest, start: int, size: int) -> str:
    text = memory.read(start, size)
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise OSError(errno.EILSEQ, "not UTF-8") from None


# --- what is open ----------------------------------------------------------------------------------------------------


def fd_advise(run: Run, _memory: Guest, number: int, offset: int, size: int, advice: int) -> None:
    _file(run, number)
    if advice > 5 or offset >> 63 or size >> 63:
        raise OSError(errno.EINVAL, "no such advice")


def fd_allocate(run: Run, _memory: Guest, number: int, *_: int) -> None:
    _file(run, number)
    raise OSError(errno.ENOTSUP, "space is not reserved")


def fd_close(run: Run, _memory: Guest, number: int) -> None:
    _files(run).close(number)


def fd_sync(run: Run, _memory: Guest, number: int) -> None:
    files = _files(run)
    if number not in files.standard:
        os.fsync(files.get(number).handle)


def fd_fdstat_get(run: Run, memory: Guest, number: int, result: int) -> None:
    files = _files(run)
    if number in files.standard:
        memory.write(result, struct.pack("<BxHxxxxQQ", 0, 0, _STREAM_RIGHTS[files.standard[number]] | _POLL, 0))
        return
    opened = files.get(number)
    memory.write(result, struct.pack("<BxHxxxxQQ", opened.kind, opened.flags, opened.rights, opened.inheriting))


def fd_fdstat_set_flags(run: Run, _memory: Guest, number: int, flags: int) -> None:
    opened = _file(run, number)
    if flags & ~5:  # appending and not blocking; the others cannot change while a file is open
        raise OSError(errno.EINVAL, "flags that cannot change")
    opened.flags = flags


def fd_fdstat_set_rights(run: Run, _memory: Guest, number: int, *_: int) -> None:
    if number not in _files(run).standard:
        _files(run).get(number)
    raise OSError(errno.ENOTSUP, "rights do not change")


def fd_filestat_get(run: Run, memory: Guest, number: int, result: int) -> None:
    files = _files(run)
    if number in files.standard:
        memory.write(result, bytes(64))
    else:
        memory.write(result, _status(os.fstat(files.get(number).handle)))


def fd_filestat_set_size(run: Run, _memory: Guest, number: int, size: int) -> None:
    opened = _file(run, number, RIGHT_WRITE)
    if size >> 63:
        raise OSError(errno.EINVAL, "too large")
    _files(run).will_write(opened, size)
    os.ftruncate(opened.handle, size)


def fd_filestat_set_times(run: Run, _memory: Guest, number: int, accessed: int, changed: int, flags: int) -> None:
    opened = _files(run).get(number)
    _writable(opened.folder)
    os.utime(opened.handle, ns=_times(os.fstat(opened.handle), accessed, changed, flags))


def _read_into(memory: Guest, vectors: int, count: int, read: Callable[[int], bytes]) -> int:
    total = 0
    for start, size in memory.vectors(vectors, count):
        wanted = min(size, CHUNK - total)
        data = read(wanted) if wanted else b""
        memory.write(start, data)
        total += len(data)
        if len(data) < size:
            break
    return total


def fd_read(run: Run, memory: Guest, number: int, vectors: int, count: int, result: int) -> None:
    files = _files(run)
    if files.standard.get(number) == 0:
        total = _read_into(memory, vectors, count, files.stdin.read)
    else:
        opened = _file(run, number, RIGHT_READ)
        total = _read_into(memory, vectors, count, lambda size: os.read(opened.handle, size))
    memory.write(result, struct.pack("<I", total))


def fd_pread(run: Run, memory: Guest, number: int, vectors: int, count: int, offset: int, result: int) -> None:
    opened, at = _file(run, number, RIGHT_READ), offset
    if offset >> 63:
        raise OSError(errno.EINVAL, "a negative offset")

    def read(size: int) -> bytes:
        nonlocal at
        data = os.pread(opened.handle, size, at)
        at += len(data)
        return data

    memory.write(result, struct.pack("<I", _read_into(memory, vectors, count, read)))


def fd_write(run: Run, memory: Guest, number: int, vectors: int, count: int, result: int) -> None:
    opened = _file(run, number, RIGHT_WRITE)
    data = memory.gather(vectors, count, CHUNK)
    size = os.fstat(opened.handle).st_size
    if opened.flags & APPEND:
        os.lseek(opened.handle, size, os.SEEK_SET)
    at = os.lseek(opened.handle, 0, os.SEEK_CUR)
    _files(run).will_write(opened, at + len(data), len(data))
    memory.write(result, struct.pack("<I", os.write(opened.handle, data)))


def fd_pwrite(run: Run, memory: Guest, number: int, vectors: int, count: int, offset: int, result: int) -> None:
    opened = _file(run, number, RIGHT_WRITE)
    if offset >> 63:
        raise OSError(errno.EINVAL, "a negative offset")
    data = memory.gather(vectors, count, CHUNK)
    _files(run).will_write(opened, offset + len(data), len(data))
    memory.write(result, struct.pack("<I", os.pwrite(opened.handle, data, offset)))


def fd_seek(run: Run, memory: Guest, number: int, offset: int, whence: int, result: int) -> None:
    opened = _file(run, number)
    if whence > 2:
        raise OSError(errno.EINVAL, "no such origin")
    offset -= (offset >> 63) << 64
    memory.write(result, struct.pack("<Q", os.lseek(opened.handle, offset, whence)))


def fd_tell(run: Run, memory: Guest, number: int, result: int) -> None:
    memory.write(result, struct.pack("<Q", os.lseek(_file(run, number).handle, 0, os.SEEK_CUR)))


def fd_prestat_get(run: Run, memory: Guest, number: int, result: int) -> None:
    memory.write(result, struct.pack("<II", 0, len(_preopened(run, number))))


def fd_prestat_dir_name(run: Run, memory: Guest, number: int, path: int, size: int) -> None:
    name = _preopened(run, number)
    if size < len(name):
        raise OSError(errno.ENAMETOOLONG, "too small a buffer")
    memory.write(path, name)


def _preopened(run: Run, number: int) -> bytes:
    name = _files(run).get(number).preopened
    if name is None:
        raise OSError(errno.EBADF, "not open from the beginning")
    return name


def fd_readdir(run: Run, memory: Guest, number: int, buffer: int, size: int, cookie: int, result: int) -> None:
    opened = _folder(run, number)
    opened.listing = opened.listing or Listing(opened.handle)
    out, room = bytearray(), min(size, CHUNK)
    for position, entry in enumerate(opened.listing.after(cookie, run.is_late), cookie + 1):
        out += struct.pack("<QQIBxxx", position, entry.inode, len(entry.name), entry.kind) + entry.name
        if len(out) >= room or run.is_late():
            break
    memory.write(buffer, bytes(out[:room]))
    memory.write(result, struct.pack("<I", min(len(out), room)))


def fd_renumber(run: Run, _memory: Guest, number: int, to: int) -> None:
    files = _files(run)
    for one in (number, to):
        if one not in files.standard:
            files.get(one)
    if number != to:
        files.close(to)
        if number in files.standard:
            files.standard[to] = files.standard.pop(number)
        else:
            files.opened[to] = files.opened.pop(number)


def sock(run: Run, _memory: Guest, number: int, *_: int) -> None:
    if number not in _files(run).standard:
        _files(run).get(number)
    raise OSError(errno.ENOTSOCK, "there are no sockets")


# --- paths -----------------------------------------------------------------------------------------------------------


def path_open(
    run: Run,
    memory: Guest,
    number: int,
    lookup: int,
    path: int,
    size: int,
    how: int,
    rights: int,
    inheriting: int,
    flags: int,
    result: int,
) -> None:
    base, name = _folder(run, number), _path(memory, path, size)
    writes = bool(rights & RIGHT_WRITE) or bool(how & (_CREATE | _TRUNCATE))
    if writes:
        _writable(base.folder)
    if how & _CREATE and how & _FOLDER:
        raise OSError(errno.EINVAL, "a folder is not made so")
    options = os.O_RDWR if rights & RIGHT_READ else os.O_WRONLY
    options = options if rights & RIGHT_WRITE or how & _TRUNCATE else os.O_RDONLY
    for bit, option in ((_EXCLUSIVE, os.O_EXCL), (_CREATE, os.O_CREAT), (_FOLDER, os.O_DIRECTORY)):
        options |= option if how & bit else 0
    follow = bool(lookup & _FOLLOW) and how & (_CREATE | _EXCLUSIVE) != _CREATE | _EXCLUSIVE
    files = _files(run)
    with parent_of(base.handle, name, follow=follow) as (parent, last, must_be_folder):
        if must_be_folder:
            if how & _CREATE:
                raise OSError(errno.EISDIR, "a folder is not made so")
            options |= os.O_DIRECTORY
        if how & _CREATE and not _exists(parent, last):
            files.will_make()
        handle = open_in(parent, last, options)
    opened = Opened(handle, kind_of(os.fstat(handle).st_mode), base.folder, flags & 0x1F)
    if opened.kind == DIRECTORY:
        opened.rights, opened.inheriting = FOLDER_RIGHTS & rights, inheriting
    else:
        opened.rights = FILE_RIGHTS & rights
        if how & _TRUNCATE:
            os.ftruncate(handle, 0)
    memory.write(result, struct.pack("<I", files.add(opened)))


def _exists(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def path_create_directory(run: Run, memory: Guest, number: int, path: int, size: int) -> None:
    base = _folder(run, number)
    _writable(base.folder)
    with parent_of(base.handle, _path(memory, path, size), follow=False) as (parent, name, _):
        _files(run).will_make()
        os.mkdir(name, dir_fd=parent)


def path_filestat_get(run: Run, memory: Guest, number: int, lookup: int, path: int, size: int, result: int) -> None:
    base = _folder(run, number)
    with parent_of(base.handle, _path(memory, path, size), follow=bool(lookup & _FOLLOW)) as (parent, name, is_folder):
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if is_folder and not stat.S_ISDIR(status.st_mode):
            raise OSError(errno.ENOTDIR, "no folder")
        memory.write(result, _status(status))


def path_filestat_set_times(
    run: Run, memory: Guest, number: int, lookup: int, path: int, size: int, accessed: int, changed: int, flags: int
) -> None:
    base = _folder(run, number)
    _writable(base.folder)
    with parent_of(base.handle, _path(memory, path, size), follow=bool(lookup & _FOLLOW)) as (parent, name, _):
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        os.utime(name, ns=_times(status, accessed, changed, flags), dir_fd=parent, follow_symlinks=False)


def path_link(
    run: Run, memory: Guest, number: int, lookup: int, old: int, old_size: int, target: int, new: int, new_size: int
) -> None:
    base, other = _folder(run, number), _folder(run, target)
    _writable(base.folder)
    _writable(other.folder)
    if lookup & _FOLLOW:
        raise OSError(errno.EINVAL, "links are not followed here")
    with (
        parent_of(base.handle, _path(memory, old, old_size), follow=False) as (parent, name, _),
        parent_of(other.handle, _path(memory, new, new_size), follow=False) as (new_parent, new_name, must_be_folder),
    ):
        if must_be_folder:
            raise OSError(errno.ENOENT, "a folder is not linked")
        _files(run).will_make()
        os.link(name, new_name, src_dir_fd=parent, dst_dir_fd=new_parent, follow_symlinks=False)


def path_readlink(
    run: Run, memory: Guest, number: int, path: int, size: int, buffer: int, room: int, result: int
) -> None:
    base = _folder(run, number)
    with parent_of(base.handle, _path(memory, path, size), follow=False) as (parent, name, _):
        target = os.fsencode(os.readlink(name, dir_fd=parent))
    if target.startswith(b"/"):
        raise OSError(errno.EPERM, "it leads outside the granted folder")
    memory.write(buffer, target[:room])
    memory.write(result, struct.pack("<I", min(len(target), room)))


def path_remove_directory(run: Run, memory: Guest, number: int, path: int, size: int) -> None:
    base = _folder(run, number)
    _writable(base.folder)
    with parent_of(base.handle, _path(memory, path, size), follow=False) as (parent, name, _):
        os.rmdir(name, dir_fd=parent)


def path_rename(
    run: Run, memory: Guest, number: int, old: int, old_size: int, target: int, new: int, new_size: int
) -> None:
    base, other = _folder(run, number), _folder(run, target)
    _writable(base.folder)
    _writable(other.folder)
    with (
        parent_of(base.handle, _path(memory, old, old_size), follow=False) as (parent, name, from_folder),
        parent_of(other.handle, _path(memory, new, new_size), follow=False) as (new_parent, new_name, to_folder),
    ):
        if (from_folder or to_folder) and not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            raise OSError(errno.ENOTDIR, "no folder")
        os.rename(name, new_name, src_dir_fd=parent, dst_dir_fd=new_parent)


def path_symlink(run: Run, memory: Guest, old: int, old_size: int, number: int, new: int, new_size: int) -> None:
    base, target = _folder(run, number), _path(memory, old, old_size)
    _writable(base.folder)
    if target.startswith("/"):
        raise OSError(errno.EPERM, "it would lead outside the granted folder")
    with parent_of(base.handle, _path(memory, new, new_size), follow=False) as (parent, name, must_be_folder):
        if must_be_folder:
            raise OSError(errno.EEXIST if _exists(parent, name) else errno.ENOENT, "no place for a link")
        _files(run).will_make()
        os.symlink(target, name, dir_fd=parent)


def path_unlink_file(run: Run, memory: Guest, number: int, path: int, size: int) -> None:
    base = _folder(run, number)
    _writable(base.folder)
    with parent_of(base.handle, _path(memory, path, size), follow=False) as (parent, name, must_be_folder):
        is_folder = stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
        if is_folder:
            raise OSError(errno.EISDIR, "a folder")
        if must_be_folder:
            raise OSError(errno.ENOTDIR, "no folder")
        os.unlink(name, dir_fd=parent)


def _status(status: os.stat_result) -> bytes:
    times = (max(time, 0) for time in (status.st_atime_ns, status.st_mtime_ns, status.st_ctime_ns))
    size = status.st_size
    return struct.pack(
        "<QQBxxxxxxxQQQQQ", status.st_dev, status.st_ino, kind_of(status.st_mode), status.st_nlink, size, *times
    )


def _times(status: os.stat_result, accessed: int, changed: int, flags: int) -> tuple[int, int]:
    import time

    if flags & 3 == 3 or flags & 12 == 12:
        raise OSError(errno.EINVAL, "now and then")
    now = time.time_ns()
    access = now if flags & _ACCESS_NOW else accessed if flags & _ACCESS_TIME else status.st_atime_ns
    change = now if flags & _CHANGE_NOW else changed if flags & _CHANGE_TIME else status.st_mtime_ns
    if max(access, change) >> 63:
        raise OSError(errno.EINVAL, "a time after all times")
    return access, change


FUNCTIONS: Final[dict[str, tuple[str, Callable[..., Any]]]] = {
    "fd_advise": ("iIIi", fd_advise),
    "fd_allocate": ("iII", fd_allocate),
    "fd_close": ("i", fd_close),
    "fd_datasync": ("i", fd_sync),
    "fd_fdstat_get": ("ii", fd_fdstat_get),
    "fd_fdstat_set_flags": ("ii", fd_fdstat_set_flags),
    "fd_fdstat_set_rights": ("iII", fd_fdstat_set_rights),
    "fd_filestat_get": ("ii", fd_filestat_get),
    "fd_filestat_set_size": ("iI", fd_filestat_set_size),
    "fd_filestat_set_times": ("iIIi", fd_filestat_set_times),
    "fd_pread": ("iiiIi", fd_pread),
    "fd_prestat_dir_name": ("iii", fd_prestat_dir_name),
    "fd_prestat_get": ("ii", fd_prestat_get),
    "fd_pwrite": ("iiiIi", fd_pwrite),
    "fd_read": ("iiii", fd_read),
    "fd_readdir": ("iiiIi", fd_readdir),
    "fd_renumber": ("ii", fd_renumber),
    "fd_seek": ("iIii", fd_seek),
    "fd_sync": ("i", fd_sync),
    "fd_tell": ("ii", fd_tell),
    "path_create_directory": ("iii", path_create_directory),
    "path_filestat_get": ("iiiii", path_filestat_get),
    "path_filestat_set_times": ("iiiiIIi", path_filestat_set_times),
    "path_link": ("iiiiiii", path_link),
    "path_open": ("iiiiiIIii", path_open),
    "path_readlink": ("iiiiii", path_readlink),
    "path_remove_directory": ("iii", path_remove_directory),
    "path_rename": ("iiiiii", path_rename),
    "path_symlink": ("iiiii", path_symlink),
    "path_unlink_file": ("iii", path_unlink_file),
    "sock_accept": ("iii", sock),
    "sock_recv": ("iiiiii", sock),
    "sock_send": ("iiiii", sock),
    "sock_shutdown": ("ii", sock),
}
"""Each with its parameters: i for 32 bits, I for 64."""
