"""Every event of the catalogue is made somewhere, or says which part of Caxton will make it."""

import re
from pathlib import Path

import pytest

import caxton
from caxton.domain.events import CATALOGUE

SOURCES = [path for path in Path(caxton.__file__).parent.rglob("*.py") if path.parts[-3:-1] != ("domain", "events")]


@pytest.mark.requirement("EVT-8")
def test_every_event_is_emitted_or_reserved() -> None:
    code = "\n".join(path.read_text() for path in SOURCES)
    made = set(re.findall(r"\b([A-Z]\w+)(?:\.model_validate)?\(", code))
    # Some are chosen among several, and made under another name; what happens without a server is told by the type's name.
    named = set(re.findall(r"\b([A-Z]\w+)\b", code))
    told = set(re.findall(r'"([a-z_]+)"', code))
    reserved = {kind: model for kind, model in CATALOGUE.items() if model.reserved}
    emitted = {kind: model for kind, model in CATALOGUE.items() if not model.reserved}
    assert [kind for kind, model in emitted.items() if model.__name__ not in named and kind not in told] == []
    assert [kind for kind, model in reserved.items() if model.__name__ in made] == []
