"""How much room the database takes, and how many rows a workspace has."""

from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError

from caxton.adapters.store.schema import approvals, conversations, event_heads, executions, messages, steps
from caxton.adapters.store.session import Session, in_scope
from caxton.domain.ids import Scope
from caxton.domain.records import DatabaseSize

COUNTED = (conversations, messages, executions, steps, approvals)


class SizeQueries(Session):
    """Sizes."""

    def database_size(self) -> DatabaseSize:
        """Bytes of the database, of all customers."""
        if self.connection.dialect.name != "sqlite":
            query = "SELECT pg_database_size(current_database())"
            return DatabaseSize(self.connection.exec_driver_sql(query).scalar_one(), None)
        page, pages, free = (
            int(self.connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())
            for name in ("page_size", "page_count", "freelist_count")
        )
        return DatabaseSize(page * pages, page * free)

    def table_sizes(self) -> dict[str, int] | None:
        """Bytes of each table with its indices, of all customers; None where the database does not tell.

        SQLite reads the whole file for that.
        """
        if self.connection.dialect.name == "sqlite":
            query = (
                "SELECT m.tbl_name, sum(s.pgsize) FROM dbstat s JOIN sqlite_schema m ON m.name = s.name "
                "GROUP BY m.tbl_name"
            )
        else:
            query = "SELECT relname, pg_total_relation_size(relid) FROM pg_stat_user_tables"
        try:
            return {name: int(size) for name, size in self.connection.exec_driver_sql(query)}
        except DBAPIError:
            return None  # an SQLite that was built without dbstat

    def row_counts(self, scope: Scope) -> dict[str, int]:
        """Rows of the workspace, and events of its customer that are in the database."""
        found = {
            str(table.name): self.connection.execute(
                select(func.count()).select_from(table).where(in_scope(table, scope))
            ).scalar_one()
            for table in COUNTED
        }
        head = select(event_heads.c.sequence).where(event_heads.c.customer == scope.customer)
        found["events"] = self.connection.execute(head).scalar() or 0
        return found
