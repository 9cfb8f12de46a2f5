"""Files in a tool's result: they become blobs that the reply refers to."""

import mimetypes
import re
from pathlib import PurePosixPath
from typing import Any

from caxton.domain.base64_text import decode_base64
from caxton.domain.ids import Scope
from caxton.domain.ports import BlobStore
from caxton.domain.tools import Artifact, ToolResult


async def extract_artifacts(blobs: BlobStore, scope: Scope, result: ToolResult) -> tuple[ToolResult, list[Artifact]]:
    """Takes files and images out of a result: they become blobs that the reply refers to, and the model reads a note."""
    content: list[dict[str, Any]] = []
    artifacts: list[Artifact] = []
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
    return result.model_copy(update={"content": content}), artifacts


def _is_for_models(part: dict[str, Any], media_type: str) -> bool:
    """Whether a file is an embedded text that is of use to a model: no picture, and not for the user alone."""
    resource: dict[str, Any] = part.get("resource") or {}
    annotations: dict[str, Any] = part.get("annotations") or resource.get("annotations") or {}
    audience = annotations.get("audience")
    is_picture = media_type.partition("/")[0] in ("image", "audio", "video", "font")
    return isinstance(resource.get("text"), str) and not is_picture and audience != ["user"]


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
