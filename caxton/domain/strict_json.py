"""JSON as RFC 8259 has it, and no more than can be kept, told and read again."""

import json
import re
from typing import Any, Final

from pydantic_core import from_json

from caxton.domain.errors import InvalidInput

LARGEST_NUMBER: Final = 2**63 - 1
"""Whole numbers go up to here, in both directions: what stores and tools can hold."""

MOST_VALUES: Final = 100_000
"""Texts, numbers, lists, objects and other values in one JSON text: what is made of them takes a hundred times its length."""

_MANY_DIGITS = re.compile(rb"[0-9]{19}|[eE][+-]?[0-9]{3}")
"""What a number that is too large has; so has much else, which is then looked at closely."""

_AFTER_PLACE = re.compile(r" at line \d+ column \d+$")


def check_json(content: bytes, what: str = "the body") -> None:
    """Refuses what one reader of JSON takes and another does not, or reads otherwise; see :func:`read_json`.

    Raises:
        InvalidInput: it is such, or no JSON at all.
    """
    read_json(content, what)


def read_json(content: bytes | str, what: str) -> Any:
    """The value of a JSON text, unless it is one that one reader takes and another does not, or reads otherwise.

    That is: names that are there twice, numbers that are none or that are not finite, whole numbers over 64 bits, halves of
    characters, other encodings than UTF-8, and what is nested 200 levels deep. So is a text of more than MOST_VALUES values,
    before anything is made of it.

    Raises:
        InvalidInput: it is such, or no JSON at all.
    """
    if isinstance(content, str):
        try:
            content = content.encode()
        except UnicodeEncodeError:
            raise InvalidInput(f"{what} is not Unicode: it has one half of a surrogate pair") from None
    outside = _outside_of_texts(content, 4 * MOST_VALUES)
    if outside is None or _count_marks(outside) > MOST_VALUES:
        raise InvalidInput(
            f"{what} has more than {MOST_VALUES:,} values",
            "send fewer, or send them as one text",
            details={"limit": MOST_VALUES},
        )
    try:
        from_json(content, allow_inf_nan=False)
    except ValueError as error:
        place = _AFTER_PLACE.search(str(error))
        raise InvalidInput(f"{what} is not JSON: {_said(str(error))}{place.group() if place else ''}") from None
    try:
        if _MANY_DIGITS.search(outside):
            return json.loads(content, object_pairs_hook=_once, parse_int=_whole, parse_float=_finite)
        return json.loads(content, object_pairs_hook=_once)
    except _Refused as refused:
        raise InvalidInput(f"{what} is refused: {refused}") from None
    except (ValueError, RecursionError):  # what the first reader took, and this one does not
        raise InvalidInput(f"{what} is not JSON") from None


def has_more_values(content: bytes, most: int) -> bool:
    """Whether a JSON text has more than `most` values (a list or object counts twice), without reading it."""
    if len(content) <= most:
        return False
    outside = _outside_of_texts(content, 4 * most)
    return outside is None or _count_marks(outside) > most


def _count_marks(outside: bytes) -> int:
    """Outside of texts each value has a mark of its own."""
    return sum(map(outside.count, _MARKS))


def _outside_of_texts(content: bytes, most: int) -> bytes | None:
    """What stands between the texts of a JSON text; None if it has more than `most` quotes: each value has one name at most.

    Goes by steps that take a nanosecond or less a byte: a message may be one text of many megabytes.
    """
    plain = content.replace(b"\\\\", b"").replace(b'\\"', b"")  # what is left of quotes begins and ends texts
    if plain.count(b'"') > most:
        return None
    return b'"'.join(plain.split(b'"')[::2])


_MARKS: Final = (b",", b"[", b"{")


class _Refused(Exception):
    """Why."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))
        raise _Refused(f'"{twice[:100]}" is there twice in one object')
    return found


def _whole(text: str) -> int:
    if len(text) > 20 or abs(int(text)) > LARGEST_NUMBER:
        raise _Refused("a whole number has more than 64 bits")
    return int(text)


def _finite(text: str) -> float:
    found = float(text)
    if found - found != 0:
        raise _Refused("a number is too large")
    return found


def _said(error: str) -> str:
    if "recursion limit" in error:
        return "it is nested too deep"
    if "hex escape" in error or "unicode" in error:
        return "a text in it is not Unicode (it may have one half of a surrogate pair)"
    return _AFTER_PLACE.sub("", error)
