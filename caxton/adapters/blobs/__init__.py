"""Large content as files, named by the SHA-256 of what is in them."""

import asyncio
import errno
import hashlib
import os
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from caxton.domain.errors import DiskFull, InvalidInput, NotFound
from caxton.domain.ids import Digest, digest_of, is_digest, is_name

CHUNK = 64 << 10
"""Bytes of a content that are read at once."""

YOUNG = 600.0
"""Seconds in which whoever stored content will have referred to it: longer than a tool or a request may take between the two."""


class FileBlobs:
    """The BlobStore port over a folder: `<root>/<customer>/<first two digits>/<digest>`."""

    def __init__(self, root: Path) -> None:
        """Keep blobs below `root`."""
        self.root = root

    async def put(self, customer: str, content: bytes) -> Digest:
        """Stores `content`, flushed to disk, and returns its address.

        Raises:
            DiskFull: there is no room.
        """
        return await asyncio.to_thread(self._put, customer, content)

    async def store(self, customer: str, digest: Digest, chunks: AsyncIterator[bytes]) -> None:
        """Stores what comes in `chunks`, flushed to disk; no more than a chunk is in memory.

        Raises:
            InvalidInput: it is not what its address says, or that is none; nothing is kept.
            DiskFull: there is no room.
        """
        incoming = _incoming(self._path(customer, digest))
        upload = await asyncio.to_thread(incoming.__enter__)
        try:
            async for chunk in chunks:
                await asyncio.to_thread(upload.add, chunk)
            upload.check(digest)
        except BaseException as error:
            # Again on a thread, and to its end even if the request was cancelled: a file on its way must not stay.
            await asyncio.shield(asyncio.to_thread(_abandon, incoming, error))
            raise
        await asyncio.to_thread(incoming.__exit__, None, None, None)

    async def read(self, customer: str, digest: Digest) -> tuple[int, AsyncGenerator[bytes, None]]:
        """The content's size, and the content a chunk at a time.

        Raises:
            NotFound: the customer has none at that address.
            InvalidInput: the digest is none.
        """
        path = self._path(customer, digest)
        try:
            file = await asyncio.to_thread(path.open, "rb")
        except FileNotFoundError:
            raise _not_found(digest) from None
        size = os.fstat(file.fileno()).st_size

        async def chunks() -> AsyncGenerator[bytes, None]:
            with file:
                while chunk := await asyncio.to_thread(file.read, CHUNK):
                    yield chunk

        return size, chunks()

    async def get(self, customer: str, digest: Digest) -> bytes:
        """The content.

        Raises:
            NotFound: the customer has none at that address.
            InvalidInput: the digest is none.
        """
        try:
            return await asyncio.to_thread(self._path(customer, digest).read_bytes)
        except FileNotFoundError:
            raise _not_found(digest) from None

    async def missing(self, customer: str, digests: Sequence[Digest]) -> list[Digest]:
        """Those that are not stored. The others are safe for a while, so that the caller can refer to them."""
        wanted = list(dict.fromkeys(digests))
        return await asyncio.to_thread(lambda: [d for d in wanted if not _is_kept(self._path(customer, d))])

    async def delete(self, customer: str, digests: Sequence[Digest]) -> None:
        """Removes content; what is not there is removed already."""
        await asyncio.to_thread(lambda: [self._path(customer, each).unlink(missing_ok=True) for each in digests])

    async def discard(self, customer: str, digests: Sequence[Digest]) -> list[Digest]:
        """Removes content that nothing refers to. Returns what stays for now, for it was stored within :data:`YOUNG` seconds.

        Whoever stores content refers to it some time later, and may find it there already: then it counts as stored again.
        """
        return await asyncio.to_thread(lambda: [each for each in digests if not _discard(self._path(customer, each))])

    def _path(self, customer: str, digest: Digest) -> Path:
        """Where the content is. Whatever the rest of the program lets through: no path leads out of the customer's folder.

        Raises:
            InvalidInput: the digest is none.
        """
        if not is_digest(digest) or not is_name(customer):
            raise InvalidInput("the address of a content is its SHA-256 in lower-case hexadecimal digits")
        return self.root / customer / digest[:2] / digest

    def _put(self, customer: str, content: bytes) -> Digest:
        digest = digest_of(content)
        path = self._path(customer, digest)
        if not _is_kept(path):
            with _incoming(path) as incoming:
                incoming.write(content)
        return digest


def _is_kept(path: Path) -> bool:
    """Whether there is such a file. It is as new then as one that is written now."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def _discard(path: Path) -> bool:
    """Removes a file, unless it is young. Moved away first: who finds it meanwhile makes it young, or writes it again."""
    away = path.with_name(path.name + ".unused")
    try:
        if _age(path) < YOUNG:
            return False
        path.rename(away)
    except FileNotFoundError:
        return True
    if _age(away) < YOUNG:
        away.replace(path)
        return False
    away.unlink(missing_ok=True)
    return True


def _age(path: Path) -> float:
    return time.time() - path.stat().st_mtime


def _not_found(digest: Digest) -> NotFound:
    return NotFound(f"there is no content {digest[:12]}…", details={"digest": digest})


def _abandon(incoming: AbstractContextManager[Any], error: BaseException) -> None:
    with suppress(BaseException):
        incoming.__exit__(type(error), error, error.__traceback__)


class _Incoming:
    """A file on its way to its address."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def add(self, chunk: bytes) -> None:
        """Takes the next part, and updates the digest that becomes the address."""
        self._hash.update(chunk)
        self._file.write(chunk)

    def write(self, content: bytes) -> None:
        """Takes all of it."""
        self._file.write(content)

    def check(self, digest: Digest) -> None:
        """Refuses content that is not what its address says.

        Raises:
            InvalidInput: it is other content.
        """
        if self._hash.hexdigest() != digest:
            raise InvalidInput("the content is not what its address says", "send it again")


@contextmanager
def _incoming(path: Path) -> Generator[_Incoming]:
    """A temporary file that is flushed and becomes `path` at the end, or is removed when something goes wrong.

    Raises:
        DiskFull: there is no room.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, temporary = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                yield _Incoming(file)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DiskFull("the disk that holds the data folder is full", "free some room") from error
        raise
