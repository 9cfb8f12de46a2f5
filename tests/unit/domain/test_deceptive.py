"""What deceives the eye of an approver is shown."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from caxton.domain.deceptive import is_deceptive, mixed_words, revealed, revealed_json


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("pay 10\u202e00.1\u202c to", "pay 10<U+202E>00.1<U+202C> to"),
        ("a\u200bb\u2060\ufeff\u00ad\u3164", "a<U+200B>b<U+2060><U+FEFF><U+00AD><U+3164>"),
        ("to\u034f \u115fBo\ufe01b\u180b", "to<U+034F> <U+115F>Bo<U+FE01>b<U+180B>"),
        ("\U000e0041hidden\x1b[2J", "<U+E0041>hidden<U+001B>[2J"),
        ("Zoë, 東京\n\tשלום 😀", "Zoë, 東京\n\tשלום 😀"),
    ],
)
def test_invisible_and_reordering_characters_are_shown_by_their_numbers(text: str, shown: str) -> None:
    assert revealed(text) == shown


@given(st.text())
@example("\x7f")
def test_escaped_json_means_the_same(text: str) -> None:
    escaped = revealed_json(json.dumps({"to": text}, ensure_ascii=False, indent=2))
    assert json.loads(escaped) == {"to": text}
    assert not any(is_deceptive(each) for each in escaped)


def test_words_of_several_alphabets_are_named() -> None:
    assert mixed_words("send to p\u0430ypal.com, Привет, Zoë, Ωμέγα") == ["p\u0430ypal: U+0430 cyrillic small letter a"]
