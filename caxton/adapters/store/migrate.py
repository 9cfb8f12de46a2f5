"""Brings a database to the schema of this version of Caxton."""

from pathlib import Path

from sqlalchemy import inspect, text

from caxton.adapters.store.database import Database
from caxton.domain.errors import StoreUnavailable

HEAD = "0001"
"""The newest revision in `migrations/versions`; a test holds it to that."""


def migrate(database: Database) -> None:
    """Upgrades to the newest schema. Does nothing, and loads no Alembic, where that is reached already.

    Raises:
        StoreUnavailable: a newer version of Caxton wrote the database, or it does not answer.
    """
    present = _revision(database)
    if present == HEAD:
        return
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with database.engine.connect() as connection:
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise StoreUnavailable(
                f'the database is of a newer version of Caxton (schema "{present}")',
                "install that version, or use another data folder",
                reason=str(error),
            ) from error
        connection.commit()


def _revision(database: Database) -> str | None:
    with database.engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
