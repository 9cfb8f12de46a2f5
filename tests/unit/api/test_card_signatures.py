"""Signatures of agent cards: what is signed, and that others verify it."""

import json
import random
from typing import Any

import pytest
from a2a.client.card_resolver import parse_agent_card
from a2a.utils._jcs import canonicalize
from a2a.utils.signing import InvalidSignaturesError, create_signature_verifier
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jwt import PyJWK

from caxton.api.a2a_face.signatures import CardSigner, canonical
from caxton.domain.errors import InvalidSettings


def pem(key: Any) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


CARD: dict[str, Any] = {
    "name": "price",
    "description": "Prices “orders” — in €.",
    "version": "1.0.0",
    "supportedInterfaces": [{"url": "http://127.0.0.1/a2a/v1", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}],
    "capabilities": {
        "streaming": True,
        "pushNotifications": False,
        "extensions": [{"uri": "urn:x", "params": {"schema": {"minimum": 0.5, "maxItems": 5, "most": 1e21}}}],
    },
    "defaultInputModes": ["text/plain"],
    "defaultOutputModes": ["text/plain"],
    "skills": [{"id": "a", "name": "a", "description": "b", "tags": ["c"]}],
}


@pytest.mark.requirement("FAC-2")
def test_a_card_is_signed_once_however_often_it_is_asked_for() -> None:
    signer = CardSigner(pem(ec.generate_private_key(ec.SECP256R1())), "mine")  # whose signatures differ each time
    first = signer.sign(CARD, "http://127.0.0.1/keys")
    assert signer.sign(dict(CARD), "http://127.0.0.1/keys") == first
    assert signer.sign({**CARD, "name": "other"}, "http://127.0.0.1/keys") != first
    assert signer.sign(CARD, "http://localhost/keys") != first


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (ec.generate_private_key(ec.SECP256R1()), "ES256"),
        (ed25519.Ed25519PrivateKey.generate(), "EdDSA"),
        (rsa.generate_private_key(65537, 2048), "RS256"),
    ],
    ids=["P-256", "Ed25519", "RSA"],
)
def test_the_official_client_verifies_a_card(key: Any, algorithm: str) -> None:
    signer = CardSigner(pem(key), "mine")
    card = {**CARD, "signatures": [signer.sign(CARD, "http://127.0.0.1/keys")]}

    def find(kid: str | None, jku: str | None) -> PyJWK:
        assert (kid, jku) == ("mine", "http://127.0.0.1/keys")
        return PyJWK(signer.public_key)

    verify = create_signature_verifier(find, [algorithm])
    verify(parse_agent_card(json.loads(json.dumps(card))))
    changed = parse_agent_card(json.loads(json.dumps({**card, "name": "other"})))
    with pytest.raises(InvalidSignaturesError):
        verify(changed)


def test_keys_that_nobody_can_verify_are_refused() -> None:
    for text in ("no key", pem(rsa.generate_private_key(65537, 1024)), pem(ec.generate_private_key(ec.SECP256K1()))):
        with pytest.raises(InvalidSettings):
            CardSigner(text, "mine")


def test_the_canonical_form_is_that_of_rfc_8785() -> None:
    numbers = [0.0, -0.0, 1.0, 1e21, 1e20, 123456789.125, 1e-6, 1e-7, -2.5e-9, 5e-324, 1.7976931348623157e308]
    chance = random.Random(7)
    numbers += [chance.uniform(-1, 1) * 10 ** chance.randint(-30, 30) for _ in range(500)]
    value = {
        "numbers": numbers,
        "€": 'a"\\\n\x1f\x7f',
        "\U0001f600": 1,
        "\ufb33": [True, None, {}],
        "z": {"b": 1, "a": 2},
    }
    assert canonical(value) == canonicalize(value)
