"""Texts as they stand on a terminal: widths, tables, times, Markdown that grows."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton.cli.markdown import split
from caxton.cli.output import ago, broken_at_words, plural, prose, shorten, width
from caxton.cli.tables import table
from caxton.cli.turns import step_line


@pytest.mark.parametrize(
    ("text", "columns"), [("abc", 3), ("", 0), ("日本", 4), ("e\u0301", 1), ("\x1b[31mred\x1b[0m", 3), ("✓ ok", 4)]
)
def test_width_counts_columns_and_not_characters(text: str, columns: int) -> None:
    assert width(text) == columns


@given(st.text(alphabet=st.characters(exclude_categories=["C", "Z"])), st.integers(2, 40))
def test_shortened_text_fits(text: str, columns: int) -> None:
    assert width(shorten(text, columns)) <= columns


@given(st.lists(st.lists(st.text("ab日", max_size=5), min_size=3, max_size=3), min_size=1, max_size=5))
def test_columns_of_a_table_begin_below_one_another(rows: list[list[str]]) -> None:
    widest = max(width(row[0]) for row in rows)
    for row, line in zip(rows, table(rows), strict=True):
        assert line.startswith(row[0])
        assert width(line) <= sum(max(width(each[column]) for each in rows) for column in range(3)) + 4
        if row[1]:
            assert width(line[: line.index(row[1], len(row[0]))]) >= widest


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.2, "just now"), (42, "42 s ago"), (600, "10 min ago"), (7300, "2 h ago"), (300_000, "3 d ago")],
)
def test_times_past_are_told_roughly(seconds: float, told: str) -> None:
    assert ago(datetime.now(UTC) - timedelta(seconds=seconds)) == told


def test_a_time_that_never_was() -> None:
    assert ago(None) == "never"


def test_one_and_many() -> None:
    assert (plural(1, "agent"), plural(2, "agent"), plural(0, "entry", "entries")) == (
        "1 agent",
        "2 agents",
        "0 entries",
    )


@given(st.text("ab \n`", max_size=60))
def test_markdown_is_cut_without_loss_and_never_inside_a_block_of_code(text: str) -> None:
    finished, rest = split(text)
    assert finished + rest == text
    assert finished == "" or finished.endswith("\n\n")
    assert len(re.findall(r"^ {0,3}```", finished, re.MULTILINE)) % 2 == 0


def test_finished_paragraphs_are_told_from_the_one_that_grows() -> None:
    assert split("one\n\ntwo\n\nthr") == ("one\n\ntwo\n\n", "thr")
    assert split("one\n\n```\na\n\nb") == ("one\n\n", "```\na\n\nb")


@pytest.mark.parametrize(
    ("step", "told"),
    [
        (
            {"kind": "tool", "agent": "a", "tool": "csv-tools", "function": "parse", "duration_ms": 18},
            r"^a  ⚙ csv-tools parse … +18 ms$",
        ),
        (
            {
                "kind": "tool",
                "agent": "b",
                "tool": "t",
                "function": "f",
                "depth": 1,
                "ok": False,
                "error_code": "tool_timeout",
            },
            r"^  b  ⚙ t f … +tool_timeout$",
        ),
        ({"kind": "open", "agent": "b", "by": "a", "capability": "c", "depth": 1}, r"^a  → b \(c\) …$"),
    ],
)
def test_a_step_is_one_line(step: dict[str, object], told: str) -> None:
    line = step_line(step)
    assert line is not None
    assert re.match(told, line), line


@pytest.mark.parametrize("step", [{"kind": "model", "agent": "a"}, {"kind": "open", "agent": "a"}, {"kind": "new"}, {}])
def test_steps_that_tell_a_person_nothing_are_left_out(step: dict[str, object]) -> None:
    assert step_line(step) is None


IDS = ["k_06h2vvbczepf8t5v2m7682", "k_06h2vyqe2nnyzymancw7n7"]
KEYS = [["admin", "admin", "14 min ago", IDS[0]], ["anna", "viewer operator:shop", "9 s ago", IDS[1]]]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    def of(columns: int) -> None:
        for module in ("caxton.cli.output", "caxton.cli.tables"):
            monkeypatch.setattr(f"{module}.is_terminal", lambda stream=None: True)
            monkeypatch.setattr(f"{module}.columns", lambda stream=None: columns)
        monkeypatch.setenv("NO_COLOR", "1")

    return of


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_a_table_fits_and_nothing_in_it_is_cut(terminal: Callable[[int], None], columns: int) -> None:
    terminal(columns)
    lines = table(KEYS, ["name", "roles", "made", "id"])
    assert all(width(line) <= columns for line in lines)
    text = " ".join("\n".join(lines).split())
    assert all(cell in text for row in KEYS for cell in row)
    assert "…" not in text


def test_rows_that_do_not_fit_become_paragraphs_with_the_headers_of_their_further_cells(
    terminal: Callable[[int], None],
) -> None:
    terminal(50)
    assert table(KEYS, ["name", "roles", "made", "id"]) == [
        "name   roles                 made",
        "admin  admin                 14 min ago",
        f"  id {IDS[0]}",
        "anna   viewer operator:shop  9 s ago",
        f"  id {IDS[1]}",
    ]


@pytest.mark.parametrize("columns", range(30, 80, 7))
def test_prose_in_a_table_is_broken_between_words(terminal: Callable[[int], None], columns: int) -> None:
    terminal(columns)
    said = "Finds the data that a question is about, and answers the question."
    lines = table([["fetch-data", said]], ["capability", "what it is"])
    assert all(width(line) <= columns for line in lines)
    assert " ".join("\n".join(lines).replace("fetch-data", "").split()).endswith(said)


def test_a_number_and_its_unit_stay_together() -> None:
    assert broken_at_words("made 14 min ago", 12) == ["made 14 min", "ago"]
    assert broken_at_words("made 14 min ago", 8) == ["made", "14 min", "ago"]


def test_a_command_at_the_end_of_a_sentence_is_not_broken(
    terminal: Callable[[int], None], capsys: pytest.CaptureFixture[str]
) -> None:
    terminal(60)
    prose("Shown this once. Use it as CAXTON_API_KEY; undo with: caxton key revoke k_06h2vyqe2nnyzymancw7n7")
    assert "\n  caxton key revoke k_06h2vyqe2nnyzymancw7n7\n" in capsys.readouterr().out
