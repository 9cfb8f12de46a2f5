"""Keys that encrypt the engine's payloads, as text. Loads no engine, for the command line makes and shows them."""

import base64
import binascii
import hashlib
import os

from pydantic import SecretStr

from caxton.domain.secrets import ENGINE_KEY_PREFIX

KEY_BYTES = 32


def new_key() -> str:
    """A new key, as settings refer to it."""
    return ENGINE_KEY_PREFIX + base64.urlsafe_b64encode(os.urandom(KEY_BYTES)).decode().rstrip("=")


def read_key(text: SecretStr) -> tuple[str, bytes]:
    """A key's id, which gives nothing away of it, and the key.

    Raises:
        ValueError: it is none.
    """
    encoded = (
        text.get_secret_value().strip().removeprefix(ENGINE_KEY_PREFIX).replace("+", "-").replace("/", "_").rstrip("=")
    )
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise ValueError(f"this is not a key for the engine: a key is {KEY_BYTES} random bytes in base64")
    return hashlib.sha256(b"caxton engine key\0" + key).hexdigest()[:16], key
