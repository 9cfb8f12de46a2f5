"""Sizes and durations as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton.domain.quantities import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("512", 512),
        ("512B", 512),
        ("1k", 1024),
        ("64MB", 64 << 20),
        ("64 MiB", 64 << 20),
        ("1.5 GiB", 3 << 29),
        (" 2 tb ", 2 << 40),
    ],
)
def test_a_size_is_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "seconds"), [("250ms", 0.25), ("30s", 30), ("1.5 m", 90), ("2min", 120), ("2 h", 7200), ("1d", 86_400)]
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "MB", "-1MB", "1 XB", "1e9", "1,5MB", "ten", "1MB 2MB"])
def test_what_is_no_size_is_told_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match='such as "64MB"'):
        parse_size(text)


@pytest.mark.parametrize("text", ["", "5", "s", "-1s", "1w", "1h30m", "soon"])
def test_what_is_no_duration_is_told_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match='such as "30s"'):
        parse_duration(text)


@given(count=st.integers(0, 1 << 50))
def test_a_size_that_is_shown_reads_back_as_about_the_same(count: int) -> None:
    shown = parse_size(format_size(count))
    assert shown == pytest.approx(count, rel=0.06, abs=0.5)


@given(value=st.one_of(st.integers(), st.floats(allow_nan=False), st.none(), st.lists(st.integers())))
def test_what_is_no_text_is_left_to_the_type(value: object) -> None:
    assert parse_size(value) == value
    assert parse_duration(value) == value


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0004, "0.4 ms"),
        (0.018, "18 ms"),
        (0.5, "0.50 s"),
        (1.42, "1.4 s"),
        (89, "89 s"),
        (90, "90 s"),
        (180, "3 min"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (9000, "2 h 30 min"),
        (259_200, "3 d"),
    ],
)
def test_durations_are_shown_for_people(seconds: float, shown: str) -> None:
    assert format_duration(seconds) == shown
