"""The text of API keys: recognisable for scanners of secrets, with a checksum that tells a mistyped key without a database.

A key is `cx_` and 46 letters and digits: 40 random ones (238 bits) and the CRC-32 of those in base 62, 6 digits. As a regular
expression: `\\bcx_[0-9A-Za-z]{46}\\b`. Keys of earlier versions are `cx_` and 43 characters of URL-safe Base64; they stay valid.
"""

import hashlib
import re
import secrets
import zlib
from enum import StrEnum

PREFIX = "cx_"
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM, _CHECK = 40, 6
_MADE = re.compile(rf"cx_([0-9A-Za-z]{{{_RANDOM}}})([0-9A-Za-z]{{{_CHECK}}})")
_MADE_EARLIER = re.compile(r"cx_[\w-]{43}", re.ASCII)


class KeyForm(StrEnum):
    """What a text looks like."""

    MADE = "made"
    """One that Caxton has made: nobody guesses it."""
    DAMAGED = "damaged"
    """One that Caxton has made, with a mistake in it."""
    OTHER = "other"
    """Anything else: what somebody has chosen."""


def new_key() -> str:
    """A new API key."""
    text = "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))
    return f"{PREFIX}{text}{_checksum(text)}"


def hash_key(key: str) -> str:
    """The SHA-256 under which a key is kept. Keys are over 200 random bits, so a fast hash is enough."""
    return hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()


def form_of(key: str) -> KeyForm:
    """What `key` looks like."""
    made = _MADE.fullmatch(key)
    if made:
        return KeyForm.MADE if _checksum(made[1]) == made[2] else KeyForm.DAMAGED
    return KeyForm.MADE if _MADE_EARLIER.fullmatch(key) else KeyForm.OTHER


def _checksum(text: str) -> str:
    number, digits = zlib.crc32(text.encode()), ""
    for _ in range(_CHECK):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits
