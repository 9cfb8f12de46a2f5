"""Decrypting for people what the workflow engine keeps encrypted, and encrypting what they send it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from google.protobuf import json_format
from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadCodec

from caxton.domain.errors import EngineKeyMissing, InvalidInput, InvalidState
from caxton.domain.events.system import PayloadsDecoded
from caxton.service.context import Caller
from caxton.service.tallies import Tallies


class Codec:
    """Use cases on payloads of the engine."""

    def __init__(self, codec: PayloadCodec | None, tallies: Tallies) -> None:
        """Work with `codec`, None where the engine keeps plain text; `tallies` counts who looks."""
        self._codec = codec
        self._tallies = tallies

    async def decode(self, caller: Caller, payloads: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Payloads, decrypted; those that are not encrypted stay.

        Raises:
            InvalidInput: one is not a payload.
            EngineKeyMissing: the server does not have a key, or a payload is damaged.
            StoreUnavailable: it cannot be told in the log, so nothing is shown.
        """
        found = _read(payloads)

        def told(count: int, first: datetime, last: datetime) -> PayloadsDecoded:
            return PayloadsDecoded(count=count, first_at=first, last_at=last)

        if self._tallies.read(caller, "payloads", told):
            await self._tallies.tell()
        if self._codec is None:
            return list(payloads)
        try:
            return _written(await self._codec.decode(found))
        except Exception as error:  # the codec's own, which workflows must not take for theirs
            raise EngineKeyMissing("a payload cannot be decrypted", reason=str(error)[:300]) from None

    async def encode(self, caller: Caller, payloads: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:  # noqa: ARG002
        """Payloads, encrypted.

        Raises:
            InvalidInput: one is not a payload.
            InvalidState: the server has no key.
        """
        found = _read(payloads)
        if self._codec is None:
            raise InvalidState(
                "this server has no key to encrypt with", "set keys in [engine.encryption] of its caxton.toml"
            )
        return _written(await self._codec.encode(found))


def _read(payloads: Sequence[dict[str, Any]]) -> list[Payload]:
    try:
        return [json_format.ParseDict(each, Payload()) for each in payloads]
    except (json_format.ParseError, ValueError, TypeError, AttributeError):
        raise InvalidInput("this is not a payload of the engine: metadata and data in Base64") from None


def _written(payloads: Sequence[Payload]) -> list[dict[str, Any]]:
    return [json_format.MessageToDict(each) for each in payloads]
