"""Hours of messages with a retention of an hour, on a clock that is given."""

from pathlib import Path

import pytest

from benchmarks.retention import simulate


@pytest.mark.requirement("EVT-9")
async def test_the_database_stays_as_large_as_it_is(tmp_path: Path) -> None:
    outcome = await simulate(tmp_path, hours=7, messages=300)
    third, *_, last = outcome.hours[2:]
    assert (last.messages, last.bytes) == (third.messages, pytest.approx(third.bytes, rel=0.1))
    assert last.events == pytest.approx(third.events, rel=0.1)
    assert outcome.verified
    assert outcome.archive_verified
    assert outcome.segments >= 5
