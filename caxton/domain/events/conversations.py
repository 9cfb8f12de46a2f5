"""Routing, messages and conversations (Caxton event model, phases 3 and 5)."""

from typing import ClassVar, Literal

from pydantic import AliasChoices, Field

from caxton.domain.events.payload import Category, Payload


class RoutingEvent(Payload):
    """What the router decided."""

    category: ClassVar[Category] = "routing"


class SkillsDiscovered(RoutingEvent):
    """A client asked which capabilities there are."""

    sentence: ClassVar[str] = "found {count:capability}"
    requesting_agent: str = ""
    capability_filter: str | None = None
    discovered: list[str] = []
    count: int = 0
    query_time_ms: float = 0.0
    times: int = 1
    """Requests of one key within a minute; the other fields describe the last one."""


class RequestHandled(RoutingEvent):
    """A request was routed to an agent."""

    sentence: ClassVar[str] = 'request routed to "{to_agent}"'
    message_id: str
    from_agent: str
    to_agent: str
    skill_requested: str | None = None
    routing_strategy: str
    routing_time_ms: float = 0.0


class RoutingFailed(RoutingEvent):
    """No agent was found for a request."""

    sentence: ClassVar[str] = "{user_message}"
    message_id: str | None = None
    from_agent: str = ""
    skill_requested: str | None = None
    reason: str
    user_message: str = ""
    suggested_actions: list[str] = []
    available_alternatives: list[str] = []


class MessageEvent(Payload):
    """What happened to a message. The log holds the hash and the size of its content, never the content."""

    category: ClassVar[Category] = "message"


class MessageSent(MessageEvent):
    """A message was accepted for its receiver."""

    sentence: ClassVar[str] = "{sender} → {receiver}: {size_bytes:byte}"
    message_id: str
    sender: str = Field(validation_alias=AliasChoices("from", "sender"), serialization_alias="from")
    receiver: str = Field(validation_alias=AliasChoices("to", "receiver"), serialization_alias="to")
    performative: str = "Request"
    content_hash: str | None = None
    size_bytes: int = 0
    reply_to: str | None = None


class MessageDelivered(MessageEvent):
    """An agent has the message."""

    sentence: ClassVar[str] = "delivered to {delivered_to}"
    message_id: str
    delivered_to: str
    delivery_time_ms: float = 0.0


class MessageFailed(MessageEvent):
    """A message could not be delivered."""

    sentence: ClassVar[str] = "not delivered: {reason}"
    message_id: str
    reason: str
    will_retry: bool = False


class ConversationStarted(MessageEvent):
    """A conversation began. A one-shot request begins none."""

    sentence: ClassVar[str] = "{initiator} began a conversation"
    initiator: str
    participants: list[str] = []
    topic_hash: str | None = None
    """SHA-256 of what it is about."""


class ConversationEnded(MessageEvent):
    """A conversation ended."""

    sentence: ClassVar[str] = "conversation ended: {reason}"
    reason: str
    message_count: int = 0
    duration_ms: float = 0.0


class ConversationDeleted(MessageEvent):
    """A conversation was deleted with its messages, executions and steps. The event holds no content of it."""

    sentence: ClassVar[str] = "conversation deleted ({reason}): {messages:message}, {executions:execution}"
    reason: Literal["UserInitiated", "RetentionPolicy"]
    messages: int = 0
    executions: int = 0
    """Requests and hand-overs; their steps go with them."""
