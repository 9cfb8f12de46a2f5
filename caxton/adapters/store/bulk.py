"""Inserts of many rows with few statements.

Python's SQLite module lets go of the interpreter lock once a statement, and takes it again afterwards, which may take
milliseconds while another thread computes. `executemany` does so for every row; a statement with many rows of values does it
once, and inserts them all while the rest of the process goes on.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any, cast

from sqlalchemy import Connection, Insert, String, Table, Text, bindparam, func, select
from sqlalchemy.dialects import postgresql

MOST_VALUES = 32_000
"""Parameters of one statement at most (SQLite: 32,766)."""


def insert_rows(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Inserts `rows`, which all have the same keys."""
    insert_values(connection, table, *columns_and_values(rows))


def columns_and_values(rows: Sequence[dict[str, Any]]) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Names of the columns of `rows`, and their values in that order."""
    names = tuple(rows[0])
    values_of = cast("Callable[[dict[str, Any]], tuple[Any, ...]]", itemgetter(*names))
    return names, [values_of(row) for row in rows]


def replace_rows(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Inserts `rows`, in the place of those that have their keys; for databases that have bulk statements."""
    names = tuple(rows[0])
    insert_values(connection, table, names, [tuple(row.values()) for row in rows], "INSERT OR REPLACE")


def has_bulk(connection: Connection) -> bool:
    """Whether the database takes statements with many rows of values, and `INSERT OR …`: SQLite."""
    return connection.dialect.name == "sqlite"


def insert_values(
    connection: Connection, table: Table, names: tuple[str, ...], rows: Sequence[tuple[Any, ...]], verb: str = "INSERT"
) -> None:
    """Inserts `rows` of values of the columns `names`."""
    if not has_bulk(connection):
        if rows:
            connection.execute(
                _from_arrays(table, names), dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
            )
        return
    start = 0
    while start < len(rows):
        count = _chunk(min(len(rows) - start, MOST_VALUES // len(names)))
        values = tuple(chain.from_iterable(rows[start : start + count]))
        connection.exec_driver_sql(_statement(verb, table.name, names, count), values)
        start += count


@lru_cache(maxsize=64)
def _from_arrays(table: Table, names: tuple[str, ...]) -> Insert:
    """PostgreSQL: one statement with an array for each column, in place of one for each row."""

    def array(name: str) -> postgresql.ARRAY[Any]:
        of = table.c[name].type
        return postgresql.ARRAY(Text() if isinstance(of, String) else of)  # a cast to VARCHAR(64) would cut

    columns = [func.unnest(bindparam(name, type_=array(name))) for name in names]
    return table.insert().from_select(names, select(*columns))


def _chunk(rows: int) -> int:
    """The largest power of two that is not more: few different statements, so that each is prepared once."""
    return 1 << (rows.bit_length() - 1)


@lru_cache(maxsize=256)
def _statement(verb: str, table: str, names: tuple[str, ...], rows: int) -> str:
    row = f"({', '.join('?' * len(names))})"
    columns = ", ".join(f'"{name}"' for name in names)
    return f'{verb} INTO "{table}" ({columns}) VALUES {", ".join([row] * rows)}'
