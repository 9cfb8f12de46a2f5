"""One statement for what would be the same statement for each of several keys.

A statement lets go of the interpreter lock and has to wait for it afterwards, so a batch must not have one a message.
`IN` is no way where each key has a limit of its own: SQLite then reads all rows of every key.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import CompoundSelect, Select, union_all

T = TypeVar("T")

MOST = 64
"""Keys of one statement at most (SQLite: 500 parts)."""


def chunks(keys: Sequence[T], nothing: T) -> Iterator[list[T]]:
    """`keys` in lists of few different lengths, filled up with `nothing`: so few statements are ever built."""
    for start in range(0, len(keys), MOST):
        chunk = list(keys[start : start + MOST])
        yield chunk + [nothing] * ((1 << (len(chunk) - 1).bit_length()) - len(chunk))


def each(count: int, query: Callable[[int], Select[Any]]) -> CompoundSelect[Any]:
    """All rows of `query(0)` … `query(count - 1)`, each with its own order and limit."""
    return union_all(*(query(number).subquery().select() for number in range(count)))
