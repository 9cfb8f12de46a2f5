"""How many values a JSON text has is known before it is read."""

import json
import time
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton.domain.errors import InvalidInput
from caxton.domain.strict_json import MOST_VALUES, has_more_values, read_json

VALUES = st.recursive(
    st.none() | st.integers(0, 9) | st.text(alphabet='a",\\\\[{]}:', max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet='a",\\\\[{', max_size=4), inner, max_size=4)
    ),
)


def count(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(map(count, cast("dict[str, Any]", value).values()))
    return 1 + sum(map(count, cast("list[Any]", value))) if isinstance(value, list) else 1


@given(value=VALUES)
def test_values_are_counted(value: Any):
    content, values = json.dumps(value).encode(), count(value)
    assert not has_more_values(content, 2 * values)  # a list may be counted twice
    assert values < 8 or has_more_values(content, values // 4)


@pytest.mark.parametrize(
    "content",
    [
        b"[" + b"1," * 1_900_000 + b"1]",
        b"[" * 60 + b"1," * 1_900_000 + b"1" + b"]" * 60,
        b"[" + b"{}," * 1_000_000 + b"1]",
        b"[" + b'"",' * 1_000_000 + b"1]",
        b'["a' + b'\\",' * 10 + b'",' + b"1," * 1_000_000 + b"1]",
    ],
)
def test_too_many_are_refused_at_once(content: bytes):
    begun = time.thread_time()
    with pytest.raises(InvalidInput, match="more than 100,000 values"):
        read_json(content, "the body")
    assert time.thread_time() - begun < 1


def test_marks_within_texts_are_none():
    text = '",\\\\[{' * MOST_VALUES
    assert read_json(json.dumps([text]), "the body") == [text]


@pytest.mark.parametrize("part", [b"x", b"\\n", b'\\"', b"\\\\", b"\\u00e9", b"1", "é".encode()])
def test_one_long_text_is_read_in_little_more_time_than_it_takes_to_copy_it(part: bytes) -> None:
    """What a message of 16 MB costs the interpreter that all share."""
    content = b'{"content":"' + part * (8_000_000 // len(part)) + b'"}'
    began = time.process_time()
    assert len(json.loads(content)["content"])
    plainly = time.process_time() - began
    began = time.process_time()
    read_json(content, "it")
    assert time.process_time() - began < 10 * plainly + 0.05
