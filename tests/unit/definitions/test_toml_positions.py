"""Every key and value of a TOML file is found at the characters where it stands."""

import math
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path as File
from typing import Any

import pytest
from hypothesis import assume, given, settings
from toml_documents import DOCUMENTS, SCALARS, STRINGS

import caxton
from caxton.definitions.toml_positions import Path, find_positions, line_starts, locate, string_offsets
from caxton.definitions.toml_source import TomlSource, read_toml


def paths_of(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if path:
        yield path, value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths_of(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from paths_of(inner, (*path, index))


def same(first: Any, second: Any) -> bool:
    if isinstance(first, float) and math.isnan(first):
        return isinstance(second, float) and math.isnan(second)
    return first == second


def parsed(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        assume(False)
        raise


@settings(max_examples=200, deadline=None)
@given(DOCUMENTS)
def test_the_paths_are_those_that_tomllib_finds(text: str) -> None:
    data = parsed(text)
    found = find_positions(text)
    assert set(found.values) == {path for path, _ in paths_of(data)}
    assert {path for path in found.keys if isinstance(path[-1], str)} == {
        path for path, _ in paths_of(data) if isinstance(path[-1], str)
    }


@settings(max_examples=200, deadline=None)
@given(DOCUMENTS)
def test_each_span_holds_its_key_or_value_and_nothing_else(text: str) -> None:
    data = parsed(text)
    found = find_positions(text)
    for path, value in paths_of(data):
        span = found.values[path]
        literal = text[span.start : span.end]
        if not isinstance(value, dict) and not literal.startswith("[["):
            assert same(tomllib.loads(f"x = {literal}")["x"], value)
        if isinstance(path[-1], str):
            key = found.keys[path]
            assert list(tomllib.loads(f"{text[key.start : key.end]} = 1")) == [path[-1]]


@settings(max_examples=200, deadline=None)
@given(STRINGS)
def test_each_character_of_a_string_is_found_in_its_literal(literal: str) -> None:
    value = parsed(f"x = {literal}")["x"]
    offsets = string_offsets(literal)
    assert len(offsets) == len(value)
    assert offsets == sorted(offsets)
    for offset, character in zip(offsets, value, strict=True):
        assert literal[offset] in (character, "\\")


@given(SCALARS)
def test_a_value_is_followed_by_its_comment(literal: str) -> None:
    assume("\n" not in literal)
    found = find_positions(f"a = {literal} # [c] = 1\nb = 2")
    assert set(found.values) == {("a",), ("b",)}


SOURCE = """\
name = "a"   # comment
"quoted key" . 'b c'.d = [ 1, { x = "é", y.z = [] } ]

[limits]
steps = 3

[[capabilities]]
name = '''
two
lines'''
[[capabilities]]
name = "second"
[capabilities.more]
deep = true
"""


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        (("name",), (1, 1, "name"), (1, 8, '"a"')),
        (("quoted key",), (2, 1, '"quoted key"'), (2, 1, '"quoted key"')),
        (("quoted key", "b c", "d"), (2, 22, "d"), (2, 26, '[ 1, { x = "é", y.z = [] } ]')),
        (("quoted key", "b c", "d", 1), None, (2, 31, '{ x = "é", y.z = [] }')),
        (("quoted key", "b c", "d", 1, "x"), (2, 33, "x"), (2, 37, '"é"')),
        (("quoted key", "b c", "d", 1, "y", "z"), (2, 44, "z"), (2, 48, "[]")),
        (("limits",), (4, 2, "limits"), (4, 1, "[limits]")),
        (("limits", "steps"), (5, 1, "steps"), (5, 9, "3")),
        (("capabilities", 0), (7, 3, "capabilities"), (7, 1, "[[capabilities]]")),
        (("capabilities", 0, "name"), (8, 1, "name"), (8, 8, "'''\ntwo\nlines'''")),
        (("capabilities", 1), (11, 3, "capabilities"), (11, 1, "[[capabilities]]")),
        (("capabilities", 1, "more"), (13, 15, "more"), (13, 1, "[capabilities.more]")),
        (("capabilities", 1, "more", "deep"), (14, 1, "deep"), (14, 8, "true")),
    ],
)
def test_lines_and_columns_count_from_one(
    path: Path, key: tuple[int, int, str] | None, value: tuple[int, int, str]
) -> None:
    found = find_positions(SOURCE)
    starts = line_starts(SOURCE)
    span = found.values[path]
    assert (*locate(starts, span.start), SOURCE[span.start : span.end]) == value
    if key:
        span = found.keys[path]
        assert (*locate(starts, span.start), SOURCE[span.start : span.end]) == key


def test_windows_line_ends_and_a_byte_order_mark_are_no_matter() -> None:
    source = read_toml("x.toml", "\ufeffname = 1\r\nother = 2\r\n")
    assert isinstance(source, TomlSource)
    problem = source.problem(("other",), "wrong")
    assert (problem.line, problem.column, problem.width) == (2, 9, 1)


def test_large_strings_are_walked_quickly() -> None:
    text = 'a = """' + 'x"y\\n\n' * 150_000 + '"""\nb = 1\n'
    assert find_positions(text).values["b",].start == len(text) - 2


def test_no_pattern_repeats_a_group_possessively() -> None:
    """Python 3.11.0 to 3.11.4 match such a group wrongly (gh-100061, gh-106052): Debian 12 has 3.11.2."""
    for module in File(caxton.__file__).parent.rglob("*.py"):
        assert not re.search(r"\)[*+?]\+", module.read_text()), module
