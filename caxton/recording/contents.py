"""Content of any size: short texts travel in messages, long ones as blobs that messages refer to."""

from caxton.domain.ids import Digest, Scope, digest_of
from caxton.domain.messages import INLINE_LIMIT, Content
from caxton.domain.ports import BlobStore


async def pack(blobs: BlobStore, scope: Scope, text: str) -> Content:
    """`text` as a message carries it."""
    encoded = text.encode()
    if len(encoded) <= INLINE_LIMIT and "\0" not in text:  # PostgreSQL keeps no NUL in text
        return Content(text=text, size=len(encoded))
    return Content(digest=await blobs.put(scope.customer, encoded), size=len(encoded))


async def unpack(blobs: BlobStore, scope: Scope, content: Content) -> str:
    """The text that `content` stands for."""
    if content.digest is None:
        return content.text or ""
    return await fetch(blobs, scope, content.digest)


async def fetch(blobs: BlobStore, scope: Scope, digest: Digest) -> str:
    """The text under `digest`."""
    return (await blobs.get(scope.customer, digest)).decode()


def content_hash(content: Content) -> str | None:
    """SHA-256 of the text that `content` stands for, in lower-case hexadecimal; None where there is no text."""
    if content.digest is not None or content.text is None:
        return content.digest
    return hash_of(content.text)


def hash_of(text: str) -> str:
    """SHA-256 of `text`, by which events name a content that they do not hold."""
    return digest_of(text.encode())
