"""Events to a webhook, signed like notices (https://www.standardwebhooks.com)."""

from collections.abc import Sequence

from caxton.adapters.webhooks import post
from caxton.domain.channels import Channel
from caxton.domain.events import Event


class WebhookSink:
    """The AuditSink port over HTTP. One request a batch; who gets it can tell repetitions by customer and sequence."""

    def __init__(self, channel: Channel) -> None:
        """Send to `channel`."""
        self._channel = channel

    async def send(self, events: Sequence[Event]) -> None:
        """Sends events in one request.

        Raises:
            ChannelFailed: it was refused, or nothing answered.
        """
        first, last = events[0], events[-1]
        message_id = f"audit_{first.customer_id}_{first.sequence}_{last.sequence}"
        payload = {
            "type": "caxton.events",
            "timestamp": last.timestamp.isoformat(timespec="milliseconds"),
            "data": {
                "customer": first.customer_id,
                "first_sequence": first.sequence,
                "last_sequence": last.sequence,
                "events": [event.model_dump(mode="json") for event in events],
            },
        }
        await post(self._channel, message_id, payload)

    async def close(self) -> None:
        """Nothing is kept open."""
