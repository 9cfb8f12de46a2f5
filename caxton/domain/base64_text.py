"""Base64 as different programs write it."""

import base64
import binascii
import re

_DATA_URL = re.compile(r"data:[^,]{0,200};base64,", re.IGNORECASE)
_SPACE = re.compile(r"\s+", re.ASCII)


def decode_base64(text: str) -> bytes:
    """The bytes that a text stands for: also wrapped into lines (MIME, PEM), URL-safe, without padding, or as a data URL.

    Raises:
        ValueError: it is not base64.
    """
    text = _SPACE.sub("", _DATA_URL.sub("", text, count=1) if text[:5].lower() == "data:" else text)
    if "-" in text or "_" in text:
        if "+" in text or "/" in text:
            raise ValueError("it mixes two alphabets of base64")
        text = text.replace("-", "+").replace("_", "/")
    digits = text.rstrip("=")
    if len(text) - len(digits) > 2 or len(digits) % 4 == 1:
        raise ValueError("it is not base64")
    try:
        return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("it is not base64") from None
