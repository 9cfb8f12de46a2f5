"""A reply ends before the first text that its client names, however it comes in pieces."""

from hypothesis import given
from hypothesis import strategies as st

from caxton.api.openai_face.stops import Stops, cut

LETTERS = "ab#"


@given(
    st.lists(st.text(LETTERS, max_size=4), max_size=12), st.lists(st.text(LETTERS, min_size=1, max_size=3), max_size=3)
)
def test_pieces_together_are_what_the_whole_text_is(pieces: list[str], stops: list[str]) -> None:
    filtered = Stops(stops)
    told = "".join(filtered.take(piece) for piece in pieces) + filtered.rest()
    whole = "".join(pieces)
    places = [place for stop in stops if (place := whole.find(stop)) >= 0]
    assert cut(whole, stops) == (whole[: min(places)] if places else whole)
    assert whole.startswith(told)
    if not places:
        assert told == whole


def test_what_may_be_the_beginning_of_a_stop_is_held_back() -> None:
    stops = Stops(["END"])
    assert [stops.take(piece) for piece in ("a E", "N", "x E", "ND b", "c")] == ["a ", "", "ENx ", "", ""]
    assert stops.rest() == ""
    assert stops.reached
