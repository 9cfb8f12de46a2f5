"""Cron expressions: what is taken is what the engine understands, and everything else is told with a fix."""

import pytest

from caxton.domain.cron import CronError, check_cron


@pytest.mark.requirement("AGT-9")
@pytest.mark.parametrize(
    "text",
    [
        "* * * * *",
        "0 7 * * mon-fri",
        "0 7 * * MON,Wed",
        "*/15 8-18/2 * jan-mar 1-5",
        "0 0 1,15 * *",
        "30 2 29 2 *",
        "5/20 * * * *",
        "0 9 * * 7",
        "@daily",
        "@yearly",
    ],
)
def test_an_expression_that_comes_due_is_taken(text: str) -> None:
    check_cron(text)


@pytest.mark.requirement("AGT-9")
@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "has five fields, and this has 0", "such as"),
        ("0 7 * *", "this has 4", "such as"),
        ("0 0 7 * * *", "this has 6", "such as"),
        ("@noon", 'there is no "@noon"', "@hourly"),
        ("60 * * * *", '"60" is not a minute', "from 0 to 59"),
        ("0 24 * * *", '"24" is not an hour', "from 0 to 23"),
        ("0 0 0 * *", '"0" is not a day of the month', "from 1 to 31"),
        ("0 0 * 13 *", '"13" is not a month', "jan to dec"),
        ("0 0 * * fr", '"fr" is not a day of the week', "sun to sat"),
        ("0 0 * * fri-mon", '"fri-mon" is not a day of the week', "write it in two parts: 5-7,0-1"),
        ("*/0 * * * *", '"*/0" is not a minute', "from 1 to 59"),
        ("1,,2 * * * *", '"" is not a minute', "from 0 to 59"),
        ("0 9 30 2 *", "this day never comes", "the month has"),
        ("0 9 31 4,6 *", "this day never comes", "the month has"),
        ("0 9 13 * fri", "days of the month and days of the week", "two schedules"),
        ("٣ * * * *", "is not a minute", "from 0 to 59"),
        ("1" * 150 + " * * * *", "is not a minute", "from 0 to 59"),
    ],
)
def test_an_expression_that_says_nothing_is_told_with_a_fix(text: str, message: str, hint: str) -> None:
    with pytest.raises(CronError) as told:
        check_cron(text)
    assert message in str(told.value)
    assert hint in told.value.hint
