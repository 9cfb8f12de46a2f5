"""Triggers: deployed, and what became of deliveries."""

from datetime import datetime
from typing import ClassVar

from caxton.domain.events.payload import Category, Payload


class TriggerEvent(Payload):
    """What happened to a trigger of an agent."""

    category: ClassVar[Category] = "trigger"
    trigger: str


class TriggerDeployed(TriggerEvent):
    """A deployment made a trigger live, or changed it."""

    sentence: ClassVar[str] = "{agent} has the trigger {trigger} ({scheme})"
    scheme: str
    events: list[str] = []
    """Kinds of events that it takes; all if empty."""


class TriggerRemoved(TriggerEvent):
    """A deployment removed a trigger, or the agent that had it."""

    sentence: ClassVar[str] = "{agent} no longer has the trigger {trigger}"


class DeliveryAccepted(TriggerEvent):
    """A signed delivery became a request. Each is accepted once."""

    sentence: ClassVar[str] = "trigger {trigger} of {agent} accepted delivery {delivery_id}: {size_bytes:byte}"
    delivery_id: str
    kind: str | None = None
    """The kind of event, as the sender names it."""
    size_bytes: int
    body_hash: str


class CountedTriggerEvent(TriggerEvent):
    """Frequent events: counted, and recorded at most once per minute."""

    count: int
    first_at: datetime
    last_at: datetime


class DeliveriesRefused(CountedTriggerEvent):
    """Deliveries were refused, such as for a wrong signature."""

    sentence: ClassVar[str] = "trigger {trigger} of {agent} refused {count:delivery}: {reason}"
    reason: str
    """"signature missing", "signature malformed", "signature wrong", "signature old", "too large"."""


class DeliveriesFailed(CountedTriggerEvent):
    """Deliveries were signed correctly, but their requests could not be accepted. The sender got the reason."""

    sentence: ClassVar[str] = "trigger {trigger} of {agent} could not accept {count:delivery}: {reason}"
    reason: str
    """The code of the error."""


class DeliveriesRepeated(CountedTriggerEvent):
    """Deliveries were repeated that had been accepted before."""

    sentence: ClassVar[str] = "{count:delivery} repeated to trigger {trigger} of {agent}"
