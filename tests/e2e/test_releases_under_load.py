"""Releases while messages come in: nothing is lost, nothing is answered by two versions, conversations stay on theirs."""

from pathlib import Path

import pytest

from benchmarks import releases
from tests.conftest import RunningServer


@pytest.mark.requirement("DEP-5", "DEP-6", "DEP-7", "DEP-9")
def test_versions_change_under_load_without_one_lost_or_wrongly_answered_message(
    caxton_server: RunningServer, workspace: str, tmp_path: Path
) -> None:
    """The benchmark in small. The machine may be slow: a number of messages goes by between two changes, not a time."""
    with caxton_server.client(workspace) as api:
        target = releases.Target(caxton_server.url, caxton_server.api_key, tmp_path, api, workspace)
        found = releases.run(target, rate=30, between=15, starts=2)
    assert found.due > 0
    assert found.refused < found.due
    assert (found.lost, found.executions, found.answered_twice, found.moved, found.late) == (0, 0, 0, 0, 0), found
    assert found.versions == {"v1", "v2", "v3", "v4", "v5"}, "messages came in under each of them"
    assert set(releases.TARGETS) < set(found.seconds), "each command was given"
