"""Fixtures of the conformance suites."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from caxton.adapters.blobs import FileBlobs
from caxton.adapters.sandbox.sandbox import WasmtimeSandbox
from caxton.adapters.store.database import Database, sqlite_url
from caxton.adapters.store.migrate import migrate
from tests.support.bench import Bench


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A sandbox of its own."""
    blobs = FileBlobs(tmp_path / "blobs")
    environment = {"GRANTED": "yes", "SECRET": "no"}
    sandbox = WasmtimeSandbox(blobs, tmp_path / "cache", environment=environment)
    yield Bench(sandbox, blobs, tmp_path)
    sandbox.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty store of its own, over each of the databases."""
    on_sqlite = request.param == "sqlite"
    url = sqlite_url(tmp_path / "caxton.db") if on_sqlite else request.getfixturevalue("postgres").new_database()
    database = Database(url)
    migrate(database)
    yield database
    database.close()
