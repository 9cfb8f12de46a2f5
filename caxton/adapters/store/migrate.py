"""Brings a database to the schema of this version of Caxton."""

import subprocess
import sys
from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from caxton.adapters.store.database import Database, sqlite_url, translate
from caxton.domain.errors import CaxtonError, ErrorReport, StoreUnavailable

HEAD = "0032"
"""The newest revision in `migrations/versions`; a test holds it to that."""

MIGRATION_LOCK = 0xCA701
"""Key of the advisory lock in PostgreSQL under which one process at a time migrates."""


def migrate(database: Database) -> None:
    """Upgrades to the newest schema. Does nothing, and loads no Alembic, where that is reached already.

    Raises:
        StoreUnavailable: a newer version of Caxton wrote the database, or it does not answer.
    """
    try:
        _migrate(database)
    except DBAPIError as error:
        if database.is_sqlite and "not a database" in str(error.orig):
            raise StoreUnavailable(
                f"{database.url.removeprefix('sqlite:///')} is not a database of Caxton, or is damaged",
                "bring back a copy of it, or move it away to start over",
                reason=str(error.orig),
            ) from error
        raise translate(error) from error


def migrate_apart(database: Database) -> None:
    """Does the same in a process of its own where that is SQLite: a server keeps what it has loaded, and Alembic is 20 MB.

    Raises:
        StoreUnavailable: as :func:`migrate`.
    """
    if not database.is_sqlite or _is_newest(database):
        migrate(database)
        return
    path = Path(str(database.engine.url.database))
    command = [sys.executable, "-P", "-m", "caxton.adapters.store.migrate", str(path)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False)
    if done.returncode == 0:
        return
    if not done.stdout:
        raise StoreUnavailable(
            f"the database could not be brought to the schema of this version: exit code {done.returncode}"
        )
    raise CaxtonError.from_report(ErrorReport.model_validate_json(done.stdout))


def _is_newest(database: Database) -> bool:
    try:
        return _revision(database) == HEAD
    except DBAPIError:  # `migrate` says what is wrong
        return True


def main() -> int:
    """Migrates the SQLite database whose path is the argument; an error goes to standard output as JSON."""
    database = Database(sqlite_url(Path(sys.argv[1])))
    try:
        migrate(database)
    except CaxtonError as error:
        sys.stdout.write(error.report().model_dump_json())
        return error.exit_code
    finally:
        database.close()
    return 0


def _migrate(database: Database) -> None:
    present = _revision(database)
    if present == HEAD:
        return
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with database.engine.connect() as connection:
        _lock(connection, is_sqlite=database.is_sqlite)
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")  # does nothing if another process was quicker
        except CommandError as error:
            raise StoreUnavailable(
                f'the database is of a newer version of Caxton (schema "{present}")',
                "install that version, or use another data folder",
                reason=str(error),
            ) from error
        connection.commit()


def _lock(connection: Connection, *, is_sqlite: bool) -> None:
    """Keeps other processes that start now from migrating too, until this transaction ends."""
    if is_sqlite:
        connection.exec_driver_sql("BEGIN EXCLUSIVE")
    else:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})


def _revision(database: Database) -> str | None:
    with database.engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


if __name__ == "__main__":
    sys.exit(main())
