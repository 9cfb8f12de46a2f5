"""Base64 as other programs write it."""

import base64
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caxton.domain.base64_text import decode_base64


@given(st.binary(max_size=200), st.booleans(), st.booleans(), st.sampled_from(["\n", "\r\n", "\n  "]), st.booleans())
def test_every_way_of_writing_it_is_read(content: bytes, safe: bool, padded: bool, end: str, as_url: bool) -> None:
    text = (base64.urlsafe_b64encode if safe else base64.b64encode)(content).decode()
    text = text if padded else text.rstrip("=")
    text = end.join(textwrap.wrap(text, 76)) + end
    assert decode_base64(f"data:image/png;base64,{text}" if as_url else text) == content


@pytest.mark.parametrize("text", ["a", "a+b_", "ab=c", "====", "ab!c", "äöü="])
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="base64"):
        decode_base64(text)
