"""Queries on projections: JSON documents by view and key."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, select

from caxton.adapters.store.bulk import has_bulk, replace_rows
from caxton.adapters.store.schema import document_positions as positions
from caxton.adapters.store.schema import documents
from caxton.adapters.store.session import Session, from_json, to_json
from caxton.domain.ids import Scope

_OF_DOCUMENT = tuple(documents.c[name] == bindparam(f"in_{name}") for name in ("customer", "view", "workspace", "key"))
_UPDATE = documents.update().where(*_OF_DOCUMENT).values(document=bindparam("new_document"))

KEYS_AT_ONCE = 500
"""Keys in one look-up: far below what SQLite and PostgreSQL allow as parameters."""


class DocumentQueries(Session):
    """Projections."""

    def document_position(self, customer: str, view: str, *, hold: bool = False) -> tuple[int, int]:
        """How far `view` has read the customer's log, and which version of the projection did.

        With `hold` nobody else moves it before this transaction ends; only a transaction that writes can do that.
        """
        query = select(positions.c.sequence, positions.c.version).where(
            positions.c.customer == customer, positions.c.view == view
        )
        row = self.connection.execute(query.with_for_update() if hold else query).first()
        return (row.sequence, row.version) if row else (0, 0)

    def set_document_position(self, customer: str, view: str, sequence: int, version: int) -> None:
        """Notes how far `view` has read."""
        own = (positions.c.customer == customer, positions.c.view == view)
        changed = self.connection.execute(positions.update().where(*own).values(sequence=sequence, version=version))
        if not changed.rowcount:
            row = {"customer": customer, "view": view, "sequence": sequence, "version": version}
            self.connection.execute(positions.insert(), row)

    def documents(self, scope: Scope, view: str, keys: Sequence[str] | None = None) -> dict[str, Any]:
        """Documents of the workspace by key: all of them, or those of `keys` that exist."""
        query = select(documents.c.key, documents.c.document).where(
            documents.c.customer == scope.customer,
            documents.c.view == view,
            documents.c.workspace == scope.workspace,
        )
        if keys is None:
            return {
                row.key: from_json(row.document) for row in self.connection.execute(query.order_by(documents.c.key))
            }
        found: dict[str, Any] = {}
        for start in range(0, len(keys), KEYS_AT_ONCE):
            some = query.where(documents.c.key.in_(keys[start : start + KEYS_AT_ONCE]))
            found.update({row.key: from_json(row.document) for row in self.connection.execute(some)})
        return found

    def put_documents(
        self, scope: Scope, view: str, fresh: Mapping[str, Any], changed: Mapping[str, Any], gone: Iterable[str] = ()
    ) -> None:
        """Writes documents: `fresh` ones are new, `changed` ones exist, `gone` ones are removed."""
        own = {"customer": scope.customer, "view": view, "workspace": scope.workspace}
        if has_bulk(self.connection) and (fresh or changed):
            found = {**fresh, **changed}
            rows = [{**own, "key": key, "document": to_json(document)} for key, document in found.items()]
            replace_rows(self.connection, documents, rows)
            fresh = changed = {}
        if fresh:
            rows = [{**own, "key": key, "document": to_json(document)} for key, document in fresh.items()]
            self.connection.execute(documents.insert(), rows)
        if changed:
            keyed = {f"in_{name}": value for name, value in own.items()}
            rows = [{**keyed, "in_key": key, "new_document": to_json(value)} for key, value in changed.items()]
            self.connection.execute(_UPDATE, rows)
        for key in gone:
            of_key = (documents.c[name] == value for name, value in {**own, "key": key}.items())
            self.connection.execute(documents.delete().where(*of_key))

    def drop_documents(self, customer: str, view: str) -> None:
        """Forgets a customer's projection; it will be built again from the log."""
        self.connection.execute(documents.delete().where(documents.c.customer == customer, documents.c.view == view))
        self.connection.execute(positions.delete().where(positions.c.customer == customer, positions.c.view == view))
