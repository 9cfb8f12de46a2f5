"""How much space the database takes, and how many rows a workspace has."""

from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError

from caxton.adapters.store.schema import approvals, conversations, event_heads, executions, messages, steps
from caxton.adapters.store.session import Session, in_scope
from caxton.domain.ids import Scope
from caxton.domain.records import DatabaseSize

INCREMENTAL = 2
"""How SQLite calls a file that can give back free pages, some at a time."""

COUNTED = (conversations, messages, executions, steps, approvals)


class SizeQueries(Session):
    """Sizes."""

    def database_size(self) -> DatabaseSize:
        """Bytes of the database, of all customers."""
        if self.connection.dialect.name != "sqlite":
            query = "SELECT pg_database_size(current_database())"
            return DatabaseSize(self.connection.exec_driver_sql(query).scalar_one(), None)
        names = ("page_size", "page_count", "freelist_count", "auto_vacuum")
        page, pages, free, vacuum = map(self._pragma, names)
        return DatabaseSize(page * pages, page * free, shrinks=vacuum == INCREMENTAL)

    def give_back(self, most: int) -> int:
        """Gives free room at the end of the database back to the disk: so many bytes at most. Returns how many.

        PostgreSQL's autovacuum does so by itself. A file that was made without it does not.
        """
        if self.connection.dialect.name != "sqlite" or self._pragma("auto_vacuum") != INCREMENTAL:
            return 0
        page, before = self._pragma("page_size"), self._pragma("page_count")
        cursor = self.connection.connection.cursor()
        try:
            for _ in range(most // page):  # of a larger number Python's driver would do no more than the first
                cursor.execute("PRAGMA incremental_vacuum(1)")
        finally:
            cursor.close()
        return (before - self._pragma("page_count")) * page

    def _pragma(self, name: str) -> int:
        return int(self.connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())

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
