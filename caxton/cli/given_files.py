"""Files that go with a request."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from caxton.client import Caxton
    from caxton.domain.tools import Artifact


def check_files(files: Sequence[Path], word: str = "--file") -> None:
    """Says what is wrong with files before anything is sent; `word` is what the user wrote before them.

    Raises:
        UsageError: one cannot be read, is too large, or is of no type that is taken.
    """
    from caxton.cli.reading import unreadable
    from caxton.domain.errors import UsageError
    from caxton.domain.files import FILE_LIMIT, KINDS, SNIFFED, sniff
    from caxton.domain.quantities import format_size

    for file in files:
        try:
            with file.open("rb") as opened:
                head, size = opened.read(SNIFFED), file.stat().st_size
        except OSError as error:
            raise unreadable(f"{word} {file}", error, "name a file that you can read") from None
        if size == 0:
            raise UsageError(f"{word} {file}: it is empty")
        if size > FILE_LIMIT:
            raise UsageError(f"{word} {file}: it is larger than {format_size(FILE_LIMIT)}")
        if (problem := _misread(file, size)) is not None:
            raise UsageError(f"{word} {file}: it is not in UTF-8: {problem}", "save it as UTF-8, or convert it: iconv")
        if sniff(head, file.name) is None:
            raise UsageError(f"{word} {file}: it is of no type that is taken", f"taken are {', '.join(KINDS)}")


def _misread(file: Path, size: int) -> str | None:
    from caxton.domain.files import misread_text

    return misread_text(file.read_bytes(), file.name) if size else None


def upload_all(caxton: "Caxton", files: Sequence[Path]) -> "list[Artifact]":
    """Uploads files, one after another."""
    return [caxton.upload(file.read_bytes(), file.name) for file in files]
