"""Versions, and ranges of them."""

import time
from collections.abc import Callable

import pytest
from pydantic import ValidationError

from caxton.domain.capabilities import VERSION_LENGTH, CapabilityRequest, check_version, check_version_range
from caxton.domain.tools import ToolManifest


@pytest.mark.parametrize("check", [check_version, check_version_range])
def test_a_version_of_any_length_is_refused_at_once(check: Callable[[str], str]):
    begun = time.thread_time()
    for text in ("||".join(["1.0.0"] * 60_000), "1.0.0-" + "a." * 200_000, "9" * 400_000, "1" * (VERSION_LENGTH + 1)):
        with pytest.raises(ValueError, match="200 characters at most") as caught:
            check(text)
        assert len(str(caught.value)) < 200
    assert time.thread_time() - begun < 0.5


def test_it_is_refused_wherever_it_comes_in():
    long = "||".join(["1.0.0"] * 100)
    with pytest.raises(ValidationError, match="200 characters"):
        CapabilityRequest(name="analyze-data", version_range=long)
    with pytest.raises(ValidationError, match="200 characters"):
        CapabilityRequest.parse(f"analyze-data@{long}")
    with pytest.raises(ValidationError, match="200 characters"):
        ToolManifest.model_validate({"name": "a", "module": "m.wasm", "version": f"1.0.0-{'a' * 300}"})


def test_a_range_of_200_characters_is_taken():
    text = "||".join(["1.0.0"] * 50)[:198].rstrip("|.0")
    assert check_version_range(text) == text
