"""A wall clock that went back is told once, and says until when what is due waits; also if it did while no server ran."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from caxton.adapters.store.database import Database
from caxton.domain.errors import CaxtonError
from caxton.domain.events.system import ServerStopped
from caxton.domain.ids import Scope
from caxton.domain.records import EventFilter
from caxton.recording import journal
from caxton.service.server_log import ServerLog
from caxton.service.wall_clock import WallClock

pytestmark = pytest.mark.requirement("AGT-9")

HOUR = timedelta(hours=1)


class Clock:
    """One that is set."""

    def __init__(self) -> None:
        self.moment = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.moment


def new_wall_clock(database: Database, clock: Clock, on_set_back: Callable[[], None] = lambda: None) -> WallClock:
    return WallClock(database, ServerLog(database, "local", "1"), on_set_back, clock)


def told(database: Database) -> list[dict[str, object]]:
    wanted = EventFilter(types=frozenset({"clock_set_back"}))
    return [
        dict(event.payload)
        for event in database.read_now(lambda transaction: transaction.events(Scope(), wanted, limit=10))
    ]


async def test_a_clock_that_goes_back_is_told_once_and_until_it_has_caught_up(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    clock, backwards = Clock(), list[datetime]()
    wall_clock, latest = new_wall_clock(database, clock, lambda: backwards.append(clock.moment)), clock.moment
    await wall_clock.look()
    for back in (timedelta(seconds=4), timedelta(0), -HOUR):  # a little, not at all, forward
        clock.moment = latest - back
        await wall_clock.look()
        assert await wall_clock.check() == "right"
    assert (told(database), backwards) == ([], [])
    latest = clock.moment
    with caplog.at_level(logging.WARNING):
        for passed in (0, 1, 3594):
            clock.moment = latest - HOUR + timedelta(seconds=passed)
            await wall_clock.look()
            with pytest.raises(CaxtonError, match=r"the clock went back by .*: what is due waits until") as caught:
                await wall_clock.check()
            assert latest.isoformat(sep=" ", timespec="seconds") in caught.value.message
    [event] = told(database)
    assert event["behind_s"] == 3600.0
    assert datetime.fromisoformat(str(event["until"])) == latest
    assert len(caplog.records) == len(backwards) == 1
    clock.moment = latest + timedelta(seconds=1)
    await wall_clock.look()
    assert await wall_clock.check() == "right"
    clock.moment -= HOUR
    await wall_clock.look()
    assert len(told(database)) == 2, "and once more when it goes back once more"


async def test_a_clock_that_went_back_while_no_server_ran_is_told_by_the_next(database: Database) -> None:
    clock = Clock()
    for customer, ahead in (("local", timedelta(0)), ("other", HOUR)):
        scope, event = Scope(customer=customer), ServerStopped(server_id="before")
        when = journal.note(scope, event, customer).model_copy(update={"timestamp": clock.moment + ahead})
        database.write_now(lambda transaction, scope=scope, when=when: transaction.add_events(scope, [when]))
    backwards = list[datetime]()
    await new_wall_clock(database, clock, lambda: backwards.append(clock.moment)).look()
    assert not backwards, "the engine began with the clock as it is"
    [event] = told(database)
    assert datetime.fromisoformat(str(event["until"])) == clock.moment + HOUR, "the latest time of all logs"
    for _ in range(2):  # each server tells it, and the log has it once for each
        await new_wall_clock(database, clock).look()
    assert len(told(database)) == 3


async def test_what_the_store_does_not_take_is_told_by_the_next_look(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    wall_clock = new_wall_clock(database, clock)
    await wall_clock.look()
    clock.moment -= HOUR

    async def refuse(*_: object) -> None:
        raise CaxtonError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(wall_clock.server_log, "clock_set_back", refuse)
        with pytest.raises(CaxtonError, match="no room"):
            await wall_clock.look()
    await wall_clock.look()
    assert len(told(database)) == 1
