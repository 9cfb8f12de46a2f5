"""Lines of a stream end where its protocol says, however the stream is cut into blocks."""

import itertools
import json

from hypothesis import given
from hypothesis import strategies as st

from caxton.client.lines import LineSplitter
from caxton.domain.json_text import json_line

ODD = st.text(st.sampled_from("ab\n\r\u2028\u2029\u0085\x0b\x0c\x1c\x1e\ufeffä😀"), max_size=30)


def split(content: bytes, cuts: list[int], *, events: bool) -> list[str]:
    splitter = LineSplitter(events=events)
    places = sorted({0, len(content), *(cut % (len(content) + 1) for cut in cuts)})
    lines = [line for start, end in itertools.pairwise(places) for line in splitter.feed(content[start:end])]
    return [*lines, splitter.rest()]


@given(ODD, st.lists(st.integers(0, 200), max_size=10))
def test_lines_of_json_end_at_line_feeds(text: str, cuts: list[int]) -> None:
    assert split(text.encode(), cuts, events=False) == text.removeprefix("\ufeff").split("\n")


@given(ODD, st.lists(st.integers(0, 200), max_size=10))
def test_lines_of_events_also_end_at_carriage_returns(text: str, cuts: list[int]) -> None:
    wanted = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    assert split(text.encode(), cuts, events=True) == wanted


@given(ODD)
def test_a_line_of_json_is_one_for_every_reader(text: str) -> None:
    line = json_line({"text": text})
    assert len(line.splitlines()) == 1
    assert json.loads(line) == {"text": text}
