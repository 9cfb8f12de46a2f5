"""Files that go with messages: what they are, by their first bytes, and which are taken."""

import codecs
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from caxton.domain.errors import Hint, InvalidInput, UnsupportedMediaType
from caxton.domain.ids import Digest
from caxton.domain.tools import Artifact

FILE_LIMIT = 16 << 20
"""Bytes of one file."""

MOST_FILES = 20
"""Files of one message."""

SNIFFED = 4 << 10
"""Bytes from which the type of a file is known."""

LONGEST_NAME = 200
"""Characters of a file's name."""


class FileKind(StrEnum):
    """Kinds of files, as models take them."""

    IMAGES = "images"
    AUDIO = "audio"
    DOCUMENTS = "documents"
    TEXT = "text"
    """Any model takes it: it becomes a part of the prompt."""


KINDS: dict[str, FileKind] = {
    "image/png": FileKind.IMAGES,
    "image/jpeg": FileKind.IMAGES,
    "image/gif": FileKind.IMAGES,
    "image/webp": FileKind.IMAGES,
    "audio/wav": FileKind.AUDIO,
    "audio/mpeg": FileKind.AUDIO,
    "audio/ogg": FileKind.AUDIO,
    "audio/flac": FileKind.AUDIO,
    "application/pdf": FileKind.DOCUMENTS,
    "application/json": FileKind.TEXT,
    "image/svg+xml": FileKind.TEXT,
    "text/csv": FileKind.TEXT,
    "text/html": FileKind.TEXT,
    "text/markdown": FileKind.TEXT,
    "text/plain": FileKind.TEXT,
    "text/xml": FileKind.TEXT,
}
"""The types that are taken."""

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
    (b"ID3", "audio/mpeg"),
)

_MPEG_FRAMES = frozenset({0xFA, 0xFB, 0xF2, 0xF3, 0xE2, 0xE3})
"""The byte behind 0xFF with which MPEG audio, layer III, begins."""

_TEXTS = {
    "csv": "text/csv",
    "htm": "text/html",
    "html": "text/html",
    "json": "application/json",
    "md": "text/markdown",
    "svg": "image/svg+xml",
    "xml": "text/xml",
}
"""Types of texts by the ends of their names: their first bytes do not tell them apart."""

_CONTROL = frozenset(range(32)) - {7, 8, 9, 10, 12, 13, 27}


def sniff(head: bytes, name: str = "") -> str | None:
    """The media type of a file, None for one that is not taken. Its name only tells texts apart.

    Args:
        head: its first :data:`SNIFFED` bytes, or all of it.
        name: its name.
    """
    for magic, media_type in _MAGIC:
        if head.startswith(magic):
            return media_type
    if head[:4] == b"RIFF" and head[8:12] in (b"WEBP", b"WAVE"):
        return "image/webp" if head[8:12] == b"WEBP" else "audio/wav"
    if len(head) > 1 and head[0] == 0xFF and head[1] in _MPEG_FRAMES:
        return "audio/mpeg"
    if not _is_text(head):
        return None
    return _TEXTS.get(name.rpartition(".")[2].lower(), "text/plain")


def _is_text(head: bytes) -> bool:
    if not head or not _CONTROL.isdisjoint(head):
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # whose end may be in the middle of a character
    except UnicodeDecodeError:
        return False
    return True


def misread_text(content: bytes, name: str) -> str | None:
    """Why a file that is a text by its name, or begins as one, is not in UTF-8; None if it is, or is no text."""
    ending = name.rpartition(".")[2].lower()
    if not content or not (ending in _TEXTS or ending in ("txt", "log", "tsv") or _is_text(content[:SNIFFED])):
        return None
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "it is in UTF-16"
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return f"line {line} has the byte 0x{content[error.start]:02X}, which is no UTF-8"
    return None


def not_utf8(name: str, problem: str) -> UnsupportedMediaType:
    """The refusal of a text in another encoding: nobody can know in which, and a model would see it garbled."""
    return UnsupportedMediaType(
        f'the text file "{name}" is not in UTF-8: {problem}' if name else f"the text file is not in UTF-8: {problem}",
        Hint(text="save it as UTF-8, or convert it", command="iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW"),
        details={"accept": sorted(KINDS)},
    )


def kind_of(media_type: str) -> FileKind | None:
    """The kind of a file; None for one that no model gets."""
    return KINDS.get(media_type)


def not_taken(name: str) -> UnsupportedMediaType:
    """The refusal of a file that is of none of the types."""
    return UnsupportedMediaType(
        f'the file "{name}" is of no type that is taken' if name else "the file is of no type that is taken",
        Hint(text=f"send {', '.join(KINDS)}"),
        details={"accept": sorted(KINDS)},
    )


class FileReference(BaseModel):
    """A file by its address, with the name that it has here."""

    model_config = ConfigDict(frozen=True)

    digest: Digest
    name: str = ""


def clean_name(name: str, fallback: str) -> str:
    """A file's name without folders, and without characters that control a terminal."""
    plain = "".join(each for each in name.replace("\\", "/").rpartition("/")[2] if each.isprintable()).strip(" .")
    return plain[:LONGEST_NAME] or fallback


def check_count(files: int) -> None:
    """Refuses too many files.

    Raises:
        InvalidInput: there are more than :data:`MOST_FILES`.
    """
    if files > MOST_FILES:
        raise InvalidInput(
            f"a message has {MOST_FILES} files at most; these are {files}",
            "send several messages of one conversation",
            details={"limit": MOST_FILES},
        )


def as_told(file: Artifact) -> dict[str, Any]:
    """A file as templates see it."""
    return {"name": file.name, "media_type": file.media_type, "size": file.size}
