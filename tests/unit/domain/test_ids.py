"""Ids are unique, sort by time or derive from their parts, and are safe wherever they go."""

import re
import time

from hypothesis import given
from hypothesis import strategies as st

from caxton.domain.ids import NAME_PATTERN, derived_id, digest_of, is_name, new_id

parts = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x1f"), max_size=20), min_size=1, max_size=4)


def test_new_ids_differ_and_sort_by_the_millisecond_that_made_them() -> None:
    made: list[str] = []
    for _ in range(20):
        made.append(new_id("c"))
        time.sleep(0.002)
    assert made == sorted(made)
    assert len({new_id("c") for _ in range(10_000)}) == 10_000


@given(parts=parts, others=parts)
def test_derived_ids_are_the_same_for_the_same_parts_only(parts: list[str], others: list[str]) -> None:
    assert derived_id("x", *parts) == derived_id("x", *parts)
    if parts != others:
        assert derived_id("x", *parts) != derived_id("x", *others)
    assert derived_id("x", *parts) != derived_id("m", *parts)


@given(parts=parts)
def test_ids_are_safe_in_addresses_and_file_names(parts: list[str]) -> None:
    for made in (new_id("x"), derived_id("x", *parts)):
        assert re.fullmatch(r"x_[0-9a-hjkmnp-tv-z]{22}", made)


@given(content=st.binary(max_size=200))
def test_a_digest_is_the_content_address(content: bytes) -> None:
    assert re.fullmatch("[0-9a-f]{64}", digest_of(content))
    assert digest_of(content) == digest_of(bytes(content))
    assert digest_of(content) != digest_of(content + b"!")


@given(text=st.text(max_size=80))
def test_names_hold_nothing_that_a_path_or_an_address_could_misread(text: str) -> None:
    if is_name(text):
        assert 1 <= len(text) <= 63
        assert text.isascii()
        assert text == text.lower()
        assert not set(text) & set("/\\.:%?#& \n")
    else:
        assert re.fullmatch(NAME_PATTERN, text) is None or text.endswith("\n")


def test_a_name_does_not_end_in_a_newline() -> None:
    assert not is_name("analyst\n")
    assert not is_name("-analyst")
    assert is_name("a")
    assert is_name("data-fetcher_2")
