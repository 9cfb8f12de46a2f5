"""Server-sent events: what comes out is what went in, however it is cut."""

import json

from hypothesis import given
from hypothesis import strategies as st

from caxton.client.sse import EventParser, StreamEvent

values = st.dictionaries(st.text(max_size=8), st.text(max_size=20) | st.integers(), min_size=1, max_size=4)
words = st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789.+", min_size=1, max_size=12)


def parse(text: str) -> list[StreamEvent]:
    parser = EventParser()
    return [event for line in text.split("\n") if (event := parser.feed(line))]


@given(st.lists(st.tuples(words, words, values), max_size=6), st.booleans())
def test_events_come_out_as_they_went_in(events: list[tuple[str, str, dict[str, object]]], commented: bool) -> None:
    comment = ": still here\n\n" if commented else ""
    text = "".join(
        f"{comment}id: {identity}\nevent: {kind}\ndata: {json.dumps(data)}\n\n" for identity, kind, data in events
    )
    assert parse(text) == [StreamEvent(identity, kind, data) for identity, kind, data in events]


@given(st.text())
def test_no_input_makes_the_parser_fail(text: str) -> None:
    parse(text)


def test_data_over_several_lines_is_joined() -> None:
    assert parse('data: {"a":\ndata: 1}\n\n') == [StreamEvent("", "message", {"a": 1})]


def test_an_event_that_breaks_off_is_not_delivered() -> None:
    assert parse('event: delta\ndata: {"text": "x"}') == []


def test_the_id_stays_until_another_one_comes() -> None:
    first, second = parse('id: 7\ndata: {"a": 1}\n\ndata: {"a": 2}\n\n')
    assert (first.id, second.id) == ("7", "7")


def test_the_server_may_say_when_to_come_back() -> None:
    parser = EventParser()
    parser.feed("retry: 1500")
    assert parser.retry == 1.5
    parser.feed("retry: soon")
    assert parser.retry == 1.5
