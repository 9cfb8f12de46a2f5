"""What a machine lacks is skipped, but not where all of it has to be there."""

import pytest

from tests.support.missing import lacking


@pytest.mark.parametrize(("ci", "outcome"), [
    (None, pytest.skip.Exception),
    ("", pytest.skip.Exception),
    ("false", pytest.skip.Exception),
    ("true", pytest.fail.Exception),
    ("1", pytest.fail.Exception),
])  # fmt: skip
def test_a_test_without_what_it_needs_fails_under_continuous_integration(
    monkeypatch: pytest.MonkeyPatch, ci: str | None, outcome: type[BaseException]
) -> None:
    monkeypatch.delenv("CI", raising=False)
    if ci is not None:
        monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="no such server"):
        lacking("no such server")
