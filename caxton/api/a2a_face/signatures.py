"""Signatures of agent cards: JSON Web Signatures over the canonical form of RFC 8785."""

import json
import math
from typing import Any, Final, cast

from caxton.domain.errors import InvalidSettings
from caxton.domain.ids import Digest, digest_of

_ALGORITHMS: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_LEAST_RSA: Final = 2048

MOST_SIGNED: Final = 1_000
"""Signatures that are remembered."""

_LARGEST_WHOLE: Final = 2**53
"""Numbers are those of ECMAScript: beyond this, not every whole one is."""


class CardSigner:
    """Signs cards with one private key."""

    def __init__(self, private_key: str, key_id: str) -> None:
        """Load a key.

        Args:
            private_key: in PEM, unencrypted: of an elliptic curve (P-256, P-384, P-521), Ed25519 or RSA (2048 bits or more).
            key_id: what clients know it by.

        Raises:
            InvalidSettings: it is no such key.
        """
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            self._key: Any = load_pem_private_key(private_key.encode(), password=None)
        except (ValueError, TypeError) as error:
            raise InvalidSettings(
                "the key for agent cards is no private key in PEM",
                "make one with `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`",
                reason=type(error).__name__,
            ) from None
        self.key_id = key_id
        self._algorithm = _algorithm_of(self._key)
        self._signed: dict[Digest, dict[str, str]] = {}

    def sign(self, card: dict[str, Any], keys_url: str) -> dict[str, str]:
        """The signature of a card, as the card has it; `keys_url` says where the public key is."""
        content = canonical(card).encode()
        # Everybody may ask for cards, without a key, and to sign with a long one takes milliseconds.
        place = digest_of(keys_url.encode() + b"\0" + content)
        known = self._signed.get(place)
        if known is None:
            if len(self._signed) >= MOST_SIGNED:
                self._signed.clear()
            known = self._signed[place] = self._sign(content, keys_url)
        return dict(known)

    def _sign(self, content: bytes, keys_url: str) -> dict[str, str]:
        from jwt.api_jws import PyJWS

        headers = {"kid": self.key_id, "jku": keys_url, "typ": "JOSE"}
        signed = PyJWS().encode(content, self._key, algorithm=self._algorithm, headers=headers)
        protected, _, signature = signed.split(".")
        return {"protected": protected, "signature": signature}

    @property
    def public_key(self) -> dict[str, Any]:
        """The public key as a JSON Web Key."""
        from jwt.algorithms import get_default_algorithms

        algorithm: Any = get_default_algorithms()[self._algorithm]
        key: dict[str, Any] = json.loads(algorithm.to_jwk(self._key.public_key()))
        return {**key, "kid": self.key_id, "alg": self._algorithm, "use": "sig"}


def _algorithm_of(key: Any) -> str:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    if isinstance(key, EllipticCurvePrivateKey) and key.curve.name in _ALGORITHMS:
        return _ALGORITHMS[key.curve.name]
    if isinstance(key, Ed25519PrivateKey):
        return "EdDSA"
    if isinstance(key, RSAPrivateKey) and key.key_size >= _LEAST_RSA:
        return "RS256"
    raise InvalidSettings(
        "the key for agent cards is of a kind that clients do not verify",
        "take one of the curve P-256, of Ed25519, or of RSA with 2048 bits or more",
    )


def canonical(value: Any) -> str:
    """JSON as RFC 8785 writes it, of which there is one form."""
    if isinstance(value, dict):
        # The order is that of UTF-16, in which the largest characters do not come last.
        found = cast("dict[str, Any]", value)
        names = sorted(found, key=lambda name: name.encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(f"{_text(name)}:{canonical(found[name])}" for name in names) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, cast("list[Any]", value))) + "]"
    if isinstance(value, int) and abs(value) > _LARGEST_WHOLE:
        value = float(value)
    if isinstance(value, float):
        return _number(value)
    return _text(value)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _number(value: float) -> str:
    """A number as ECMAScript writes it: the same digits as Python's, and other exponents."""
    if not math.isfinite(value):
        raise ValueError("a number that is none has no canonical form")
    if value == 0:
        return "0"
    sign, digits = ("-", repr(-value)) if value < 0 else ("", repr(value))
    mantissa, _, exponent = digits.partition("e")
    whole, _, part = mantissa.partition(".")
    part = "" if part == "0" else part
    point = len(whole) + int(exponent or 0)
    every = (whole + part).lstrip("0")
    point -= len(whole + part) - len(every)
    every = every.rstrip("0")
    count = len(every)
    if count <= point <= 21:
        return sign + every + "0" * (point - count)
    if 0 < point <= 21:
        return f"{sign}{every[:point]}.{every[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{every}"
    power = f"e{'+' if point > 0 else '-'}{abs(point - 1)}"
    return f"{sign}{every}{power}" if count == 1 else f"{sign}{every[0]}.{every[1:]}{power}"
