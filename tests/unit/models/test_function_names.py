"""Names of functions on the wire: what providers accept, and never two functions under one name."""

import re
from typing import Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from caxton.adapters.models.function_names import wire_name

Kind = Literal["tool", "capability"]

servers = st.from_regex(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?", fullmatch=True)
tools = st.builds("{}.{}".format, servers, st.text(min_size=1, max_size=128))
capabilities = servers | st.builds("{}@^{}.0".format, servers, st.integers(0, 9))
functions = st.tuples(tools, st.just("tool")) | st.tuples(capabilities, st.just("capability"))


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("csv-tools.parse", "tool", "csv-tools__parse"),
        ("http.get_json", "tool", "http__get_json"),
        ("analyze-data", "capability", "ask__analyze-data"),
    ],
)
def test_ordinary_names_stay_readable(name: str, kind: Kind, expected: str):
    assert wire_name(name, kind) == expected


@given(function=functions)
@example(function=("a" * 63 + "." + "b" * 128, "tool"))
def test_every_name_is_one_that_providers_accept(function: tuple[str, Kind]):
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", wire_name(*function))
    assert wire_name(*function) == wire_name(*function)


@given(one=functions, other=functions)
@example(one=("a.b__c", "tool"), other=("a__b.c", "tool"))
@example(one=("ask.summarize", "tool"), other=("summarize", "capability"))
@example(one=("a.b c", "tool"), other=("a.b_c", "tool"))
@example(one=("s." + "f" * 100, "tool"), other=("s." + "f" * 101, "tool"))
def test_different_functions_have_different_names(one: tuple[str, Kind], other: tuple[str, Kind]):
    assert (wire_name(*one) == wire_name(*other)) == (one == other)
