"""Files in a tool's result: they become blobs that the reply refers to."""

import mimetypes
import re
from contextlib import aclosing
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from caxton.domain.base64_text import decode_base64
from caxton.domain.files import SNIFFED, FileKind, kind_of, sniff
from caxton.domain.ids import Digest, Scope
from caxton.domain.ports import BlobStore, PromptFile
from caxton.domain.tools import Artifact, ToolResult


def prompt_file(blobs: BlobStore, scope: Scope, file: Artifact, *, required: bool) -> PromptFile:
    """A file as a model gets it; `required` if a model that does not take it is to refuse."""
    return PromptFile(file.name, file.media_type, file.size, partial(_load, blobs, scope, file.digest), required)


async def _load(blobs: BlobStore, scope: Scope, digest: Digest, most: int) -> bytes:
    """The first bytes of content, so many at most."""
    _, chunks = await blobs.read(scope.customer, digest)
    found = bytearray()
    async with aclosing(chunks):
        async for chunk in chunks:
            found += chunk
            if len(found) >= most:
                break
    return bytes(found[:most])


async def extract_artifacts(
    blobs: BlobStore, scope: Scope, result: ToolResult
) -> tuple[ToolResult, list[Artifact], list[Digest]]:
    """Takes files and images out of a result: they become blobs that the reply refers to, and the model reads a note.

    Returns the result without them, the files, and which of them a model is to see, if it can.
    """
    content: list[dict[str, Any]] = []
    artifacts: list[Artifact] = []
    shown: list[Digest] = []
    for number, part in enumerate(result.content, start=1):
        found = _file_in(part, number)
        if found is None:
            content.append(part)
            continue
        name, media_type, data = found
        digest = await blobs.put(scope.customer, data)
        artifacts.append(Artifact(name=name, media_type=media_type, size=len(data), digest=digest))
        told = f"[file {name}, {media_type}, {len(data)} bytes, goes to the user]"
        content.append({"type": "text", "text": told})
        if _is_for_models(part, media_type):
            content.append({"type": "text", "text": part["resource"]["text"]})
        elif _is_shown(part, data):
            shown.append(digest)
    return result.model_copy(update={"content": content}), artifacts, shown


def _is_shown(part: dict[str, Any], data: bytes) -> bool:
    """Whether a model that can see a file, or hear it, is to do so: an image, a recording or a document that is not for the user
    alone. The file's own first bytes say what it is."""
    media_type = sniff(data[:SNIFFED])
    return media_type is not None and kind_of(media_type) is not FileKind.TEXT and _audience(part) != ["user"]


def _audience(part: dict[str, Any]) -> Any:
    resource: dict[str, Any] = part.get("resource") or {}
    annotations: dict[str, Any] = part.get("annotations") or resource.get("annotations") or {}
    return annotations.get("audience")


def _is_for_models(part: dict[str, Any], media_type: str) -> bool:
    """Whether a file is an embedded text that is of use to a model: no picture, and not for the user alone."""
    resource: dict[str, Any] = part.get("resource") or {}
    is_picture = media_type.partition("/")[0] in ("image", "audio", "video", "font")
    return isinstance(resource.get("text"), str) and not is_picture and _audience(part) != ["user"]


def _file_in(part: dict[str, Any], number: int) -> tuple[str, str, bytes] | None:
    if part.get("type") == "resource":
        resource: dict[str, Any] = part.get("resource") or {}
        unnamed = "text/plain" if isinstance(resource.get("text"), str) else "application/octet-stream"
        media_type = str(resource.get("mimeType") or unnamed)
        data = _bytes_of(resource.get("text"), resource.get("blob"))
        name = safe_file_name(str(resource.get("uri", "")), f"file-{number}", media_type)
    elif part.get("type") in ("image", "audio"):
        media_type = str(part.get("mimeType") or "application/octet-stream")
        data = _bytes_of(None, part.get("data"))
        name = safe_file_name("", f"{part['type']}-{number}", media_type)
    else:
        return None
    return None if data is None else (name, media_type, data)


def _bytes_of(text: object, encoded: object) -> bytes | None:
    if isinstance(text, str):
        return text.encode()
    if isinstance(encoded, str):
        try:
            return decode_base64(encoded)
        except ValueError:
            return None
    return None


def safe_file_name(uri: str, fallback: str, media_type: str) -> str:
    """A plain file name from a tool's URI: no folders, no odd characters, never hidden, never empty."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", PurePosixPath(uri).name).strip("-.")[:100]
    return name or fallback + (mimetypes.guess_extension(media_type) or "")
