"""The envelope that every event travels in: the canonical one of the Aximo event model, section 4."""

import hashlib
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel

from caxton.domain.events.payload import CATALOGUE, Payload
from caxton.domain.governance import ApprovalMode, RiskLevel
from caxton.domain.ids import ConversationId, DeploymentId, ExecutionId, MessageId, leading_bits


class ActorKind(StrEnum):
    """Who acted (Aximo event model, section 4; `agent` added: what an agent does of itself)."""

    SYSTEM = "system"
    FOUNDER = "founder"
    OPERATOR = "operator"
    EXTERNAL_USER = "external_user"
    AGENT = "agent"


SYSTEM = "system"
USER = "external_user"


def actor(kind: ActorKind, name: str) -> str:
    """An event's actor: the kind, and who of it, such as "operator:anna" or "agent:data-fetcher"."""
    return f"{kind}:{name}" if name else str(kind)


def agent_actor(name: str) -> str:
    """The actor that an agent is."""
    return f"agent:{name}"


class Event(BaseModel):
    """One entry of the log."""

    sequence: int | None = None
    """Position in the customer's log, from 1 without gaps; None until it is written."""
    event_id: str
    """A UUID, derived from the fact that the event tells: written again, it is the same."""
    event_type: str
    schema_version: int = 1
    """Of the payload."""
    timestamp: datetime
    """By the clock of the process that wrote it, in UTC. The order of events is that of `sequence`."""
    customer_id: str
    workspace: str
    deployment_id: DeploymentId | None = None
    skill_id: str | None = None
    """The capability."""
    skill_version: str | None = None
    execution_id: ExecutionId | None = None
    agent: str | None = None
    """The agent that the event is about."""
    risk_level: RiskLevel | None = None
    approval_mode: ApprovalMode | None = None
    actor: str = SYSTEM
    """Who did it: a kind (:class:`ActorKind`), with a name after a colon where there is one."""
    payload: dict[str, Any] = {}
    correlation_id: str | None = None
    """The turn (its root execution) that the event belongs to."""
    conversation_id: ConversationId | None = None
    message_id: MessageId | None = None
    channel_type: str | None = None
    """How it came in: "api", "cli", "schedule" …"""
    error_code: str | None = None
    latency_ms: float | None = None
    trace_id: str | None = None
    hash: str | None = None
    """Chains it to the event before (:mod:`caxton.domain.events.chain`); None until it is written."""

    def typed(self) -> Payload | None:
        """The payload as its model; None where this version of Caxton does not know the type or its schema version."""
        model = CATALOGUE.get(self.event_type)
        if model is None or self.schema_version > model.schema_version:
            return None
        return model.model_validate(self.payload)

    @property
    def user_message(self) -> str:
        """One sentence for people."""
        typed = self.typed()
        return typed.tell(self.model_dump(include={"agent", "skill_id", "error_code"})) if typed else self.event_type


_set = object.__setattr__
_ABSENT: dict[str, Any] = {
    name: field.default for name, field in Event.model_fields.items() if not field.is_required() and name != "payload"
}


def trusted_event(**fields: Any) -> Event:
    """An event of `fields` that are known to be right; those left out are empty.

    What `Event.model_construct` does, without its loop over all fields: a turn writes ten events.
    """
    event = Event.__new__(Event)
    _set(event, "__dict__", {**_ABSENT, **fields})
    _set(event, "__pydantic_fields_set__", set(fields))
    _set(event, "__pydantic_extra__", None)
    _set(event, "__pydantic_private__", None)
    return event


def event_id(event_type: str, customer: str, workspace: str, *fact: str, near: str | None = None) -> str:
    """The id of the event that tells `fact`: the same whenever it is written again.

    A UUID of version 8 (RFC 9562, section 5.8): 48 bits that place it, then bits of a SHA-256 over all parts. The place is
    taken from the id `near` (of the turn, say), which begins with its time: what happens together lies together in the
    index, and writing costs a third.
    """
    digest = hashlib.sha256("\x1f".join((event_type, customer, workspace, *fact)).encode()).hexdigest()
    place = leading_bits(near) if near else digest[32:44]
    return f"{place[:8]}-{place[8:]}-8{digest[1:4]}-{_VARIANT[digest[4]]}{digest[5:8]}-{digest[8:20]}"


_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
"""The digit that holds the variant of a UUID (its two highest bits are 10), by what it would be otherwise."""
