"""What events say to people: counted nouns agree with their number, and no value shows how the program writes it."""

import re
import string

import pytest

from caxton.domain.events.envelope import Event
from caxton.domain.events.payload import CATALOGUE, Payload
from caxton.domain.events.tools import ToolGrantCreated, ToolRightsRefused
from caxton.domain.plurals import plural

KINDS = list(CATALOGUE.values())


def fields_of(sentence: str) -> list[tuple[str, str]]:
    """The names in braces, each with the noun that it counts."""
    return [(name, noun or "") for _, name, noun, _ in string.Formatter().parse(sentence) if name]


@pytest.mark.parametrize("payload", KINDS, ids=lambda payload: payload.event_type)
def test_each_name_in_a_sentence_is_one_of_its_event(payload: type[Payload]) -> None:
    known = payload.model_fields.keys() | Event.model_fields.keys() | {"version", "agent", "name", "target"}
    assert [name for name, _ in fields_of(payload.sentence) if name not in known] == []


@pytest.mark.parametrize("payload", KINDS, ids=lambda payload: payload.event_type)
def test_what_is_counted_agrees_with_its_number(payload: type[Payload]) -> None:
    counts = {name for name, field in payload.model_fields.items() if field.annotation is int}
    before_a_noun = re.findall(r"\{(\w+)\} [a-z]{3,}s\b", payload.sentence)
    assert [name for name in before_a_noun if name in counts] == []
    nouns = {noun for name, noun in fields_of(payload.sentence) if name in counts and noun}
    assert all(re.fullmatch(r"[a-z ]+", noun) for noun in nouns)


def test_lists_and_objects_are_told_in_words() -> None:
    granted = ToolGrantCreated(grant_id="tg_1", tool="weather", rights=["https://api.example.com", "HOME"])
    assert granted.tell({}) == 'tool "weather" was granted https://api.example.com, HOME'
    refused = ToolRightsRefused(
        tool="weather",
        function="now",
        refused=[{"kind": "network", "what": "https://other.example.com", "why": "not_requested", "count": 1}],
    )
    assert refused.tell({}) == "weather.now was refused https://other.example.com"


@pytest.mark.parametrize(
    ("count", "noun", "said"),
    [
        (1, "event", "1 event"),
        (0, "event", "0 events"),
        (2, "capability", "2 capabilities"),
        (1, "delivery", "1 delivery"),
        (90, "day", "90 days"),
        (2, "key", "2 keys"),
    ],
)
def test_a_noun_agrees_with_its_number(count: int, noun: str, said: str) -> None:
    assert plural(count, noun) == said
