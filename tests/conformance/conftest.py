"""Fixtures of the conformance suites."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from caxton.adapters.store.database import Database
from tests.support.bench import Bench, new_bench
from tests.support.stores import new_sqlite_store


@pytest.fixture
async def bench(tmp_path: Path, compiled: Path) -> AsyncIterator[Bench]:
    """A sandbox of its own."""
    with new_bench(tmp_path, compiled, {"GRANTED": "yes", "SECRET": "no"}) as found:
        yield found


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty store of its own, over each of the databases."""
    on_sqlite = request.param == "sqlite"
    url = new_sqlite_store(tmp_path / "caxton.db") if on_sqlite else request.getfixturevalue("postgres").new_store()
    database = Database(url)
    yield database
    database.close()
