"""`caxton retention`"""

import time

import pytest

from tests.cli.conftest import RunCli


@pytest.mark.requirement("EVT-9")
def test_periods_are_shown_and_set(echo: RunCli) -> None:
    shown = echo("retention", "show")
    assert shown.out.count("forever") == 6
    assert echo("ask", "echo", "hello").code == 0
    time.sleep(1.1)
    refused = echo("retention", "set", "--steps", "1s")
    assert refused.code == 2
    assert "1 steps" in refused.err
    assert "--yes" in refused.err
    done = echo("retention", "set", "--steps", "1s", "--messages", "30d", "--yes")
    assert done.code == 0, done.err
    assert "messages       30 d" in done.out
    kept = echo("retention", "set", "--steps", "forever", "--json").data["periods"]
    assert {each["kind"]: each["seconds"] for each in kept}["messages"] == 30 * 86_400
    assert echo("retention", "set", "--messages", "default", "--json").code == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "nothing to set"),
        (("--steps", "soon"), "is not a time"),
        (("--executions", "10d"), "executions cannot go before messages"),
        (("--steps", "0s"), "steps"),
    ],
)
def test_what_makes_no_sense_is_refused(echo: RunCli, arguments: tuple[str, ...], says: str) -> None:
    refused = echo("retention", "set", *arguments)
    assert refused.code in (2, 3)
    assert says in refused.err


@pytest.mark.requirement("EVT-9")
def test_storage_tells_what_takes_how_much(echo: RunCli) -> None:
    assert echo("ask", "echo", "hello").code == 0
    shown = echo("storage", "--tables")
    assert shown.code == 0, shown.err
    for word in ("database", "engine", "data folder", "messages", "events in the database", "contents"):
        assert word in shown.out
    assert echo("storage", "--json").data["own"]["rows"]["messages"] == 2
