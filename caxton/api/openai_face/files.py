"""Files in messages of OpenAI's clients: as data in the request, or uploaded before. Addresses of others are not fetched."""

from dataclasses import dataclass
from typing import Any, Final, cast

from caxton.domain.base64_text import decode_base64
from caxton.domain.errors import InvalidInput
from caxton.domain.files import FileReference
from caxton.domain.ids import Digest, is_digest

FILE: Final = "file-"
"""Before the digest of an uploaded file, as the id of a file."""

KINDS: Final = frozenset({"image_url", "input_image", "file", "input_file", "input_audio"})
"""Types of parts that are files."""


@dataclass(frozen=True, slots=True)
class Inline:
    """A file that comes with the request."""

    content: bytes
    name: str = ""
    place: str = ""


GivenFile = Inline | FileReference


def read_file(kind: str, fields: dict[str, Any], place: str) -> GivenFile:
    """The file that a part of a message is.

    Raises:
        InvalidInput: it is none, or an address to fetch it from.
    """
    about = fields
    if kind in ("file", "input_audio") and isinstance(fields.get(kind), dict):
        about = cast("dict[str, Any]", fields[kind])
    name = about.get("filename")
    name = name if isinstance(name, str) else ""
    if isinstance(identity := about.get("file_id"), str):
        digest = identity.removeprefix(FILE)
        if not is_digest(digest):
            raise _wrong('a file_id is "file-" and the digest that POST /v1/files answers', place)
        return FileReference(digest=Digest(digest), name=name)
    data = about.get("data") if kind == "input_audio" else about.get("file_data", about.get("image_url"))
    if isinstance(data, dict):
        data = cast("dict[str, Any]", data).get("url")
    if not isinstance(data, str) or "file_url" in about:
        raise _wrong("the file is neither data in the request nor one that was uploaded; no address is fetched", place)
    if data.startswith(("http:", "https:")):
        raise _wrong("no address is fetched: send the file as a data URI, or upload it (POST /v1/files)", place)
    encoded = data.partition(",")[2] if data.startswith("data:") else data
    try:
        content = decode_base64(encoded)
    except ValueError:
        raise _wrong("the file is not base64", place) from None
    if not content:
        raise _wrong("the file is empty", place)
    return Inline(content, name, place)


def _wrong(message: str, place: str) -> InvalidInput:
    return InvalidInput(message, details={"param": place})
