"""Files that go with messages: brought once, named by the SHA-256 of what is in them."""

import asyncio
from contextlib import aclosing

from caxton.domain.errors import Hint, InvalidInput, PayloadTooLarge
from caxton.domain.files import (
    FILE_LIMIT,
    KINDS,
    SNIFFED,
    FileKind,
    FileReference,
    clean_name,
    misread_text,
    not_taken,
    not_utf8,
    sniff,
)
from caxton.domain.ids import Digest, Scope, digest_of
from caxton.domain.permissions import Permission
from caxton.domain.ports import BlobStore
from caxton.domain.quantities import format_size
from caxton.domain.records import Records, Transaction
from caxton.domain.tools import Artifact
from caxton.service.changes import request_change
from caxton.service.context import Caller
from caxton.service.disk_guard import DiskGuard


class Files:
    """Use cases on files.

    What was brought to a workspace stays for the period `contents` of its retention; a message that refers to it keeps it for as
    long as there is the message.
    """

    def __init__(self, records: Records, blobs: BlobStore, disk: DiskGuard) -> None:
        """Join what they need."""
        self.records = records
        self.blobs = blobs
        self.disk = disk

    async def keep(self, caller: Caller, content: bytes, name: str) -> Artifact:
        """Stores a file for the caller's workspace. One that is there already is not stored again.

        Raises:
            UnsupportedMediaType: it is of no type that is taken, by its first bytes.
            PayloadTooLarge: it has more than :data:`FILE_LIMIT` bytes.
            InvalidInput: it is empty.
            DiskFull: there is no room.
        """
        self.disk.require(caller.scope.customer)
        if not content:
            raise InvalidInput("the file is empty")
        if len(content) > FILE_LIMIT:
            raise PayloadTooLarge(
                f"the file is larger than {format_size(FILE_LIMIT)}",
                "put it where a tool can read it",
                details={"limit": FILE_LIMIT},
            )
        media_type = sniff(content[:SNIFFED], name)
        if media_type is None or KINDS[media_type] is FileKind.TEXT:
            problem = await asyncio.to_thread(misread_text, content, name)
            if problem is not None:
                raise not_utf8(clean_name(name, ""), problem)
        if media_type is None:
            raise not_taken(clean_name(name, ""))
        scope, digest = caller.scope, await asyncio.to_thread(digest_of, content)
        known = await self.records.read(lambda transaction: transaction.own_contents(scope, [digest]))
        if not known:
            await request_change(self.records, caller, "content.store", digest)
        await self.blobs.put(scope.customer, content)
        if not known:
            await self.records.write(lambda transaction: transaction.add_contents(scope, [digest]))
        return _file(digest, name, media_type, len(content))

    async def find(self, caller: Caller, wanted: FileReference) -> Artifact:
        """A file that is there, as a message refers to it. It stays for long enough that one can be sent.

        Raises:
            InvalidInput: the workspace has no such file.
            UnsupportedMediaType: it is of no type that is taken.
        """
        scope, digest = caller.scope, wanted.digest

        def has_it(transaction: Transaction) -> bool:
            if Permission.MESSAGES_READ in caller.permissions:
                return transaction.has_content(scope, digest)
            return bool(transaction.own_contents(scope, [digest]))

        if not await self.records.read(has_it) or await self.blobs.missing(scope.customer, [digest]):
            raise InvalidInput(
                f"there is no file {digest[:12]}… in this workspace",
                Hint(text="upload it first: POST /v1/files"),
                details={"digest": digest},
            )
        size, head = await self._head(scope, digest)
        media_type = sniff(head, wanted.name)
        if media_type is None:
            raise not_taken(clean_name(wanted.name, digest[:12]))
        return _file(digest, wanted.name, media_type, size)

    async def _head(self, scope: Scope, digest: Digest) -> tuple[int, bytes]:
        size, chunks = await self.blobs.read(scope.customer, digest)
        async with aclosing(chunks):
            async for chunk in chunks:
                return size, chunk[:SNIFFED]
        return size, b""


def _file(digest: Digest, name: str, media_type: str, size: int) -> Artifact:
    ending = media_type.rpartition("/")[2].partition("+")[0].replace("plain", "txt")
    return Artifact(
        name=clean_name(name, f"file-{digest[:8]}.{ending}"), media_type=media_type, size=size, digest=digest
    )
