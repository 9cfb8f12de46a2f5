"""Problems as they stand on a terminal. More of them: wrong_workspaces/*/expected.txt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton.definitions.render import count_problems, render_problems
from caxton.domain.problems import Problem


def problem(file: str = "a.toml", line: int = 1, column: int = 1, width: int = 1, **more: str) -> Problem:
    return Problem.model_validate(
        {"file": file, "line": line, "column": column, "width": width, "message": "wrong", **more}
    )


def test_nothing_is_said_of_no_problems() -> None:
    assert render_problems([], {}) == ""


def test_the_line_before_the_line_itself_a_marker_and_a_hint_are_shown() -> None:
    text = 'tools = [\n  "csv-tools", "chart_generator",\n]\n'
    found = problem("agents/my-analyzer.toml", 2, 16, 17, message='unknown tool "chart_generator"', hint="mend it")
    assert render_problems([found], {"agents/my-analyzer.toml": text}) == (
        'error: agents/my-analyzer.toml:2:16: unknown tool "chart_generator"\n'
        "    1 │ tools = [\n"
        '    2 │   "csv-tools", "chart_generator",\n'
        "      │                ^^^^^^^^^^^^^^^^^\n"
        "  hint: mend it\n"
        "1 error in 1 file. Nothing was changed.\n"
    )


def test_a_problem_of_a_whole_file_has_no_place() -> None:
    assert render_problems([problem(width=0)], {"a.toml": "x"}).startswith("error: a.toml: wrong\n1 error")


def test_a_file_that_is_not_at_hand_is_not_shown() -> None:
    assert render_problems([problem()], {}) == "error: a.toml:1:1: wrong\n1 error in 1 file. Nothing was changed.\n"


def test_problems_come_by_file_and_place_and_each_once() -> None:
    problems = [problem("b.toml"), problem("a.toml", 10), problem("a.toml", 9), problem("a.toml", 10)]
    heads = [line for line in render_problems(problems, {}).split("\n") if line.startswith("error")]
    assert heads == ["error: a.toml:9:1: wrong", "error: a.toml:10:1: wrong", "error: b.toml:1:1: wrong"]


@pytest.mark.parametrize(
    ("errors", "warnings", "text"),
    [
        (1, 0, "1 error in 1 file. Nothing was changed."),
        (2, 1, "2 errors and 1 warning in 3 files. Nothing was changed."),
        (0, 2, "2 warnings in 2 files."),
    ],
)
def test_they_are_counted(errors: int, warnings: int, text: str) -> None:
    problems = [problem(f"{n}.toml") for n in range(errors)]
    problems += [problem(f"w{n}.toml", severity="warning") for n in range(warnings)]
    assert count_problems(problems) == text


def test_the_outcome_is_the_callers() -> None:
    assert count_problems([problem()], "Not deployed.") == "1 error in 1 file. Not deployed."
    assert count_problems([problem()], "") == "1 error in 1 file."


def marked(line: str, column: int, width: int) -> tuple[str, str]:
    """The line as it is shown, and the marker below it."""
    shown, marker = render_problems([problem(column=column, width=width)], {"a.toml": line}).split("\n")[1:3]
    return shown.partition("│ ")[2], marker.partition("│ ")[2]


def test_tabs_and_wide_characters_do_not_move_the_marker() -> None:
    assert marked('\tname = "名前" x', 15, 1) == (' name = "名前" x', " " * 16 + "^")


def test_of_a_long_line_the_part_around_the_marker_is_shown() -> None:
    shown, marker = marked("x" * 500 + "HERE" + "y" * 500, 501, 4)
    assert len(shown) <= 122
    assert shown.startswith("…")
    assert shown.endswith("…")
    assert shown[marker.index("^") : marker.index("^") + 4] == "HERE"
    assert marker.count("^") == 4


def test_nothing_in_a_file_reaches_the_terminal_as_a_command() -> None:
    evil = 'name = "\x1b[2J\x07\u202e"'
    text = render_problems([problem(message=evil, hint=evil, file="\x1b.toml")], {"\x1b.toml": evil})
    assert not {"\x1b", "\x07", "\u202e"} & set(text)


@given(st.text(), st.integers(1, 50), st.integers(1, 300), st.integers(0, 300))
def test_any_place_in_any_text_is_rendered(text: str, line: int, column: int, width: int) -> None:
    rendered = render_problems([problem(line=line, column=column, width=width)], {"a.toml": text})
    assert rendered.endswith("Nothing was changed.\n")


def test_windows_line_ends_leave_no_trace() -> None:
    assert "\r" not in render_problems([problem(line=2)], {"a.toml": "one\r\ntwo\r\n"})
