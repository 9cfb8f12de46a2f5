"""Queries on what stands beside memories: retention, and the last bulk operation."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, tuple_

from caxton.adapters.store import clock
from caxton.adapters.store.schema import memory_retention, memory_undo
from caxton.adapters.store.session import Session
from caxton.domain.ids import Digest
from caxton.domain.memory import Retention
from caxton.domain.memory_port import Place
from caxton.domain.records import UndoPage


class MemoryQueries(Session):
    """Retention and undo."""

    def retention(self, place: Place) -> Retention:
        """How long, and how much, a place remembers."""
        table = memory_retention
        query = select(table).where(table.c.customer == place.customer, table.c.workspace == place.workspace)
        row = self.connection.execute(query).first()
        return Retention(max_age=row.max_age, max_entities=row.max_entities) if row else Retention()

    def put_retention(self, place: Place, retention: Retention) -> None:
        """Sets it; one without limits is removed."""
        table = memory_retention
        own = {"customer": place.customer, "workspace": place.workspace}
        self.connection.execute(table.delete().where(*(table.c[name] == value for name, value in own.items())))
        if retention:
            self.connection.execute(table.insert(), {**own, **retention.model_dump()})

    def retentions(self, after: Place | None, limit: int) -> list[tuple[Place, Retention]]:
        """Places that have one, over all customers, in their order from behind `after`."""
        table = memory_retention
        key = tuple_(table.c.customer, table.c.workspace)
        query = select(table).order_by(table.c.customer, table.c.workspace).limit(limit)
        if after is not None:
            query = query.where(key > tuple_(after.customer, after.workspace))
        return [
            (Place(row.customer, row.workspace), Retention(max_age=row.max_age, max_entities=row.max_entities))
            for row in self.connection.execute(query)
        ]

    def undo_pages(self, place: Place) -> list[UndoPage]:
        """Those of the place's last bulk operation, in their order."""
        table = memory_undo
        query = (
            select(table)
            .where(table.c.customer == place.customer, table.c.workspace == place.workspace)
            .order_by(table.c.number)
        )
        return [
            UndoPage(
                row["operation"],
                row["number"],
                row["kind"],
                row["actor"],
                clock.to_datetime(row["made_at"]),
                row["count"],
                Digest(row["digest"]),
                row["open"],
            )
            for row in self.connection.execute(query).mappings()
        ]

    def add_undo_page(self, place: Place, page: UndoPage) -> None:
        """Notes one."""
        row = {
            "customer": place.customer,
            "workspace": place.workspace,
            "number": page.number,
            "operation": page.operation,
            "kind": page.kind,
            "actor": page.actor,
            "made_at": clock.from_datetime(page.made_at),
            "count": page.count,
            "digest": page.digest,
            "open": page.open,
        }
        self.connection.execute(memory_undo.insert(), row)

    def close_undo_pages(self, place: Place, operation: str) -> None:
        """Notes that an operation is over: another may take its place."""
        table = memory_undo
        own = (table.c.customer == place.customer, table.c.workspace == place.workspace, table.c.operation == operation)
        self.connection.execute(table.update().where(*own).values(open=False))

    def remove_undo_pages(self, place: Place, numbers: Sequence[int] | None = None) -> list[Digest]:
        """Removes those of these numbers, or all. Returns where their contents are."""
        table = memory_undo
        own = [table.c.customer == place.customer, table.c.workspace == place.workspace]
        if numbers is not None:
            own.append(table.c.number.in_(numbers))
        digests = [Digest(digest) for digest in self.connection.execute(select(table.c.digest).where(*own)).scalars()]
        self.connection.execute(table.delete().where(*own))
        return digests

    def places_with_undo(self, before: datetime, limit: int) -> list[Place]:
        """Places whose last bulk operation was before a moment, over all customers."""
        table = memory_undo
        query = (
            select(table.c.customer, table.c.workspace)
            .where(table.c.made_at < clock.from_datetime(before))
            .distinct()
            .limit(limit)
        )
        return [Place(row.customer, row.workspace) for row in self.connection.execute(query)]
