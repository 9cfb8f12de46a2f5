"""Encryption of what the workflow engine keeps: AES-256-GCM over whole payloads, with keys that only Caxton has.

The engine's database holds inputs, results, heartbeats, failures and summaries. Each is encrypted as one payload, so the engine
sees its size and the id of the key, nothing else. Ids of workflows, types, task queues and search attributes stay readable:
the engine works with them.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from pydantic import SecretStr
from temporalio.api.common.v1 import Payload
from temporalio.converter import DataConverter, DefaultFailureConverterWithEncodedAttributes, PayloadCodec

from caxton.adapters.secrets import SECRETS
from caxton.domain.errors import Hint, InvalidSettings, SecretMissing
from caxton.runtime.engine_keys import KEY_BYTES, read_key
from caxton.runtime.payloads import ENCODING, KEY_ID, PayloadLockedError
from caxton.runtime.settings_sections import EncryptionSettings

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SALT_BYTES = 16
NONCE_BYTES = 12

SALT_AFTER = 1 << 24
"""Payloads after which a new salt is taken. Nonces are random, and with one key of AES-GCM 2³² payloads are the most
(NIST SP 800-38D, 8.3). A salt makes a key of its own from the configured one, so that this bound is never near, however
long a key is used and however many processes use it."""

SALTS_KNOWN = 4_096


class EncryptionCodec(PayloadCodec):
    """Encrypts with the first key, decrypts with any; what is not encrypted passes, so that old payloads stay readable."""

    def __init__(self, keys: Sequence[SecretStr]) -> None:
        """Use `keys`, at least one.

        Raises:
            ValueError: one is not 32 bytes in base64.
        """
        found = [read_key(key) for key in keys]
        self._keys = dict(found)
        self._key_id = found[0][0]
        self._metadata = {"encoding": ENCODING, KEY_ID: self._key_id.encode()}
        self._known = lru_cache(SALTS_KNOWN)(self._derive)
        self._salt, self._left = b"", 0

    @property
    def key_ids(self) -> list[str]:
        """Ids of the keys, that which encrypts first."""
        return list(self._keys)

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """`payloads`, encrypted."""
        return [self.encrypt(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """`payloads`, decrypted.

        Raises:
            PayloadLockedError: none of the keys fits.
        """
        return [self.decrypt(payload) for payload in payloads]

    def encrypt(self, payload: Payload) -> Payload:
        """One payload, encrypted; one that is already stays."""
        if payload.metadata.get("encoding") == ENCODING:
            return payload
        if not self._left:
            self._salt, self._left = os.urandom(SALT_BYTES), SALT_AFTER
        self._left -= 1
        nonce = os.urandom(NONCE_BYTES)
        cipher = self._known(self._key_id, self._salt)
        sealed = cipher.encrypt(nonce, payload.SerializeToString(), self._metadata[KEY_ID])
        return Payload(metadata=self._metadata, data=self._salt + nonce + sealed)

    def decrypt(self, payload: Payload) -> Payload:
        """One payload, decrypted.

        Raises:
            PayloadLockedError: none of the keys fits.
        """
        if payload.metadata.get("encoding") != ENCODING:
            return payload
        key_id = payload.metadata.get(KEY_ID, b"")
        shown = key_id.decode(errors="replace")[:64]
        if shown not in self._keys:
            raise PayloadLockedError(payload)
        from cryptography.exceptions import InvalidTag

        salt, nonce, sealed = _parts(payload.data)
        try:
            plain = self._known(shown, salt).decrypt(nonce, sealed, key_id)
        except (InvalidTag, ValueError):
            raise PayloadLockedError(payload, damaged=True) from None
        return Payload.FromString(plain)

    def _derive(self, key_id: str, salt: bytes) -> "AESGCM":
        # Here, for most servers have no key, and do without what it loads.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        return AESGCM(HKDF(SHA256(), KEY_BYTES, salt, b"caxton engine payload").derive(self._keys[key_id]))


def _parts(data: bytes) -> tuple[bytes, bytes, bytes]:
    begin = SALT_BYTES + NONCE_BYTES
    return data[:SALT_BYTES], data[SALT_BYTES:begin], data[begin:]


def build_codec(settings: EncryptionSettings) -> EncryptionCodec | None:
    """The codec for the configured keys; None where there are none.

    Raises:
        InvalidSettings: a key is missing, or is none.
    """
    if not settings.keys:
        return None
    try:
        return EncryptionCodec(_keys(settings.keys))
    except ValueError as error:
        raise InvalidSettings(
            f"engine.encryption.keys: {error}", Hint(text="make one", command="caxton encryption generate")
        ) from None


def _keys(references: Iterable[str]) -> list[SecretStr]:
    try:
        return [SECRETS.get(reference) for reference in references]
    except SecretMissing as error:
        raise InvalidSettings(f"engine.encryption.keys: {error.message}", *error.hints) from None


def with_codec(converter: DataConverter, codec: EncryptionCodec | None) -> DataConverter:
    """`converter` with encryption, also of the messages and stack traces of failures, which are not payloads by themselves."""
    if codec is None:
        return converter
    return replace(converter, payload_codec=codec, failure_converter_class=DefaultFailureConverterWithEncodedAttributes)
