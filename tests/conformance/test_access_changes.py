"""A change of a key is known at once to all processes, over SQLite and over PostgreSQL."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from caxton.adapters.store.database import Database
from caxton.domain.buckets import Buckets
from caxton.domain.errors import NotAuthenticated, RateLimited
from caxton.domain.ids import Scope
from caxton.domain.permissions import BUILT_IN, KeyGrant, Permission
from caxton.service.authentication import Authentication
from caxton.service.context import Caller
from caxton.service.keys import Keys
from caxton.service.refusals import Refusals
from tests.support.stores import new_sqlite_store

WAIT = 20.0


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return new_sqlite_store(tmp_path / "caxton.db")
    return request.getfixturevalue("postgres").new_store()


@pytest.fixture
def processes(url: str) -> Iterator[list[tuple[Database, Keys, Authentication]]]:
    """What two processes have of one store."""
    databases = [Database(url), Database(url)]
    found: list[tuple[Database, Keys, Authentication]] = []
    for database in databases:
        refusals = Refusals(database, "local")
        authentication = Authentication(database, database.access_changes, refusals, home_customer="local")
        found.append((database, Keys(database, home_customer="local"), authentication))
    yield found
    for database in databases:
        database.close()


async def refused(authentication: Authentication, key: str) -> str:
    """Waits until the key is refused, and says how."""
    deadline = time.monotonic() + WAIT
    while True:
        try:
            await authentication.authenticate(key, "here", "api", "127.0.0.1")
        except NotAuthenticated as error:
            return error.message
        assert time.monotonic() < deadline, "the other process goes on with a key that was revoked"
        await asyncio.sleep(0.005)


@pytest.mark.requirement("SEC-1")
async def test_a_key_that_one_process_revokes_ends_in_the_other(
    processes: list[tuple[Database, Keys, Authentication]], url: str
) -> None:
    (_, here, mine), (other_database, _, there) = processes
    key, text = await here.create_for("acme", "one", [KeyGrant(role="operator")])
    deadline = time.monotonic() + WAIT
    while other_database.access_changes.generation() is None:  # PostgreSQL: until it listens
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    for _ in range(3):
        caller = await there.authenticate(text, "here", "api", "127.0.0.1")
        assert Permission.SERVER_INSPECT not in caller.permissions
    assert caller is await there.authenticate(text, "here", "api", "127.0.0.1"), "it is remembered"
    _, owner = await here.create_for("acme", "owner", [KeyGrant(role="admin")])
    await here.revoke(await mine.authenticate(owner, "here", "api", "127.0.0.1"), key.id)
    if url.startswith("sqlite"):
        with pytest.raises(NotAuthenticated, match="revoked"):
            await there.authenticate(text, "here", "api", "127.0.0.1")
    assert "revoked" in await refused(there, text)


async def test_what_cannot_be_confirmed_is_looked_up(
    processes: list[tuple[Database, Keys, Authentication]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (database, keys, authentication), _ = processes
    _, text = await keys.create_for("acme", "one", [KeyGrant(role="viewer")])
    monkeypatch.setattr(authentication, "_changes", _Silent())
    first = await authentication.authenticate(text, "here", "api", "127.0.0.1")
    assert first is not await authentication.authenticate(text, "here", "api", "127.0.0.1")
    assert database.access_changes is database.access_changes


async def test_keys_that_somebody_chose_are_not_looked_up_for_whoever_guesses(
    processes: list[tuple[Database, Keys, Authentication]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (_, keys, authentication), _ = processes
    await keys.create_for("acme", "weak", [KeyGrant(role="viewer")], "letmein")
    monkeypatch.setattr(authentication, "_failures", Buckets(rate=0.001, burst=5, most=10))
    for number in range(5):
        with pytest.raises(NotAuthenticated):
            await authentication.authenticate(f"guess{number}", None, "api", "2001:db8::1")
    with pytest.raises(RateLimited):
        await authentication.authenticate("letmein", None, "api", "2001:db8::2")
    caller = await authentication.authenticate("letmein", None, "api", "2001:db8:1::1")
    assert caller.name == "weak", "from another network"


class _Silent:
    def generation(self) -> int | None:
        return None


async def test_nobody_hides_a_refusal_among_others(tmp_path: Path) -> None:
    database = Database(new_sqlite_store(tmp_path / "caxton.db"))
    refusals = Refusals(database, "local")
    noisy, quiet = (
        Caller(Scope(customer=name, workspace="here"), "viewer", f"k_{name}", name, permissions=BUILT_IN["viewer"])
        for name in ("noisy", "quiet")
    )
    for number in range(250):
        await refusals.not_permitted(noisy, f"GET /{number}", "keys:manage")
    await refusals.not_permitted(quiet, "GET /v1/keys", "keys:manage")
    told = await database.read(lambda transaction: transaction.events(noisy.scope, limit=1000))
    assert len(told) == 101
    assert told[-1].payload["operation"] == "others"
    own = await database.read(lambda transaction: transaction.events(quiet.scope, limit=1000))
    assert [event.payload["operation"] for event in own] == ["GET /v1/keys"]
    database.close()
