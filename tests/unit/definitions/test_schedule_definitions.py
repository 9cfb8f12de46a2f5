"""`[[schedules]]` of an agent's file: all that is wrong is told at once, where it stands, with a fix."""

from pathlib import Path

import pytest

from caxton.definitions.agents import read_agent
from caxton.definitions.workspace import load_workspace
from tests.support.deploying import write_files

AGENT = """\
name = "clock"
version = "1.0.0"
capabilities = ["tell-time", { name = "count" }]

[parameters]
city = "Berlin"

[[schedules]]
name = "morning"
"""


def problems(more: str) -> list[tuple[int | None, str, str]]:
    reading = read_agent("clock.toml", {"clock.toml": (AGENT + more).encode()})
    return [(each.line, each.message, each.hint or "") for each in reading.problems]


@pytest.mark.requirement("AGT-9", "AGT-2")
@pytest.mark.parametrize(
    ("more", "line", "message", "hint"),
    [
        ('cron = "0 7 * *"\ncontent = "x"', 10, "a cron expression has five fields", "such as"),
        ('cron = "0 7 * * *"\ntime_zone = "Europe/Berln"\ncontent = "x"', 11, "no time zone", "Europe/Berlin"),
        ('cron = "0 7 * * *"\ntime_zone = "CET/x"\ncontent = "x"', 11, "no time zone", ""),
        ('interval = 0\ncontent = "x"', 10, '"interval" must be at least 1, not 0', ""),
        ('interval = "0s"\ncontent = "x"', 10, '"interval" must be at least 1 s', ""),
        ('interval = "1500ms"\ncontent = "x"', 10, "an interval has whole seconds", "1s"),
        ('interval = "soon"\ncontent = "x"', 10, '"interval" must be a duration', "30s"),
        ('content = "x"', 8, "does not say when", "cron ="),
        ('cron = "@daily"\ninterval = "1h"\ncontent = "x"', 11, "a cron expression or an interval", "remove one"),
        ('interval = "1h"\ncapability = "tell-tme"\ncontent = "x"', 11, 'does not offer "tell-tme"', "tell-time"),
        ('interval = "1h"\noverlap = "queue"\ncontent = "x"', 11, '"queue" is not possible here', "buffer"),
        ('interval = "1h"\ncatch_up = "1s"\ncontent = "x"', 11, '"catch_up" must be at least 10 s', ""),
        ('interval = "1h"\ncontent = "{{ parameters.town }}"', 11, "town", ""),
        ('interval = "1h"\ncontent = "{{ schedule.day }}"', 11, "day", ""),
        ('interval = "1h"\ncontent = "{{ request }}"', 11, "request", ""),
        ('interval = "1h"', 8, '"content" is missing', "content ="),
        (
            'interval = "1h"\ncontent = "x"\n\n[[schedules]]\nname = "morning"\ncron = "@daily"\ncontent = "y"',
            14,
            'the schedule "morning" is given twice',
            "line 9",
        ),
    ],
)
def test_what_is_wrong_is_told_where_it_stands(more: str, line: int, message: str, hint: str) -> None:
    found = problems(more)
    assert len(found) == 1, found
    assert found[0][0] == line
    assert message in found[0][1]
    assert hint in found[0][2]


@pytest.mark.requirement("AGT-9")
def test_a_good_schedule_is_read_with_its_defaults() -> None:
    text = AGENT + 'cron = "0 7 * * mon-fri"\ncontent = "Good morning, {{ parameters.city }}: {{ schedule.date }}"\n'
    reading = read_agent("clock.toml", {"clock.toml": text.encode()})
    assert reading.value is not None
    [schedule] = reading.value.version.spec.schedules
    assert (schedule.time_zone, schedule.overlap, schedule.catch_up, schedule.jitter, schedule.paused) == (
        "UTC",
        "skip",
        600,
        0,
        False,
    )
    assert schedule.timing == "0 7 * * mon-fri UTC"


@pytest.mark.requirement("AGT-9")
def test_many_mistakes_are_told_at_once(tmp_path: Path) -> None:
    more = 'cron = "7"\ntime_zone = "Mars"\ncapability = "fly"\ncontent = "{{ nothing }}"\n'
    workspace = load_workspace(write_files(tmp_path, {"agents/clock.toml": AGENT + more}))
    assert [problem.line for problem in workspace.errors] == [10, 11, 12, 13]
