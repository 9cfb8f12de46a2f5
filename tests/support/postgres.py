"""A PostgreSQL server of its own for tests, in a folder that goes away with them."""

import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from caxton.adapters.store.database import Database
from caxton.adapters.store.migrate import migrate
from tests.support.missing import lacking
from tests.support.ports import free_port

MISSING = "PostgreSQL is not installed: install it (on Debian: apt-get install postgresql) to run this test"


def programs() -> Path | None:
    """The folder with initdb and postgres: that of the newest version."""
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = shutil.which("initdb")
    if packaged:
        return packaged[-1].parent
    return Path(found).parent if found and shutil.which("postgres", path=str(Path(found).parent)) else None


@dataclass
class Postgres:
    """A running server. PostgreSQL refuses to run as root: there it runs as the user `postgres`."""

    folder: Path
    port: int
    programs: Path
    durable: bool = False
    process: subprocess.Popen[bytes] | None = None
    template: str | None = None
    """The name of a database with the newest schema, once there is one."""

    @property
    def as_user(self) -> list[str]:
        """What precedes a command so that it does not run as root."""
        return ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []

    def start(self) -> None:
        """Makes a cluster and runs it."""
        data = self.folder / "data"
        if self.as_user:
            shutil.chown(self.folder, "postgres")
        flush = [] if self.durable else ["--no-sync"]
        subprocess.run(
            [*self.as_user, self.programs / "initdb", "-D", data, "-U", "caxton", "-A", "trust", "-E", "UTF8", *flush],
            check=True,
            capture_output=True,
            cwd="/",
        )
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
        if not self.durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        flags = [flag for name, value in settings.items() for flag in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [*self.as_user, self.programs / "postgres", "-D", data, "-p", str(self.port), *flags],
                stdout=log,
                stderr=log,
                cwd="/",
            )
        self._wait()

    def _wait(self) -> None:
        import psycopg

        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self._address("postgres"), connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise RuntimeError((self.folder / "log").read_text()) from None
                time.sleep(0.1)

    def _address(self, database: str) -> str:
        return f"postgresql://caxton@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """The URL of an empty database, for SQLAlchemy."""
        return self._url(self._create())

    def new_store(self) -> str:
        """The URL of a database with the newest schema: a copy of one, for to migrate takes longer than most tests."""
        if self.template is None:
            template = self._create()
            database = Database(self._url(template))
            migrate(database)
            database.close()
            self.template = template
        return self._url(self._create(self.template))

    def _url(self, name: str) -> str:
        return self._address(name).replace("postgresql://", "postgresql+psycopg://")

    def _create(self, template: str = "template0") -> str:
        import psycopg

        name = f"d{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        return name

    def stop(self) -> None:
        """Ends the server at once."""
        if self.process is not None:
            subprocess.run(
                [*self.as_user, self.programs / "pg_ctl", "-D", self.folder / "data", "-m", "immediate", "stop"],
                check=False,
                capture_output=True,
                cwd="/",
            )
            self.process.wait(30)


@contextmanager
def running_postgres(*, durable: bool = False) -> Iterator[Postgres]:
    """A PostgreSQL server; skips the test where none is installed (fails it under continuous integration).

    Args:
        durable: whether commits are flushed to disk, as in production.
    """
    found = programs()
    if found is None:
        lacking(MISSING)
    # Folders of tests are closed to other users, and PostgreSQL may run as one: its data lies elsewhere.
    place = Path("/tmp") / f"caxton-postgres-{uuid.uuid4().hex[:12]}"
    place.mkdir(mode=0o755)
    server = Postgres(place, free_port(), found, durable=durable)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(place, ignore_errors=True)
