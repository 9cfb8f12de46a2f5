"""Signatures of webhooks: GitHub's, Stripe's and those of Standard Webhooks (specification 1.0.0)."""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from caxton.domain.base64_text import decode_base64
from caxton.domain.triggers import Scheme

LONGEST_HEADER = 4_000
"""Characters of a header with signatures."""

MOST_SIGNATURES = 10
"""Of one delivery that are looked at: a sender that replaces its secret signs with both."""

LEAST_SECRET = 8
"""Bytes of a signing secret: with an empty one, such as that of "whsec_" alone, everybody could sign."""

_DELIVERY = re.compile(r"[A-Za-z0-9_:-]{1,200}")
"""An id in a header. It has no full stop, which parts what is signed."""
_EVENT = re.compile(r"[A-Za-z0-9_.:/-]{1,100}")
_SECONDS = re.compile(r"[0-9]{1,12}")
_HEX = re.compile(r"[0-9a-f]{64}")

HEADERS = frozenset(
    {
        "x-hub-signature-256",
        "x-github-delivery",
        "x-github-event",
        "stripe-signature",
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
    }
)
"""What is read of a delivery, in lower case."""

Reason = Literal["missing", "malformed", "old", "wrong"]


class SignatureError(ValueError):
    """A delivery is not signed as it should be."""

    def __init__(self, reason: Reason) -> None:
        """Say why; nothing of the delivery is quoted."""
        super().__init__(f"the signature is {reason}")
        self.reason: Reason = reason


@dataclass(frozen=True, slots=True)
class Signed:
    """What the headers of a delivery say whose signature is good."""

    delivery_id: str | None
    """None where the body says it (Stripe)."""
    event: str | None
    """Likewise (Stripe, and Standard Webhooks)."""


def verify(
    scheme: Scheme, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: float, tolerance: float
) -> Signed:
    """Checks a delivery before anything of it is read.

    Args:
        scheme: how it is signed.
        headers: by their names in lower case.
        body: as it came.
        secrets: with one of which it must be signed.
        now: seconds since the epoch.
        tolerance: seconds that the signature may be old, or ahead.

    Raises:
        SignatureError: it is not, or was so too long ago.
    """
    if scheme is Scheme.GITHUB:
        return _verify_github(headers, body, secrets)
    if scheme is Scheme.STRIPE:
        return _verify_stripe(headers, body, secrets, now, tolerance)
    return _verify_standard(headers, body, secrets, now, tolerance)


def key_of(scheme: Scheme, secret: str) -> bytes:
    """What deliveries are signed with.

    Args:
        scheme: how they are signed.
        secret: as it was found; for Standard Webhooks base64, perhaps behind "whsec_".

    Raises:
        ValueError: it is no base64, or so short that it is none; the secret is not quoted.
    """
    text = secret.strip()
    key = decode_base64(text.removeprefix("whsec_")) if scheme is Scheme.STANDARD else text.encode()
    if len(key) < LEAST_SECRET:
        raise ValueError(f"it has {len(key)} bytes, and a secret has {LEAST_SECRET} at the least")
    return key


def sign_github(secret: str, body: bytes) -> str:
    """The `X-Hub-Signature-256` of a body.

    Raises:
        ValueError: the secret is too short.
    """
    return f"sha256={hmac.new(key_of(Scheme.GITHUB, secret), body, hashlib.sha256).hexdigest()}"


def sign_stripe(secret: str, timestamp: int, body: bytes) -> str:
    """The `Stripe-Signature` of a body at a time (seconds since the epoch).

    Raises:
        ValueError: the secret is too short.
    """
    signed = f"{timestamp}.".encode() + body
    return f"t={timestamp},v1={hmac.new(key_of(Scheme.STRIPE, secret), signed, hashlib.sha256).hexdigest()}"


def sign_standard(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The `webhook-signature`: "v1," and the base64 of HMAC-SHA256 over id, time and body.

    Args:
        secret: base64, perhaps behind "whsec_".
        message_id: the same for every attempt, so that the receiver can drop repetitions.
        timestamp: seconds since the epoch.
        body: as it is sent.

    Raises:
        ValueError: the secret is no base64, or too short.
    """
    key = key_of(Scheme.STANDARD, secret)
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def _verify_github(headers: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> Signed:
    given = _header(headers, "x-hub-signature-256")
    delivery = _header(headers, "x-github-delivery")
    if not given.startswith("sha256=") or not _HEX.fullmatch(given[7:]) or not _DELIVERY.fullmatch(delivery):
        raise SignatureError("malformed")
    _compare([given], [sign_github(secret, body) for secret in secrets])
    return Signed(delivery, _event(headers.get("x-github-event")))


def _verify_stripe(
    headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: float, tolerance: float
) -> Signed:
    parts = [part.strip().partition("=") for part in _header(headers, "stripe-signature").split(",")]
    times = [value for key, _, value in parts if key == "t"]
    given = [value for key, _, value in parts if key == "v1"][:MOST_SIGNATURES]
    if len(times) != 1 or not given or not all(_HEX.fullmatch(each) for each in given):
        raise SignatureError("malformed")
    timestamp = _seconds(times[0])
    expected = [sign_stripe(secret, timestamp, body).partition("v1=")[2] for secret in secrets]
    _compare(given, expected)
    _check_age(timestamp, now, tolerance)
    return Signed(None, None)


def _verify_standard(
    headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: float, tolerance: float
) -> Signed:
    delivery = _header(headers, "webhook-id")
    time_text = _header(headers, "webhook-timestamp")
    given = _header(headers, "webhook-signature").split()[:MOST_SIGNATURES]
    if not _DELIVERY.fullmatch(delivery) or not all(each.isascii() for each in given):
        raise SignatureError("malformed")
    timestamp = _seconds(time_text)
    expected = [sign_standard(secret, delivery, timestamp, body) for secret in secrets]
    _compare(given, expected)
    _check_age(timestamp, now, tolerance)
    return Signed(delivery, None)


def _header(headers: Mapping[str, str], name: str) -> str:
    found = headers.get(name, "").strip()
    if not found:
        raise SignatureError("missing")
    if len(found) > LONGEST_HEADER:
        raise SignatureError("malformed")
    return found


def _event(text: str | None) -> str | None:
    if text is None:
        return None
    if not _EVENT.fullmatch(text):
        raise SignatureError("malformed")
    return text


def _seconds(text: str) -> int:
    if not _SECONDS.fullmatch(text):
        raise SignatureError("malformed")
    return int(text)


def _check_age(timestamp: int, now: float, tolerance: float) -> None:
    if abs(now - timestamp) > tolerance:
        raise SignatureError("old")


def _compare(given: Sequence[str], expected: Sequence[str]) -> None:
    """Compares each with each in constant time."""
    good = False
    for each in given:
        for other in expected:
            good |= hmac.compare_digest(each.encode(), other.encode())
    if not good:
        raise SignatureError("wrong")
