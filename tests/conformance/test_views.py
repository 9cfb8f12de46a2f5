"""Views of the log over both stores: reading them changes nothing, so a snapshot does."""

from pathlib import Path

import pytest

from caxton.adapters.archive import FileArchive
from caxton.adapters.store.database import Database
from caxton.domain.ids import Scope
from caxton.domain.records import Transaction
from caxton.projections.views import PROJECTIONS
from caxton.service.audit_sinks import AuditLag, SinkRule
from caxton.service.context import Caller
from caxton.service.projections import Projections

CALLER = Caller(Scope(customer="acme", workspace="here"), "admin", "key_1", "boss")


@pytest.mark.requirement("OPS-4")
@pytest.mark.parametrize("view", [*PROJECTIONS])
async def test_views_follow_the_log_and_are_shown(database: Database, view: str) -> None:
    projections = Projections(database, FileArchive(Path("nowhere")))
    rebuilt = await projections.rebuild(CALLER, view)  # which is an event itself
    assert (rebuilt.as_of, rebuilt.behind) == (1, 0)
    shown = await projections.show(CALLER, view)
    assert (shown.as_of, shown.behind) == (1, 0)


@pytest.mark.requirement("OPS-4")
async def test_views_catch_up_in_the_background(database: Database) -> None:
    projections = Projections(database, FileArchive(Path("nowhere")))
    for view in PROJECTIONS:
        await projections.rebuild(CALLER, view)
    await projections.follow_all()

    def behind(transaction: Transaction) -> dict[str, int]:
        head = transaction.event_head("acme").sequence
        return {view: head - transaction.document_position("acme", view)[0] for view in PROJECTIONS}

    assert await database.read(behind) == dict.fromkeys(PROJECTIONS, 0)


@pytest.mark.requirement("OPS-4")
async def test_how_far_an_audit_sink_is_behind_is_seen(database: Database) -> None:
    await Projections(database, FileArchive(Path("nowhere"))).rebuild(CALLER, next(iter(PROJECTIONS)))
    lag = AuditLag(database, {"elsewhere": SinkRule()})
    await lag.look()
    assert lag.lags["elsewhere"].events == 1
