"""How values become payloads of the engine and come back: as JSON, with pydantic."""

from temporalio.contrib.pydantic import PydanticJSONPlainPayloadConverter
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultPayloadConverter,
    JSONPlainPayloadConverter,
)

_JSON = PydanticJSONPlainPayloadConverter()


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
            )
        )


data_converter = DataConverter(payload_converter_class=PayloadConverter)
"""What client, worker and replayer convert with."""
