"""Large content as files, named by the SHA-256 of what is in them."""

import asyncio
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from caxton.domain.errors import DiskFull, NotFound
from caxton.domain.ids import Digest, digest_of


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

    async def get(self, customer: str, digest: Digest) -> bytes:
        """The content.

        Raises:
            NotFound: the customer has none at that address.
        """
        try:
            return await asyncio.to_thread(self._path(customer, digest).read_bytes)
        except FileNotFoundError:
            raise NotFound(f"there is no content {digest[:12]}…", details={"digest": digest}) from None

    async def missing(self, customer: str, digests: Sequence[Digest]) -> list[Digest]:
        """Those that are not stored."""
        wanted = list(dict.fromkeys(digests))
        return await asyncio.to_thread(lambda: [d for d in wanted if not self._path(customer, d).exists()])

    async def delete(self, customer: str, digests: Sequence[Digest]) -> None:
        """Removes content; what is not there is removed already."""
        await asyncio.to_thread(lambda: [self._path(customer, each).unlink(missing_ok=True) for each in digests])

    def _path(self, customer: str, digest: Digest) -> Path:
        return self.root / customer / digest[:2] / digest

    def _put(self, customer: str, content: bytes) -> Digest:
        digest = digest_of(content)
        path = self._path(customer, digest)
        if path.exists():
            return digest
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, temporary = tempfile.mkstemp(dir=path.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                Path(temporary).replace(path)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
        except OSError as error:
            if error.errno == 28:  # ENOSPC
                raise DiskFull("the disk that holds the data folder is full", "free some room") from error
            raise
        return digest
