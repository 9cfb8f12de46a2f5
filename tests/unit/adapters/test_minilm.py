"""The bundled model gives the vectors of the original, whatever it is asked along with."""

import json
import time
from pathlib import Path

import pytest

from caxton.adapters.memory import minilm
from caxton.adapters.memory.minilm import MiniLM

REFERENCE = json.loads((Path(__file__).parent / "minilm_reference.json").read_text())


@pytest.fixture(scope="module")
def model() -> MiniLM:
    return MiniLM()


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def test_vectors_are_those_of_the_original(model: MiniLM) -> None:
    vectors = model.embed(REFERENCE["texts"])
    for vector, first in zip(vectors, REFERENCE["first8"], strict=True):
        assert len(vector) == 384
        assert vector[:8] == pytest.approx(first, abs=0.01)
        assert cosine(vector, vector) == pytest.approx(1.0, abs=1e-4)
    for row, expected in enumerate(REFERENCE["cosine"]):
        found = [cosine(vectors[row], other) for other in vectors[: len(expected)]]
        assert found == pytest.approx(expected, abs=0.01)


def test_a_vector_does_not_depend_on_its_batch(model: MiniLM) -> None:
    alone = [model.embed([text])[0] for text in REFERENCE["texts"][:5]]
    together = model.embed([*REFERENCE["texts"][:5], "a much longer text " * 60])
    for one, other in zip(alone, together, strict=False):
        assert cosine(one, other) > 0.9999


@pytest.mark.parametrize("text", ["", " ", "\u0000", "🦉" * 500, "e\u0301", "x" * 100_000])
def test_odd_texts_have_a_vector_too(model: MiniLM, text: str) -> None:
    [vector] = model.embed([text])
    assert cosine(vector, vector) == pytest.approx(1.0, abs=1e-4)


def test_the_model_is_given_up_when_nobody_uses_it_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "IDLE", 0.3)
    model = MiniLM()
    assert not model.is_loaded
    [first] = model.embed(["hello"])
    deadline = time.monotonic() + 20
    while model.is_loaded:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    [again] = model.embed(["hello"])
    assert cosine(first, again) > 0.9999
