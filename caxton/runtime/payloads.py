"""How values become payloads of the engine and come back: as JSON, with pydantic."""

import logging
from typing import Any, ClassVar

from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import PydanticJSONPlainPayloadConverter
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultPayloadConverter,
    EncodingPayloadConverter,
    JSONPlainPayloadConverter,
)

ENCODING = b"binary/encrypted"
"""Marks a payload as encrypted (:mod:`caxton.runtime.encryption`), as in Temporal's own examples."""

KEY_ID = "encryption-key-id"

log = logging.getLogger(__name__)

_JSON = PydanticJSONPlainPayloadConverter()


class PayloadLockedError(Exception):
    """A payload that no key of this server opens. No CaxtonError: it must not end a workflow, whose work waits for the key."""

    def __init__(self, payload: Payload, *, damaged: bool = False) -> None:
        """Of an encrypted payload."""
        self.key_id = payload.metadata.get(KEY_ID, b"").decode(errors="replace")[:64]
        super().__init__(
            f"a payload of the engine is damaged: its key {self.key_id} does not open it"
            if damaged
            else f"the engine has payloads that were encrypted with the key {self.key_id}, which this server does not have: "
            "put a reference to it into engine.encryption.keys, and start the server again"
        )


class _Locked(EncodingPayloadConverter):
    """Takes what is still encrypted when it should be read, to say what is missing."""

    _told: ClassVar[set[str]] = set()

    @property
    def encoding(self) -> str:
        return ENCODING.decode()

    def to_payload(self, value: Any) -> Payload | None:  # noqa: ARG002
        return None  # nothing is made so: encryption is the codec's

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:  # noqa: ARG002
        error = PayloadLockedError(payload)
        if error.key_id not in self._told:  # the engine asks again and again
            self._told.add(error.key_id)
            log.error("%s", error)
        raise error


class PayloadConverter(CompositePayloadConverter):
    """Temporal's pydantic converter, with one cache of type adapters for all of its instances.

    The SDK makes a new converter for each activation of a workflow. With a cache in each, the adapters of all types would be
    built again every time: more than half of what a batch of messages costs the worker.
    """

    def __init__(self) -> None:
        """A converter as good as any other."""
        super().__init__(
            *(
                _JSON if isinstance(converter, JSONPlainPayloadConverter) else converter
                for converter in DefaultPayloadConverter.default_encoding_payload_converters
            ),
            _Locked(),
        )


data_converter = DataConverter(payload_converter_class=PayloadConverter)
"""What client, worker and replayer convert with."""
