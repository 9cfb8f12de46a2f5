"""`caxton schedule`."""

from pathlib import Path

import pytest

from tests.api.test_schedules import scheduled
from tests.cli.conftest import RunCli
from tests.support.deploying import write_files


@pytest.mark.requirement("AGT-9")
def test_schedules_are_listed_paused_run_and_made_up_for(run_cli: RunCli, folder: Path) -> None:
    assert run_cli("schedule", "list").out.startswith("no agent has a schedule")
    write_files(folder, {**scheduled(interval="1h"), **scheduled("other", interval="2h")})
    assert run_cli("deploy").code == 0
    listed = run_cli("schedule", "list")
    assert "clock/tick  every 60 min" in listed.out or "clock/tick  every 1 h" in listed.out
    assert run_cli("schedule", "list", "--agent", "other", "--json").data["schedules"][0]["interval"] == 7200.0

    twice = run_cli("schedule", "show", "tick")
    assert (twice.code, "2 agents have a schedule" in twice.err) == (2, True)
    unknown = run_cli("schedule", "pause", "tikc", "--json")
    assert (unknown.error["code"], unknown.error["hints"][0]["text"]) == ("not_found", 'did you mean "tick"?')
    similar = run_cli("schedule", "show", "clock/tikc", "--json").error
    assert 'did you mean "tick"?' in [hint["text"] for hint in similar["hints"]]

    assert "is paused" in run_cli("schedule", "pause", "clock/tick", "--reason", "spring cleaning").out
    assert "paused: spring cleaning" in run_cli("schedule", "list").out
    assert run_cli("schedule", "pause", "clock/tick").code != 0
    assert run_cli("schedule", "trigger", "clock/tick", "--wait").out.startswith("done: due 20")
    assert "accepted" in run_cli("schedule", "trigger", "clock/tick").out
    made_up = run_cli("schedule", "backfill", "clock/tick", "--from", "3h")
    assert "3 due times from" in made_up.out
    assert run_cli("schedule", "backfill", "clock/tick", "--from", "yesterday").code == 2
    assert "goes on: due next in" in run_cli("schedule", "resume", "clock/tick").out
    shown = run_cli("schedule", "show", "clock/tick")
    assert "by hand by founder:admin" in shown.out
    assert "next: " in shown.out
