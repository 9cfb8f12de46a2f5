"""SQLite databases with the newest schema: copies of one, for to migrate takes longer than most tests."""

import functools
import tempfile
from pathlib import Path

from caxton.adapters.store.database import Database, sqlite_url
from caxton.adapters.store.migrate import migrate


@functools.cache
def _migrated() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "caxton.db")
        database = Database(sqlite_url(path))
        migrate(database)
        database.close()  # the last connection moves what is in the write-ahead log into the file
        return path.read_bytes()


def new_sqlite_store(path: Path) -> str:
    """Makes a database with the newest schema in `path`, and returns its URL."""
    path.write_bytes(_migrated())
    return sqlite_url(path)
