"""Types that validate all input from outside.

The types of :mod:`caxton.domain.ids` say what a text *is* to whoever reads the code, and cost nothing. Those here are for the
edges (bodies, parameters, headers, imported files): each says which texts it lets in, and how long they may be. What becomes a
path or a name outside of Caxton is checked again by the adapter that makes it, by the same functions.
"""

import re
import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, StringConstraints

from caxton.domain.ids import DIGEST_PATTERN, ConversationId, DeploymentId, Digest, ExecutionId

ID_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$"
"""Any id that Caxton gives out, and those that clients may choose: safe in URLs, file names and workflow ids."""

LONGEST_PATH: Final = 500
"""Characters of a path in a bundle."""

LONGEST_PART: Final = 200
"""Bytes of one part of it: file systems take 255, and some room is left for what is written beside it."""

_ID = re.compile(ID_PATTERN)
_DRIVE = re.compile(r"[A-Za-z]:")
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories of characters that control something, cannot be seen, or are half of one."""

_Id = StringConstraints(pattern=ID_PATTERN, max_length=128)

GivenId = Annotated[str, _Id]
GivenExecutionId = Annotated[ExecutionId, _Id]
GivenConversationId = Annotated[ConversationId, _Id]
GivenDeploymentId = Annotated[DeploymentId, _Id]
WantedName = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=128)]
"""A name that is looked up. What is not a name gets the answer that tells which names are similar."""

GivenDigest = Annotated[Digest, StringConstraints(pattern=DIGEST_PATTERN, max_length=64)]


EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(9000, 1, 1, tzinfo=UTC)
"""Times that can be counted with in every time zone, and written by every store."""


def in_utc(time: datetime) -> datetime:
    """`time`, which has a zone, in UTC.

    Raises:
        ValueError: it is too long ago, or too far away.
    """
    try:
        found = time.astimezone(UTC)
    except OverflowError:
        found = None
    if found is None or not EARLIEST <= found <= LATEST:
        raise ValueError(f"a time lies between the years {EARLIEST.year} and {LATEST.year}")
    return found


_PLUS_LOST = re.compile(r"(T[0-9:.]+) (?=[0-9]{2}:?[0-9]{2}$)", re.ASCII)


def _with_plus(given: object) -> object:
    """In a URL that nobody encoded, the + of a time's zone arrives as a space."""
    return _PLUS_LOST.sub(r"\1+", given) if isinstance(given, str) else given


GivenTime = Annotated[AwareDatetime, BeforeValidator(_with_plus), AfterValidator(in_utc)]
"""ISO 8601 with a time zone; comes out in UTC."""

Position = Annotated[int, Field(ge=0, le=2**63 - 1)]
"""A place in the log."""

NO_NUL: Final = r"^[^\x00]*$"

GivenText = Annotated[str, StringConstraints(pattern=NO_NUL)]
"""Text that every store can keep in a column of its own; say beside it how long it may be."""


def is_id(text: str) -> bool:
    """Whether `text` has the form of an id."""
    return _ID.fullmatch(text) is not None


def wrong_path(path: str) -> str | None:
    """Why `path` cannot be a path below the folder of an agent or a tool; None if it can."""
    if not path:
        return "a path is empty"
    if len(path) > LONGEST_PATH:
        return f"a path has more than {LONGEST_PATH} characters"
    plain = path.isascii() and path.isprintable()
    if not plain and any(unicodedata.category(character) in _UNSEEN for character in path):
        return "a path has a control character, or one that cannot be seen"
    if path.startswith("/") or "\\" in path or _DRIVE.match(path):
        return f'"{path}" is not a path below a folder, with "/" between its parts'
    for part in path.split("/"):
        if part in ("", ".", ".."):
            return f'"{path}" has a part that is empty, "." or ".."'
        if len(part.encode()) > LONGEST_PART:
            return f"a part of a path has more than {LONGEST_PART} bytes"
    return None


def colliding_paths(paths: Iterable[str]) -> tuple[str, str] | None:
    """Two of `paths` that some file systems take for one, or of which one lies in the other; None if all can be together.

    File systems differ on whether case matters, and on how letters with accents are written.
    """
    seen: dict[str, str] = {}
    for path in paths:
        other = seen.setdefault(_folded(path), path)
        if other is not path:
            return other, path
    for folded, path in seen.items():
        above, slash, _ = folded.rpartition("/")
        while slash:
            if above in seen:
                return seen[above], path
            above, slash, _ = above.rpartition("/")
    return None


def _folded(path: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", path).casefold())


def _path(path: str) -> str:
    wrong = wrong_path(path)
    if wrong is not None:
        raise ValueError(wrong)
    return path


GivenPath = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_PATH), AfterValidator(_path)]
"""A path of a file in a bundle: it stays below the bundle's folder, on every file system."""
