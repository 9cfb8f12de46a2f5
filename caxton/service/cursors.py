"""Cursors: a place in the log that a caller can come back to.

A cursor is opaque: a position with a check value over the position, whose log it is and what was asked for. So a damaged
cursor, one of another list and one of another customer are told apart from a good one. It guards against mistakes only: what
a caller may read, its scope alone decides.
"""

import base64
import binascii
import hashlib

from caxton.domain.errors import CursorInvalid
from caxton.domain.ids import Scope

_VERSION = "1"


def write_cursor(scope: Scope, position: int, wanted: str) -> str:
    """The cursor of `position` in the list that `wanted` describes."""
    text = f"{_VERSION}.{position}.{_check(scope, position, wanted)}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(scope: Scope, cursor: str, wanted: str) -> int:
    """The position of `cursor`.

    Raises:
        CursorInvalid: this list never gave it out.
    """
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        version, position, check = text.split(".")
        found = int(position)
    except (ValueError, binascii.Error, UnicodeDecodeError):
        raise _invalid() from None
    if version != _VERSION or not 0 <= found < 2**63 or check != _check(scope, found, wanted):
        raise _invalid()
    return found


def _check(scope: Scope, position: int, wanted: str) -> str:
    return hashlib.sha256(f"caxton cursor {scope} {position} {wanted}".encode()).hexdigest()[:16]


def _invalid() -> CursorInvalid:
    return CursorInvalid(
        "the cursor is damaged, or belongs to another list",
        "begin without a cursor, or use `next` of the last page with the same filters",
    )
