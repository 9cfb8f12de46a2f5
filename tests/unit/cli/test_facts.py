"""Data as people read it."""

from datetime import UTC, datetime

import pytest

from caxton.cli.facts import facts, value_text


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("latency_ms", 1234.5, "1.2 s"),
        ("size_bytes", 2048, "2 KB"),
        ("memory_mb", 64, "64 MB"),
        ("cost_usd", 0.5, "$0.5000"),
        ("count", 12345, "12,345"),
        ("is_error", False, "no"),
        ("state", "RolledBack", "rolled back"),
        ("digest", "ab" * 32, "abababababab"),
        ("tools", ["a", "b"], "a, b"),
        ("limits", {"memory_mb": 2, "none": None}, "memory 2 MB"),
        ("text", "red \x1b[31m", "red \\x1b[31m"),
        ("nothing", None, ""),
    ],
)
def test_values_have_their_unit_and_nothing_raw(name: str, value: object, text: str) -> None:
    assert value_text(name, value) == text


def test_a_moment_is_local_and_short() -> None:
    moment = datetime(2020, 5, 4, 12, 30, 45, 123456, tzinfo=UTC)
    assert value_text("at", moment.isoformat()) == f"{moment.astimezone():%Y-%m-%d %H:%M}"


def test_objects_are_tables_and_what_is_empty_is_left_out() -> None:
    document = {
        "updated": None,
        "name": "poet",
        "capabilities": [],
        "by_agent": {"clerk": {"calls": 2}},
        "offers": [{"name": "write", "version": "1.0.0"}, {"name": "sing", "version": None}],
    }
    assert facts(document) == [
        "name  poet",
        "by agent",
        "  clerk  calls 2",
        "offers",
        "  write  1.0.0",
        "  sing",
    ]


def test_a_document_may_be_any_value() -> None:
    assert facts(["a", 1], indent="  ") == ["  a, 1"]
