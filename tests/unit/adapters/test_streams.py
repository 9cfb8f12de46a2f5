"""Live deltas: whoever listens gets the whole text, whenever it came."""

from hypothesis import given
from hypothesis import strategies as st

from caxton.adapters.streams import REMEMBERED_TEXT, LocalStream
from caxton.domain.ids import ExecutionId
from caxton.domain.ports import StreamEvent

TURN = ExecutionId("x_1")


@given(pieces=st.lists(st.text(min_size=1, max_size=10), max_size=20), data=st.data())
def test_a_listener_gets_all_text_in_order_whenever_it_comes(pieces: list[str], data: st.DataObject) -> None:
    stream = LocalStream()
    joins = data.draw(st.integers(0, len(pieces)))
    heard: list[StreamEvent] = []
    for position, piece in enumerate(pieces):
        if position == joins:
            stream.subscribe(TURN, heard.append)
        stream.publish(TURN, "delta", {"text": piece})
    if joins == len(pieces):
        stream.subscribe(TURN, heard.append)
    assert "".join(event.data["text"] for event in heard) == "".join(pieces)
    ends = [int(event.id) for event in heard]
    assert ends == sorted(ends)
    assert ends[-1:] == ([len("".join(pieces))] if pieces else [])


def test_a_step_ends_the_text_and_leaving_ends_everything() -> None:
    stream = LocalStream()
    first: list[StreamEvent] = []
    leave = stream.subscribe(TURN, first.append)
    stream.publish(TURN, "delta", {"text": "I will look"})
    stream.publish(TURN, "step", {})
    late: list[StreamEvent] = []
    stream.subscribe(TURN, late.append)
    assert late == []
    leave()
    leave()
    stream.publish(TURN, "delta", {"text": "42"})
    stream.publish(ExecutionId("x_2"), "delta", {"text": "of another"})
    assert [event.kind for event in first] == ["delta", "step"]
    assert [event.data for event in late] == [{"text": "42"}]


def test_what_is_remembered_for_late_listeners_is_bounded() -> None:
    stream = LocalStream()
    for _ in range(2 * REMEMBERED_TEXT // 1000):
        stream.publish(TURN, "delta", {"text": "x" * 1000})
    late: list[StreamEvent] = []
    stream.subscribe(TURN, late.append)
    assert REMEMBERED_TEXT <= len(late[0].data["text"]) <= REMEMBERED_TEXT + 1000
