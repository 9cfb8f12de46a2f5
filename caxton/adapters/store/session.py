"""What all queries share: a connection, and inserts that wait until the transaction commits."""

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Connection, FromClause, Table, and_, bindparam
from sqlalchemy.sql.elements import ColumnElement

from caxton.adapters.store.bulk import columns_and_values, has_bulk, insert_rows
from caxton.adapters.store.schema import content_uses
from caxton.adapters.store.writer import Count, Job, Rows
from caxton.domain.ids import ExecutionId, Scope
from caxton.domain.json_text import compact_encoder
from caxton.domain.records import StepRecord
from caxton.domain.sealing import Unplaced


class Session:
    """One transaction. Inserts are collected and sent as one statement a table, which is what makes batches cheap."""

    def __init__(self, connection: Connection) -> None:
        """Work on `connection`; whoever opened it commits."""
        self.connection = connection
        self.retried = False
        """Whether an earlier attempt of this transaction met another one's writes."""
        self.prepared = False
        """Whether the writes are only being prepared: there is no connection yet."""
        self.counts: dict[tuple[str, str, str], Count] = {}
        """Prepared: messages to count, by the key of their conversation."""
        self._pending: dict[Table, list[dict[str, Any]]] = {}
        self._fresh: dict[tuple[Table, str, str, str], dict[str, Any]] = {}
        self.generations: dict[Scope, tuple[int, int]] = {}
        """Generations of registries, and of breakers, that the transaction has read."""
        self.in_hand: dict[Scope, dict[str, int]] = {}
        """Work in progress by agent that the transaction has read."""
        self.read_steps: dict[tuple[Scope, ExecutionId, int, int], StepRecord | None] = {}
        """Steps that the transaction has read by their keys."""
        self.appended: defaultdict[str, list[Unplaced]] = defaultdict(list)
        """Events that the transaction appends, by customer."""
        self.grown: frozenset[str] = frozenset()
        """Customers whose logs have grown with the transaction; known when it is sealed."""

    def insert(self, table: Table, row: dict[str, Any]) -> None:
        """Adds `row` when the transaction commits (or before the next read that needs it: :meth:`flush`)."""
        self._pending.setdefault(table, []).append(row)

    def insert_keyed(self, table: Table, scope: Scope, key: str, row: dict[str, Any]) -> None:
        """Like :meth:`insert`, for a row that the same transaction may change again: see :meth:`fresh`."""
        self.insert(table, row)
        self._fresh[table, scope.customer, scope.workspace, key] = row

    def insert_uses(self, scope: Scope, digests: Iterable[str], owner: str, step: int = -1, call: int = 0) -> None:
        """Adds that a message (step -1), or a step of an execution, refers to contents."""
        for digest in set(digests):
            self.insert(content_uses, scoped(scope, digest=digest, owner=owner, step=step, call=call))

    def fresh(self, table: Table, scope: Scope, key: str) -> dict[str, Any] | None:
        """The row of that key if it waits to be inserted. What is changed in it is never a statement of its own."""
        return self._fresh.get((table, scope.customer, scope.workspace, key))

    def job(self) -> Job:
        """All that waits to be written, for the writing process."""
        inserts: list[Rows] = [(str(table.name), *columns_and_values(rows)) for table, rows in self._pending.items()]
        logs = [(customer, events) for customer, events in sorted(self.appended.items()) if events]
        return inserts, list(self.counts.values()), logs

    def flush(self) -> None:
        """Sends the collected inserts."""
        pending, self._pending = self._pending, {}
        self._fresh.clear()
        for table, rows in pending.items():
            if table is content_uses and not has_bulk(self.connection):
                continue  # PostgreSQL does it by triggers
            insert_rows(self.connection, table, rows)


def in_scope(table: FromClause, scope: Scope) -> ColumnElement[bool]:
    """The condition that every query starts with."""
    return and_(table.c.customer == scope.customer, table.c.workspace == scope.workspace)


def scope_given(table: Table) -> ColumnElement[bool]:
    """Like :func:`in_scope` for a statement that is built once: executed with :func:`given`.

    Building a statement costs more than running it, so those on the path of every message are built once.
    """
    return and_(table.c.customer == bindparam("customer"), table.c.workspace == bindparam("workspace"))


def given(scope: Scope, **values: Any) -> dict[str, Any]:
    """Parameters for a statement that was built with :func:`scope_given`."""
    return {"customer": scope.customer, "workspace": scope.workspace, **values}


def scoped(scope: Scope, **values: Any) -> dict[str, Any]:
    """A row of `values` in `scope`."""
    return {"customer": scope.customer, "workspace": scope.workspace, **values}


def to_json(value: Any) -> str:
    """JSON text of models, and of lists and dictionaries of them."""
    if isinstance(value, BaseModel):
        return value.model_dump_json(exclude_none=True)
    return _encode(value)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_none=True)
    raise TypeError(f"{type(value).__name__} has no JSON form")


_encode = compact_encoder(ascii_only=False, default=_plain)


def from_json(text: str | None, default: Any = None) -> Any:
    """The value of JSON `text`; `default` where the column is empty."""
    return default if text is None else json.loads(text)
