"""The files that one run of a command holds open, and how much it may do with them.

wasmtime's own file system would wait forever on a FIFO, fill the disk and read a folder of a million files into memory,
and nothing interrupts it. Here every step is short, bounded, and on plain files and folders only.
"""

import errno
import itertools
import os
import stat
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from caxton.adapters.sandbox.folders import Folder

OPEN: Final = 40
"""Files and folders that a run may hold open."""

WRITTEN: Final = 256 << 20
"""Bytes that a run may add to files, holes included."""

MADE: Final = 10_000
"""Files, folders and links that a run may make."""

CHUNK: Final = 1 << 20
"""Bytes that one call reads or writes; programs go on with the rest."""

_WINDOW: Final = 1_000
"""Entries of a folder that are kept, for a program that asks for the last ones again."""

UNKNOWN, BLOCK, CHARACTER, DIRECTORY, REGULAR, DATAGRAM, STREAM, LINK = range(8)
"""Types of files, as WASI numbers them."""

RIGHT_READ: Final = 1 << 1
RIGHT_SEEK: Final = 1 << 2
RIGHT_TELL: Final = 1 << 5
RIGHT_WRITE: Final = 1 << 6
RIGHT_READ_FOLDER: Final = 1 << 14
FILE_RIGHTS: Final = 0x8E001FF
FOLDER_RIGHTS: Final = 0x7F7FE18

APPEND: Final = 1


def kind_of(mode: int) -> int:
    """WASI's type of a file."""
    if stat.S_ISREG(mode):
        return REGULAR
    if stat.S_ISDIR(mode):
        return DIRECTORY
    return LINK if stat.S_ISLNK(mode) else UNKNOWN


class Entry(NamedTuple):
    """What is in a folder."""

    name: bytes
    inode: int
    kind: int


class Listing:
    """Reads a folder bit by bit, so that one with a million files costs no memory."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._window: deque[Entry] = deque(maxlen=_WINDOW)
        self._next = 0
        self._rest: Iterator[Entry] = iter(())

    def after(self, cookie: int, stop: Callable[[], bool]) -> Iterator[Entry]:
        """The entries from number `cookie` on; fewer if `stop` says so on the way there."""
        if cookie == 0 or not self._next - len(self._window) <= cookie <= self._next:
            self._window.clear()
            self._next, self._rest = 0, self._read()
            for _ in itertools.islice(self._more(), cookie):
                if self._next % _WINDOW == 0 and stop():
                    return
        kept = len(self._window) - (self._next - cookie)
        yield from list(itertools.islice(self._window, max(kept, 0), None))
        yield from self._more()

    def _more(self) -> Iterator[Entry]:
        for entry in self._rest:
            self._window.append(entry)
            self._next += 1
            yield entry

    def _read(self) -> Iterator[Entry]:
        inode = os.fstat(self._handle).st_ino
        yield Entry(b".", inode, DIRECTORY)
        yield Entry(b"..", inode, DIRECTORY)  # what is above the granted folder is nobody's business
        with os.scandir(self._handle) as entries:
            for entry in entries:
                kind = DIRECTORY if entry.is_dir(follow_symlinks=False) else UNKNOWN
                if entry.is_file(follow_symlinks=False):
                    kind = REGULAR
                elif entry.is_symlink():
                    kind = LINK
                yield Entry(os.fsencode(entry.name), entry.inode(), kind)


@dataclass(slots=True)
class Opened:
    """An open file or folder."""

    handle: int
    kind: int
    folder: Folder
    """The grant that it lies in."""
    flags: int = 0
    rights: int = 0
    inheriting: int = 0
    preopened: bytes | None = None
    """The path of a folder that is open from the beginning."""
    listing: Listing | None = None


class QuotaReached(OSError):
    """The run has done as much as it may; the text says of what."""


@dataclass(slots=True)
class Stdin:
    """Standard input, all of it in memory."""

    content: bytes
    at: int = 0

    def read(self, size: int) -> bytes:
        """The next bytes, none at the end."""
        begin = self.at
        self.at = min(begin + size, len(self.content))
        return self.content[begin : self.at]


@dataclass(slots=True)
class Descriptors:
    """What a run has open, by WASI's numbers."""

    stdin: Stdin
    opened: dict[int, Opened] = field(default_factory=dict[int, Opened])
    standard: dict[int, int] = field(default_factory=lambda: {0: 0, 1: 1, 2: 2})
    """Which number stands for which standard stream."""
    written: int = 0
    made: int = 0

    def preopen(self, folders: Sequence[Folder]) -> None:
        """Opens the granted folders as 3, 4, …

        Raises:
            OSError: one is not there; `filename` says which.
        """
        for folder in folders:
            handle = os.open(folder.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            path = os.fsencode(str(folder.at))
            self.add(Opened(handle, DIRECTORY, folder, 0, FOLDER_RIGHTS, FOLDER_RIGHTS | FILE_RIGHTS, path))

    def add(self, opened: Opened) -> int:
        """Gives it the lowest free number. Closes it if there are too many."""
        if len(self.opened) >= OPEN:
            os.close(opened.handle)
            raise OSError(errno.EMFILE, f"more than {OPEN} open files")
        number = next(n for n in itertools.count(3) if n not in self.opened and n not in self.standard)
        self.opened[number] = opened
        return number

    def get(self, number: int) -> Opened:
        """What is open under a number.

        Raises:
            OSError: nothing is.
        """
        found = self.opened.get(number)
        if found is None:
            raise OSError(errno.EBADF, "not open")
        return found

    def close(self, number: int) -> None:
        """Closes one."""
        if number in self.standard:
            del self.standard[number]
            return
        opened = self.get(number)
        del self.opened[number]
        os.close(opened.handle)

    def close_all(self) -> None:
        """Closes what is open still."""
        for opened in self.opened.values():
            with suppress(OSError):
                os.close(opened.handle)
        self.opened.clear()

    def will_write(self, opened: Opened, end: int, size: int = 0) -> None:
        """Counts `size` bytes that will be written, and the hole before them, if the file will end at `end`.

        Raises:
            QuotaReached: that is too much.
        """
        grows = max(end - os.fstat(opened.handle).st_size, 0)
        if self.written + max(grows, size) > WRITTEN:
            raise QuotaReached(errno.EDQUOT, f"a call may add {WRITTEN >> 20} MB to files")
        self.written += max(grows, size)

    def will_make(self) -> None:
        """Counts a file, folder or link that will be made.

        Raises:
            QuotaReached: that is too much.
        """
        if self.made >= MADE:
            raise QuotaReached(errno.EDQUOT, f"a call may make {MADE} files and folders")
        self.made += 1
