"""Seals: texts that the server gives to a client, and takes back only unchanged, from the same caller, for the same purpose.

The server keeps nothing of them. They are signed with a secret that all servers of a database share, so any replica takes back
what another one gave, also after a restart. A seal is no permission: whoever brings one back is checked like anybody else.
"""

import base64
import hashlib
import hmac
import json
import secrets
import time
from typing import Any

from caxton.domain.json_text import compact_encoder
from caxton.domain.records import Records
from caxton.service.context import Caller

LONGEST = 4_096
"""Characters of a seal."""

_NAME = "seals"
_EXPIRES = "exp"
_encode = compact_encoder(sort_keys=True)


class SealBroken(Exception):
    """A text is no seal, was changed, belongs to another caller or purpose, or has expired."""


class Seals:
    """Gives out seals and takes them back."""

    def __init__(self, records: Records) -> None:
        """Keep the secret in `records`."""
        self.records = records
        self._secret: bytes | None = None

    async def seal(self, purpose: str, caller: Caller, facts: dict[str, Any], *, lasts: float | None = None) -> str:
        """A text that stands for `facts`, which it does not hide.

        Args:
            purpose: what it is for; another purpose does not take it.
            caller: who may bring it back: the same principal in the same workspace.
            facts: JSON values; the same make the same text, unless it expires.
            lasts: seconds for which it is good; None forever.
        """
        told = facts if lasts is None else {**facts, _EXPIRES: int(time.time() + lasts)}
        body = _text(_encode(told).encode())
        return f"{body}.{_sign(await self._key(), purpose, caller, body)}"

    async def open(self, purpose: str, caller: Caller, seal: str) -> dict[str, Any]:
        """The facts that `seal` stands for.

        Raises:
            SealBroken: it was not given to this caller for this purpose, or was changed, or has expired.
        """
        body, dot, signature = seal.partition(".")
        if not dot or len(seal) > LONGEST or not seal.isascii():
            raise SealBroken("it is no seal")
        if not hmac.compare_digest(signature, _sign(await self._key(), purpose, caller, body)):
            raise SealBroken("its signature is not good")
        facts: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        if facts.pop(_EXPIRES, time.time()) < time.time() - 1:
            raise SealBroken("it has expired")
        return facts

    async def _key(self) -> bytes:
        if self._secret is None:
            found = await self.records.read(lambda transaction: transaction.server_secret(_NAME))
            if found is None:
                fresh = secrets.token_hex(32)
                found = await self.records.write(lambda transaction: transaction.offer_server_secret(_NAME, fresh))
            self._secret = bytes.fromhex(found)
        return self._secret


def _sign(key: bytes, purpose: str, caller: Caller, body: str) -> str:
    """The signature as text. The text is compared, for several texts may stand for the same bytes."""
    scope = caller.scope
    bound = "\0".join((purpose, scope.customer, scope.workspace, caller.principal, body))
    return _text(hmac.new(key, bound.encode(), hashlib.sha256).digest())


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
