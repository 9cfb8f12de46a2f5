"""The REST reference."""

from caxton.api.reference import TARGET, description


def test_the_rest_reference_is_not_stale() -> None:
    assert TARGET.read_text() == description(), "run: make docs"
